# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Does faults to a running stack at their times, in a thread of its own.

A unit is one begin or end. A fault that cannot be done is said and recorded; the others go on.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from edge_stack_bench.faults.injections import Injection, Stack
from edge_stack_bench.faults.schedule import ScheduledFault

__all__ = ["FaultRunner", "Stack"]


@dataclass
class Done:
    """A fault as it was done. Times: monotonic s, None until then. error: why it could not be done. figures: of its own."""

    fault: ScheduledFault
    began_s: float | None = None
    ended_s: float | None = None
    error: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def as_dict(self, zero_s: float) -> dict[str, Any]:
        """Return plain values, with times counted from zero_s."""
        return {
            "fault": str(self.fault),
            "began_s": None if self.began_s is None else self.began_s - zero_s,
            "ended_s": None if self.ended_s is None else self.ended_s - zero_s,
            "error": self.error,
        }


class FaultRunner:
    """Does faults to one stack."""

    def __init__(
        self, faults: Iterable[ScheduledFault], stack: Stack, say: Callable[[str], None] = print
    ) -> None:
        """say: gets a line at each begin and end."""
        self.done = [Done(fault) for fault in faults]
        self._stack = stack
        self._say = say
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Whether the times count already."""
        return self._thread is not None

    def start(self, zero_s: float) -> None:
        """Start; the faults' times count from zero_s (monotonic)."""
        self._thread = threading.Thread(target=self._run, args=(zero_s,), name="faults", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every fault that is on, and do no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, zero_s: float) -> None:
        steps: list[tuple[float, int, Done, Injection]] = []
        for done in self.done:
            injection = done.fault.of.make(done.fault.what, done.fault.duration_s)
            if self._attempt(done, "done", injection.ready):
                steps.append((zero_s + done.fault.at_s, len(steps), done, injection))
        heapq.heapify(steps)
        while steps:
            at_s, order, done, injection = heapq.heappop(steps)
            if self._stop.wait(max(0.0, at_s - time.monotonic())):
                heapq.heappush(steps, (at_s, order, done, injection))
                break
            if done.began_s is not None:
                self._end(done, injection)
                continue
            ends_s = self._begin(done, injection)
            if ends_s is not None:
                heapq.heappush(steps, (ends_s, order, done, injection))
        for _, _, done, injection in steps:
            self._end(done, injection)

    def _begin(self, done: Done, injection: Injection) -> float | None:
        """Begin a fault; return when it is to be ended, by when it really began; None if it is not on."""
        fault = done.fault
        done.began_s = began_s = time.monotonic()
        if not self._attempt(done, "done", injection.begin):
            return None
        self._say(f"fault {fault}: {fault.of.says}{': ' + fault.what if fault.what else ''}")
        if not fault.duration_s:
            done.ended_s = began_s
            return None
        return began_s + fault.duration_s

    def _end(self, done: Done, injection: Injection) -> None:
        self._attempt(done, "ended", injection.end)
        if done.began_s is None:
            return  # it was ready and never begun
        done.figures = injection.figures()
        done.ended_s = time.monotonic()
        self._say(f"fault {done.fault} is over")

    def _attempt(self, done: Done, what: str, step: Callable[[Stack], None]) -> bool:
        try:
            step(self._stack)
        except Exception as error:  # noqa: BLE001 (the run goes on, and says that this fault was not in it)
            done.error = f"{type(error).__name__}: {error}"
            self._say(f"fault {done.fault} could not be {what}: {done.error}")
            return False
        return True
