# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Cuts a running robot's time into episodes and steps, for datasets.

Its unit is one episode: from an instruction to its end. Where a task is judged (task_status), it says how the episode went;
where nobody judges, the next instruction ends it. Knows no ROS and no files.
"""

from __future__ import annotations

from dataclasses import dataclass

RUNNING, SUCCEEDED, TIMED_OUT = "running", "succeeded", "timed_out"


@dataclass(frozen=True)
class Ended:
    """An episode has ended. succeeded: None where nobody judges. whole: whether it was seen from beginning to end."""

    task: str
    succeeded: bool | None
    why: str
    whole: bool = True

    def is_wanted(self, failures_too: bool) -> bool:
        """Return whether it belongs into a dataset: whole, and a success where that is known."""
        return self.whole and (failures_too or self.succeeded is not False)


class Episodes:
    """
    Follows instruction and task. task: of the episode that runs; empty while none does.

    An episode counts from its beginning only: one that runs already when its task's first status comes is left out.
    """

    def __init__(self) -> None:
        self.task = ""
        self._last: tuple[str, str, int] | None = None

    def take_instruction(self, text: str) -> Ended | None:
        """Take an instruction; return the episode that it ended. Where a task is judged, its status counts alone."""
        if self._last is not None or text == self.task:
            return None
        ended = Ended(self.task, None, "the next instruction") if self.task else None
        self.task = text
        return ended

    def end(self) -> Ended | None:
        """Watch no longer; return the episode that this ends."""
        task, self.task = self.task, ""
        if not task:
            return None
        judged = self._last is not None
        return Ended(task, False if judged else None, "the end of the recording", whole=not judged)

    def take_status(self, state: str, instruction: str, attempts: int) -> Ended | None:
        """Take the status of a judged task; return the episode that it ended."""
        last, self._last = self._last, (state, instruction, attempts)
        if self._last == last:
            return None
        ended = None
        if self.task and last is None:
            ended = Ended(self.task, False, "its beginning was not seen", whole=False)
        elif self.task and state in (SUCCEEDED, TIMED_OUT) and instruction == self.task:
            ended = Ended(self.task, state == SUCCEEDED, state)
        elif self.task:
            ended = Ended(self.task, False, "broken off", whole=False)
        self.task = instruction if state == RUNNING and last is not None else ""
        return ended


class Steps:
    """
    Chooses, among commands that come faster or as fast, those that are `fps` a second apart.

    hole_s: the longest time without a step in this episode so far.
    """

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps
        self.begin()

    def begin(self) -> None:
        """Begin an episode."""
        self._due_s: float | None = None
        self._last_s = 0.0
        self.hole_s = 0.0

    def take(self, time_s: float) -> bool:
        """Return whether the command of that time is a step."""
        if self._due_s is None:
            self._due_s = self._last_s = time_s
        elif time_s < self._due_s - 0.25 * self._period_s:
            return False
        self.hole_s = max(self.hole_s, time_s - self._last_s)
        self._last_s = time_s
        self._due_s += self._period_s
        if time_s > self._due_s:  # late by more than a step: the grid starts anew
            self._due_s = time_s + self._period_s
        return True
