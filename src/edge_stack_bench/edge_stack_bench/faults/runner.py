# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Does faults to a running stack at their times, in a thread of its own.

A unit is one begin or end. A fault that cannot be done is said and recorded; the others go on.
"""

from __future__ import annotations

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
        steps: list[tuple[float, int, Done]] = []
        for done in self.done:
            steps.append((zero_s + done.fault.at_s, 0, done))
            if done.fault.duration_s:
                steps.append((zero_s + done.fault.at_s + done.fault.duration_s, 1, done))
        on: dict[int, tuple[Done, Injection]] = {}
        for at_s, ends, done in sorted(steps, key=lambda step: step[:2]):
            if self._stop.wait(max(0.0, at_s - time.monotonic())):
                break
            if not ends:
                self._begin(done, on)
            elif id(done) in on:
                self._end(*on.pop(id(done)))
        for done, injection in on.values():
            self._end(done, injection)

    def _begin(self, done: Done, on: dict[int, tuple[Done, Injection]]) -> None:
        fault = done.fault
        injection = fault.of.make(fault.what, fault.duration_s)
        try:
            injection.ready(self._stack)
            done.began_s = time.monotonic()
            injection.begin(self._stack)
        except Exception as error:  # noqa: BLE001 (the run goes on, and says that this fault was not in it)
            done.error = f"{type(error).__name__}: {error}"
            self._say(f"fault {fault} could not be done: {done.error}")
            return
        self._say(f"fault {fault}: {fault.of.says}{': ' + fault.what if fault.what else ''}")
        if fault.duration_s:
            on[id(done)] = (done, injection)
        else:
            done.ended_s = done.began_s

    def _end(self, done: Done, injection: Injection) -> None:
        try:
            injection.end(self._stack)
        except Exception as error:  # noqa: BLE001 (as above)
            done.error = f"{type(error).__name__}: {error}"
            self._say(f"fault {done.fault} could not be ended: {done.error}")
        done.figures = injection.figures()
        done.ended_s = time.monotonic()
        self._say(f"fault {done.fault} is over")
