# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
When the yolo node asks for admission: always, never, or while a critical job is announced on its device.

Its unit is one configured model. admission/choice.py decides; what `auto` means on a CPU is looked up anew before
each inference, because a policy that has no right to SCHED_FIFO may start, and die, at any time.
"""

from __future__ import annotations

from edge_stack_core.admission import BackgroundJob, Refused
from edge_stack_core.admission.choice import AUTO, Asks, choose_background
from edge_stack_core.errors import ConfigurationError


def refusal_text(refusal: Refused) -> str:
    """Return what a refusal says, with what would help."""
    if refusal.reason == "split" and refusal.fits_s > 0.0:
        return f"{refusal}; set split_ms to {0.9e3 * refusal.fits_s:.1f} or less"
    return str(refusal)


class YoloAdmission:
    """One model's job at admission of its device."""

    def __init__(self, setting: str, device: str, name: str, when_too_long: str, deadline_s: float) -> None:
        """
        Decide, and join admission unless it is never asked.

        Args:
            setting: one of admission.choice.SETTINGS.
            device: canonical.
            name: of the job.
            when_too_long, deadline_s: policy and period of a BackgroundJob.

        Raises:
            ConfigurationError: admission cannot be joined. Where auto may do without it, `problem` says so instead.
        """
        self._choice = choose_background(setting, device)
        self.device = device
        self.job: BackgroundJob | None = None
        self.problem = ""
        self._announced = False
        if self._choice.asks is Asks.NEVER:
            return
        try:
            self.job = BackgroundJob(device, name, when_too_long, deadline_s)
        except (ConfigurationError, OSError) as error:
            if self._choice.asks is Asks.ALWAYS:
                raise ConfigurationError(f"admission on {device}: {error}") from error
            # A critical job of this user would meet the same: none can be announced.
            self.problem = f"admission on {device}: off ({AUTO}: {error})"

    def asks(self) -> BackgroundJob | None:
        """Return the job that asks before the inference that is due now; None if none does."""
        if self.job is not None and self._choice.asks is Asks.WHILE_ANNOUNCED:
            self._announced = self.job.critical_is_announced()
            return self.job if self._announced else None
        return self.job

    def text(self) -> str:
        """Return what holds, and why."""
        return self.problem.partition(": ")[2] or self._choice.text(self._announced)

    def plan(self) -> str:
        """Return when it asks, for the log at configure."""
        return self.problem or f"admission on {self.device}: {self._choice.why if self.job else self.text()}"

    def close(self) -> None:
        """Leave admission."""
        job, self.job = self.job, None
        if job is not None:
            job.close()
