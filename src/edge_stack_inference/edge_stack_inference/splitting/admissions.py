# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The admissions of an inference that runs in slices: one deadline over all of them, and what they waited in sum.

Its unit of work is one inference: begin(), then of(key) around each slice. For one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from edge_stack_core.admission import BackgroundJob


class Admissions:
    """
    Asks admission before each slice. Without a job, slices run at once.

    job: may be given later. delay_s: how long the slices since begin() waited.
    """

    def __init__(
        self,
        job: BackgroundJob | None = None,
        wait_s: float = 2.0,
        waiting: Callable[[float], None] = lambda limit_s: None,
        running: Callable[[], None] = lambda: None,
    ) -> None:
        """
        wait_s: a slice that waits longer is refused, and the inference with it.

        waiting, running: called before and after each wait, the former with the longest it may last, s.
        """
        self.job = job
        self.delay_s = 0.0
        self._wait_s = wait_s
        self._waiting, self._running = waiting, running
        self._due_s: float | None = None

    def begin(self, deadline_s: float | None = None) -> None:
        """Begin an inference. deadline_s: of all of it, from now; None: the job's."""
        self.delay_s = 0.0
        self._due_s = None if deadline_s is None else time.monotonic() + deadline_s

    @contextmanager
    def of(self, key: Hashable) -> Iterator[None]:
        """
        Run the block once the slice is admitted. key: names the slice; its duration is learned under it.

        Raises:
            Refused: admission did not admit it.
        """
        if self.job is None:
            yield
            return
        left_s = None if self._due_s is None else self._due_s - time.monotonic()
        self._waiting(self._wait_s)
        with self.job.admitted(deadline_s=left_s, wait_s=self._wait_s, key=key) as admission:
            self._running()
            self.delay_s += admission.delay_s
            yield
