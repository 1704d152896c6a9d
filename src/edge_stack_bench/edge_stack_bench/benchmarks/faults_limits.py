# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What must hold of the stack whatever befalls it, and which of it one row of the benchmark of faults missed.

Its unit is one row. Commands go on while fusion holds or stops the robot, so the limit of their gap knows no exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTICED_MS = {
    "node_kill": 500.0,
    "node_hang": 500.0,
    "supervisor_kill": 500.0,
    "camera_stall": 400.0,  # two deadlines of a reader, which is late after three frames' time: 0.2 s at 15 Hz
}
"""By kind of fault: it must be noticed so soon; any other one some time."""
GAP_PERIODS = 2.0
NO_GAP_LIMIT = ("stop_restart",)
"""Kinds that leave no process that could command: the drives' own limit of time has to hold the robot."""
STOPPED = ("stop_restart",)
"""Kinds during which the robot has to stand in STOP, whatever else happens."""
SECOND_COMMANDERS = ("second_commander", "large_command")
"""Kinds that put something on the topic of commands; in any other one nothing is ever taken for a stranger's."""
RECOVERED_MS = 3000.0
RECOVERED_OF_MS = {"node_kill:sim": 5000.0, "stop_restart": 5000.0}
"""Other limits, by how a fault begins. The simulated robot is camera and drives at once: its process needs 1.0 to 1.6 s
until it runs, more under load, and only then come frames, of them detections, and of both a chunk.
A stop is over 2 s after its release (stop_clear_s), and speed rises for half a second."""


def missed_limits(row: Mapping[str, Any], kind: str, period_s: float) -> list[str]:
    """Return which limits a row missed, with the figures. kind: of its fault; empty: none, or many."""
    over = []
    noticed_ms, limit_ms = row["detected_ms"], NOTICED_MS.get(kind)
    if kind and noticed_ms is None:
        over.append("not noticed")
    elif limit_ms is not None and noticed_ms > limit_ms:
        over.append(f"noticed after {noticed_ms:.0f} ms, limit {limit_ms:.0f}")
    gap_ms, most_ms = row["control_gap_ms"], GAP_PERIODS * period_s * 1e3
    if gap_ms > most_ms and kind not in NO_GAP_LIMIT:
        over.append(f"no command for {gap_ms:.1f} ms, limit {most_ms:.1f}")
    subscriber_ms = row.get("subscriber_gap_ms", 0.0)
    if subscriber_ms > most_ms:
        over.append(f"a subscriber heard no command for {subscriber_ms:.1f} ms, limit {most_ms:.1f}")
    if kind in STOPPED and row["states"] != ["stop"]:
        over.append(f"did not stand in stop all the time: {', '.join(row['states']) or 'said nothing'}")
    if kind not in SECOND_COMMANDERS and any("second_commander" in sign["text"] for sign in row["signs"]):
        over.append("took itself for a second commander")
    if row["unsafe_commands"]:
        over.append(f"{row['unsafe_commands']} unsafe commands")
    recovered_ms = row["recovered_ms"]
    most_ms = next(
        (ms for begin, ms in RECOVERED_OF_MS.items() if row["fault"].startswith(begin)), RECOVERED_MS
    )
    if kind and recovered_ms is not None and recovered_ms > most_ms:
        over.append(f"well again after {recovered_ms:.0f} ms, limit {most_ms:.0f}")
    if row["lost"]:
        over.append("not all came back")
    return over
