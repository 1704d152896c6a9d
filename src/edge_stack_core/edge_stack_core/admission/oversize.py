# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What happens to a background job that is longer than any slack: the stated policy, and the figures to report.

Its unit of work is one request of one such job. Times are monotonic nanoseconds, given by the caller; nothing here waits.
"""

from __future__ import annotations

from edge_stack_core.errors import ConfigurationError

POLICIES = ("refuse", "lower_rate", "split")

_FIRST_PROBE_NS, _LAST_PROBE_NS = 5_000_000_000, 320_000_000_000
_FOREVER_NS = 1 << 62


class Refused(Exception):
    """
    Admission did not admit a job; the work must not run now.

    reason: "never_fits", "split", "timeout" or "stuck". expected_s: the job's duration. fits_s: the longest duration that
    would fit (never_fits and split). slices: into how many slices to split it, at least.
    """

    def __init__(self, text: str, reason: str, expected_s: float = 0.0, fits_s: float = 0.0) -> None:
        """Carry the figures."""
        super().__init__(text)
        self.reason = reason
        self.expected_s = expected_s
        self.fits_s = fits_s
        self.slices = int(expected_s / fits_s) + 1 if fits_s > 0.0 else 0


class OversizeRuns:
    """Says when a job that is longer than any slack may run whole all the same."""

    def __init__(self, policy: str, lower_rate_ns: int) -> None:
        """policy: one of POLICIES. lower_rate_ns: time between two such runs under "lower_rate"."""
        if policy not in POLICIES:
            raise ConfigurationError(f"admission policy {policy!r} is not one of {', '.join(POLICIES)}")
        self.policy = policy
        self._lower_rate_ns = lower_rate_ns
        self._probe_after_ns = _FIRST_PROBE_NS
        self._probe_at_ns = 0
        self._ran_ns = 0

    def may_run_at(self, now_ns: int) -> int:
        """
        Return the time from which the job may run whole; past: now.

        Under "refuse" that is a probe in case the machine became faster: 5 s after the first refusal, then 10 s, 20 s, up
        to 320 s apart. Under "split" it is never.
        """
        if self.policy == "split":
            return _FOREVER_NS
        if self.policy == "lower_rate":
            return self._ran_ns + self._lower_rate_ns if self._ran_ns else 0
        if not self._probe_at_ns:
            self._probe_at_ns = now_ns + self._probe_after_ns
        return self._probe_at_ns

    def ran(self, now_ns: int) -> None:
        """Note such a run."""
        self._ran_ns = now_ns
        self._probe_after_ns = min(2 * self._probe_after_ns, _LAST_PROBE_NS)
        self._probe_at_ns = now_ns + self._probe_after_ns

    def fits(self) -> None:
        """Note that the job fits (again)."""
        self._probe_at_ns = 0
        self._probe_after_ns = _FIRST_PROBE_NS


def refusal(name: str, device: str, policy: str, duration_ns: int, fits_ns: int) -> Refused:
    """Return the refusal of a job that never fits, with the figures that would make it fit."""
    takes, room = duration_ns * 1e-6, fits_ns * 1e-6
    if fits_ns <= 0:
        text = f"{name} takes {takes:.1f} ms and the critical jobs on {device} leave no slack at all"
        return Refused(text, "never_fits", duration_ns * 1e-9)
    refused = Refused("", "split" if policy == "split" else "never_fits", duration_ns * 1e-9, fits_ns * 1e-9)
    refused.args = (
        f"{name} takes {takes:.1f} ms and the largest slack on {device} is {room:.1f} ms: "
        f"it would fit in {refused.slices} slices, or if it took {room:.1f} ms or less",
    )
    return refused
