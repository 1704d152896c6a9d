# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A clock for `use_sim_time`: real time plus an offset that can be set while it runs, so that clock jumps can be tried.

Its unit of work is one rosgraph_msgs/Clock on /clock. Its own process keeps to system time.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock

from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.main import run
from edge_stack_core.ros.parameters import Parameter

_NS = 1_000_000_000


class ClockNode(StackNode):
    """Publishes /clock."""

    PARAMETERS = (
        Parameter(
            "rate_hz", 100.0, "Rate of /clock; time stands still between.", minimum=10.0, maximum=1000.0
        ),
        Parameter(
            "offset_s",
            0.0,
            "How far ahead of system time it is, s; a change is a jump.",
            minimum=-3600.0,
            maximum=3600.0,
            live=True,
        ),
    )

    def __init__(self, name: str = "clock", **kwargs: Any) -> None:
        """Declare; time begins at activate."""
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        super().__init__(name, **kwargs)

    def configure_node(self) -> None:
        """Set up the topic, which is global by REP and the same for all namespaces."""
        self._clock_out = self.publisher(Clock, "/clock", qos.sensor())

    def activate_node(self) -> None:
        """Start time."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    def deactivate_node(self) -> None:
        """Stop time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)
            self._thread = None

    def target_hz(self) -> float:
        """Rate of /clock."""
        return float(self.params.rate_hz)

    def _run(self) -> None:
        period_s = 1.0 / self.params.rate_hz
        release_s = time.monotonic()
        while not self._stop.wait(max(0.0, release_s - time.monotonic())):
            now_ns = time.time_ns() + round(self.params.offset_s * _NS)
            self._clock_out.publish(Clock(clock=Time(sec=now_ns // _NS, nanosec=now_ns % _NS)))
            self.stats.work_done(0.0, {})
            release_s = max(release_s + period_s, time.monotonic())


def main() -> None:
    """Run the clock."""
    run(lambda: ClockNode())


if __name__ == "__main__":
    main()
