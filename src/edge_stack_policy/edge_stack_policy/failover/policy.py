# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One model at several endpoints (a bigger machine, this computer); each chunk comes from the best one that is in time.

Its unit of work is one chunk. The best endpoint in use gets as long as leaves room for the next one before the
actions run out; if it brings nothing by then, the next one computes the same chunk in the same call. The last
endpoint is never given up: it is the one that always works. Endpoints that are not in use are probed with real
observations, in their own threads, now and then. An endpoint begins unused: the first chunks come from the last one.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, Observation, Policy, PolicyUnavailable
from edge_stack_policy.failover.endpoint import Endpoint, make_endpoint
from edge_stack_policy.failover.endpoint_health import EndpointHealth, EndpointStatus, FailoverSettings
from edge_stack_policy.failover.endpoint_worker import Call, CallOutcome, EndpointWorker, Worker
from edge_stack_policy.settings import PolicySettings

_STEP_TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class FailoverStatus:
    """
    What is published.

    since_s: for how long the endpoint has been the present one. reason: why the last change was made, and why the
    best endpoint is not in use, in words.
    """

    endpoint: str
    since_s: float
    changes: int
    reason: str
    endpoints: tuple[EndpointStatus, ...]


class _Site:
    """An endpoint with what is known of it and what is under way there."""

    def __init__(self, endpoint: Endpoint, settings: FailoverSettings, now_s: float) -> None:
        self.name, self.policy, self.on_board = endpoint.name, endpoint.policy, endpoint.on_board
        self.health = EndpointHealth(settings, now_s, on_board=endpoint.on_board)
        self.worker: Worker | None = None
        self.loaded = False
        self.unusable = False  # it does not fit the others: never tried again
        self.reset_due = False
        self.abandoned = False  # the call under way was given up; otherwise it is a probe


class FailoverPolicy:
    """A policy at several endpoints, best first. Called from one thread at a time."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        settings: FailoverSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        worker: Callable[[Policy, str], Worker] = EndpointWorker,
    ) -> None:
        """clock: never goes back, s. worker: makes what computes an endpoint's chunks."""
        if not endpoints:
            raise ConfigurationError("endpoints: at least one is needed")
        names = [endpoint.name for endpoint in endpoints]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"endpoints: {', '.join(twice)} is named more than once")
        self.settings = settings or FailoverSettings()
        self._clock, self._make_worker = clock, worker
        now_s = clock()
        self._sites = [_Site(endpoint, self.settings, now_s) for endpoint in endpoints]
        self._current = self._sites[-1]
        self._since_s = now_s
        self._changes = 0
        self._reason = "start"
        self._features: frozenset[str] = frozenset()
        self.time_limit_s: float | None = None
        """How long until the actions run out, set before each call, s; None: no limit."""
        self.while_on_board: AbstractContextManager[object] = contextlib.nullcontext()
        """Entered while this computer computes: admission, for example. A call to elsewhere leaves it alone."""
        self.guided = False
        """Whether the last chunk continues LEFTOVER."""
        self.problem = ""

    # ---- what a policy is

    @property
    def name(self) -> str:
        """The last endpoint's: the others stand in for it."""
        return self._sites[-1].policy.name

    @property
    def action_names(self) -> tuple[str, ...]:
        """Joints in the order of an action's values; the same at all endpoints."""
        return self._loaded()[-1].policy.action_names

    @property
    def step_s(self) -> float:
        """Time between two actions; the same at all endpoints."""
        return self._loaded()[-1].policy.step_s

    @property
    def input_features(self) -> tuple[str, ...]:
        """What any endpoint needs."""
        return tuple(dict.fromkeys(key for site in self._loaded() for key in site.policy.input_features))

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the class index of a detection means; the same at all endpoints that look at detections."""
        return next((site.policy.class_names for site in self._loaded() if site.policy.class_names), ())

    @property
    def guides_chunks(self) -> bool:
        """Whether any endpoint continues LEFTOVER; `guided` says whether the last chunk does."""
        return any(site.policy.guides_chunks for site in self._loaded())

    @property
    def device(self) -> str:
        """What the first place on this computer says that it is computed on; empty if it does not say."""
        told = (getattr(site.policy, "device", "") for site in self._sites if site.on_board)
        return str(next(told, ""))

    @property
    def inference_threads(self) -> tuple[int, ...]:
        """The system's ids of the threads in which this computer computes, once it is loaded."""
        workers = (site.worker for site in self._sites if site.on_board)
        ids = (worker.thread_id for worker in workers if worker is not None)
        return tuple(number for number in ids if number is not None)

    def load(self) -> None:
        """
        Load every endpoint. One that is not available now is tried again later.

        Raises:
            ConfigurationError: an endpoint is set up wrongly or does not fit the others, or the last one is not available.
        """
        try:
            self._load_endpoints()
        except ConfigurationError:
            self.close()
            raise
        self._features = frozenset(self.input_features)
        for site in self._sites:
            site.worker = self._make_worker(site.policy, f"endpoint {site.name}")

    def reset(self) -> None:
        """Forget the task, at each endpoint before its next chunk."""
        for site in self._sites:
            site.reset_due = True

    def close(self) -> None:
        """Free everything; waits a second for each call that is under way."""
        for site in self._sites:
            if site.worker is not None:
                site.worker.close()
            else:
                site.policy.close()
            site.worker, site.loaded, site.abandoned = None, False, False

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return [H, A] from the best endpoint that is in time; PolicyUnavailable if the last one has none either."""
        began_s = self._clock()
        dry_s = math.inf if self.time_limit_s is None else began_s + self.time_limit_s
        self._collect(began_s)
        reasons: list[str] = []
        for site in self._in_use():
            outcome = self._try(site, observation, began_s, dry_s)
            if outcome.chunk is not None:
                self._use(site, "; ".join(reasons))
                self._probe(observation)
                return outcome.chunk
            reasons.append(_said_of(site, outcome.error))
        self._probe(observation)
        raise PolicyUnavailable("; ".join(reasons))

    # ---- what it tells

    @property
    def endpoint(self) -> str:
        """Name of the endpoint that the last chunk came from."""
        return self._current.name

    @property
    def lead_s(self) -> float:
        """
        How long before the actions run out a chunk should be asked for, s.

        Enough to try any endpoint that is in use or on the way to it, and the next one after it.
        """
        promising = [s for s in self._sites[:-1] if s.loaded and s.health.promising]
        last_s = self._sites[-1].health.reserve_s
        age_max_s = self.settings.age_max_s
        return max([last_s, *(min(s.health.reserve_s, age_max_s) + self._reserve_s(s) for s in promising)])

    def status(self) -> FailoverStatus:
        """Return where chunks come from and what is known of every endpoint. From any thread."""
        now_s = self._clock()
        endpoints = tuple(site.health.status(site.name, site.loaded, now_s) for site in self._sites)
        since_s = max(0.0, now_s - self._since_s)
        best, reason = self._sites[0], self._reason
        if best is not self._current and best.health.reason not in reason:
            reason += f"; since then {_said_of(best, best.health.reason)}"
        return FailoverStatus(self._current.name, since_s, self._changes, reason, endpoints)

    # ---- one chunk

    def _load_endpoints(self) -> None:
        last = self._sites[-1]
        for site in self._sites:
            try:
                site.policy.load()
            except PolicyUnavailable as error:
                if site is last:
                    raise ConfigurationError(
                        f"endpoint {site.name}: {error}; the last endpoint must work"
                    ) from error
                site.health.reason = str(error)
            except ConfigurationError as error:
                raise ConfigurationError(f"endpoint {site.name}: {error}") from error
            else:
                site.loaded = True
        mismatch = next(filter(None, (_mismatch(site, last) for site in self._loaded()[:-1])), "")
        if mismatch:
            raise ConfigurationError(f"endpoints: {mismatch}")

    def _loaded(self) -> list[_Site]:
        """Return the endpoints that can be asked for what they are; the last one even if nothing is loaded yet."""
        return [s for s in self._sites if s.loaded] or self._sites[-1:]

    def _in_use(self) -> list[_Site]:
        return [s for s in self._sites[:-1] if s.loaded and s.health.healthy] + self._sites[-1:]

    def _reserve_s(self, site: _Site) -> float:
        """Return the time to keep for the next endpoint in use after this one, s."""
        after = self._sites[self._sites.index(site) + 1 :]
        return next(s for s in after if s.health.healthy or s is self._sites[-1]).health.reserve_s

    def _try(self, site: _Site, observation: Observation, began_s: float, dry_s: float) -> CallOutcome:
        """Let an endpoint compute, as long as there is time; the last one however long it takes."""
        now_s = self._clock()
        health = site.health
        last = site is self._sites[-1]
        limit_s = wait_s = None
        if not last:
            limit_s = min(dry_s - now_s - self._reserve_s(site), self.settings.age_max_s)
            wait_s = min(limit_s, health.wait_s)
            if limit_s < health.expected_s or limit_s <= 0.0:
                error = (
                    f"a chunk takes {1e3 * health.expected_s:.0f} ms (p50) and there were"
                    f" {1e3 * max(limit_s, 0.0):.0f} ms until the next endpoint had to begin"
                )
                health.leave(error, now_s)
                return CallOutcome(None, error, 0.0)
        assert site.worker is not None
        site.reset_due |= site is not self._current  # what it remembers is from before others took over
        with self.while_on_board if site.on_board else contextlib.nullcontext():
            site.worker.start(
                Call(_delayed(observation, now_s - began_s, site.policy.step_s), _forget(site), limit_s)
            )
            # What comes after the wait, within the limit, still teaches how long calls take.
            outcome = site.worker.take(wait_s)
        now_s = self._clock()
        if outcome is None:
            site.abandoned = True
            assert wait_s is not None
            outcome = CallOutcome(None, f"no chunk within {1e3 * wait_s:.0f} ms", wait_s)
        if outcome.chunk is not None:
            health.succeeded(outcome.duration_s, now_s)
        else:
            health.failed(outcome.error, now_s)
        return outcome

    def _use(self, site: _Site, reason: str) -> None:
        self.problem = site.policy.problem
        self.guided = site.policy.guides_chunks
        if site is not self._current:
            self._current, self._since_s = site, self._clock()
            self._changes += 1
            self._reason = reason or _said_of(site, site.health.reason)

    # ---- meanwhile

    def _collect(self, now_s: float) -> None:
        """Take what probes and abandoned calls have brought."""
        for site in self._sites[:-1]:
            outcome = site.worker.take(0.0) if site.worker is not None and site.worker.busy else None
            if outcome is None:
                continue
            if site.abandoned:
                site.abandoned = False
                if outcome.chunk is not None:
                    site.health.arrived_late(outcome.duration_s)
            else:
                site.health.probed(outcome.duration_s, now_s, outcome.error)

    def _probe(self, observation: Observation) -> None:
        """Begin the probes that are due, with this observation, and wait for none."""
        now_s = self._clock()
        for site in self._sites[:-1]:
            if site.unusable or site.worker is None or site.worker.busy or not site.health.probe_due(now_s):
                continue
            prepare = _forget(site) if site.loaded else partial(self._load_late, site)
            site.worker.start(Call(dict(observation), prepare, self.settings.age_max_s))

    def _load_late(self, site: _Site) -> None:
        """Load an endpoint that was not available at configure; in its worker's thread."""
        try:
            site.policy.load()
        except ConfigurationError:
            site.unusable = True
            raise
        missing = [key for key in site.policy.input_features if key not in self._features]
        mismatch = _mismatch(site, self._sites[-1])
        if missing:
            mismatch = f"{site.name} needs {', '.join(missing)}, which no endpoint needed at configure; configure anew"
        if mismatch:
            site.unusable = True
            raise ConfigurationError(mismatch)
        site.loaded = True


def _mismatch(site: _Site, last: _Site) -> str:
    """Say in which way an endpoint does not fit the last one; empty if it does."""
    ours, theirs = site.policy, last.policy
    if ours.action_names != theirs.action_names:
        return (
            f"{site.name} moves {', '.join(ours.action_names)} but {last.name} moves"
            f" {', '.join(theirs.action_names)}; all endpoints must move the same joints in the same order"
        )
    if abs(ours.step_s - theirs.step_s) > _STEP_TOLERANCE_S:
        return (
            f"{site.name} has an action every {1e3 * ours.step_s:.2f} ms but {last.name} every"
            f" {1e3 * theirs.step_s:.2f} ms; all endpoints must have the same step"
        )
    if ours.class_names and theirs.class_names and ours.class_names != theirs.class_names:
        return (
            f"{site.name} knows the classes {', '.join(ours.class_names)} but {last.name}"
            f" {', '.join(theirs.class_names)}; detections must mean the same at all endpoints"
        )
    return ""


def _said_of(site: _Site, text: str) -> str:
    """Name the endpoint in a reason, once: a remote policy names its address by itself."""
    return text if text.startswith(f"{site.name}: ") else f"{site.name}: {text}"


def _forget(site: _Site) -> Callable[[], None] | None:
    """Return the reset that is due before an endpoint's next chunk, if one is."""
    if not site.reset_due:
        return None
    site.reset_due = False
    return site.policy.reset


def _delayed(observation: Observation, elapsed_s: float, step_s: float) -> Observation:
    """Return what an endpoint sees that begins later than was thought: more of the left-over chunk is executed by then."""
    steps = math.ceil(elapsed_s / step_s - 1e-9)
    if DELAY_STEPS not in observation or steps <= 0:
        return observation
    delay = min(int(observation[DELAY_STEPS]) + steps, len(observation[LEFTOVER]))
    return {**observation, DELAY_STEPS: delay}


def make_failover(
    endpoints: Sequence[str], policy: str, settings: PolicySettings, failover: FailoverSettings | None = None
) -> FailoverPolicy:
    """Make a policy at several endpoints, best first and written as make_endpoint reads them; not loaded yet."""
    return FailoverPolicy([make_endpoint(text, policy, settings) for text in endpoints], failover)
