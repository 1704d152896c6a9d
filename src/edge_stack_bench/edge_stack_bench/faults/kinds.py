# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Every kind of fault, in one table: its name, what it breaks, what stands after its name, and how long it lasts.

What breaks a simulated part is a live parameter of that part, so that it can be done by hand as well (`ros2 param set`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_stack_bench.faults.injections import (
    Hang,
    Hog,
    Injection,
    Kill,
    NetworkLoss,
    Parameters,
    Ramp,
    StopAndKill,
)
from edge_stack_bench.faults.strangers import Strangers

NODE, WATTS = "node", "W"
POWER_MODES = ("7W", "15W", "25W", "MAXN_SUPER")
AMBIENT_C, HOT_C = 25.0, 55.0


@dataclass(frozen=True)
class Kind:
    """
    One kind of fault.

    argument: what stands after the colon: a node, a figure's unit, or nothing. duration_s: how long it lasts if nothing is
    said; 0: it happens at once. needs: executables of nodes that it takes in the stack, besides those of the robot.
    own_network: whether the stack must run in a network namespace of its own. leaves_nothing: whether no process is left
    that could command. make: from what and duration.
    """

    name: str
    says: str
    make: Callable[[str, float], Injection]
    argument: str = ""
    duration_s: float = 0.0
    needs: tuple[str, ...] = ()
    own_network: bool = False
    leaves_nothing: bool = False

    @property
    def usage(self) -> str:
        """How it is written."""
        what = f":<{self.argument}>" if self.argument else ""
        return f"{self.name}{what}@<seconds>" + ("[:<duration>]" if self.duration_s else "")

    @property
    def example(self) -> str:
        """One that is right."""
        what = {NODE: ":detect", WATTS: ":15", "": ""}[self.argument]
        return f"{self.name}{what}@20" + (f":{self.duration_s:g}" if self.duration_s else "")

    def check(self, what: str) -> str:
        """Say what is wrong with what stands after the colon; empty if nothing is. Nodes are checked by the stack."""
        if self.argument == WATTS and f"{what}W" not in POWER_MODES and what not in POWER_MODES:
            return f"there is no power mode {what}; there are {', '.join(m.removesuffix('W') for m in POWER_MODES)}"
        return ""


def _power_mode(what: str) -> str:
    return what if what in POWER_MODES else f"{what}W"


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("node_kill", "a node's process is killed", lambda what, _: Kill(what), NODE),
        Kind("node_hang", "a node's process stands still", lambda what, _: Hang(what), NODE, 5.0),
        Kind("supervisor_kill", "the supervisor is killed", lambda _w, _d: Kill("supervisor")),
        Kind(
            "camera_stall",
            "no camera frames come",
            lambda _w, _d: Parameters("sim", {"camera_stall": True}, {"camera_stall": False}),
            duration_s=5.0,
        ),
        Kind(
            "camera_noise",
            "camera frames are mostly noise",
            lambda _w, _d: Parameters("sim", {"camera_noise": 90.0}, {"camera_noise": 0.0}),
            duration_s=5.0,
        ),
        Kind(
            "frame_flood",
            "the camera sends each frame twenty times",
            lambda _w, _d: Parameters("sim", {"frame_flood": 19}, {"frame_flood": 0}),
            duration_s=5.0,
        ),
        Kind(
            "policy_nan",
            "the policy's actions are not finite",
            lambda _w, _d: Parameters("policy", {"fault": "nan"}, {"fault": "none"}),
            duration_s=5.0,
        ),
        Kind(
            "policy_slow",
            "the policy takes 3 s for each chunk",
            lambda _w, _d: Parameters("policy", {"fault": "slow"}, {"fault": "none"}),
            duration_s=8.0,
        ),
        Kind(
            "arm_stuck",
            "the arm does not follow its commands",
            lambda _w, _d: Parameters("sim", {"arm_stuck": True}, {"arm_stuck": False}),
            duration_s=8.0,
        ),
        Kind(
            "implausible_joint",
            "another program tells once that a joint is at 48 rad",
            lambda _w, _d: Strangers("implausible"),
            duration_s=2.0,
        ),
        Kind(
            "second_commander",
            "another program commands the robot too",
            lambda _w, _d: Strangers("commands"),
            duration_s=3.0,
        ),
        Kind(
            "large_inputs",
            "another program sends 40 MB on each input of fusion in turn",
            lambda _w, _d: Strangers("large_inputs", "listen"),
            duration_s=8.0,
        ),
        Kind(
            "large_command",
            "another program sends commands of 40 MB",
            lambda _w, _d: Strangers("large_command"),
            duration_s=4.0,
        ),
        Kind(
            "stop_restart",
            "the robot is stopped, then every process is killed; the stop is released at the end",
            lambda _w, _d: StopAndKill(),
            duration_s=20.0,
            leaves_nothing=True,
        ),
        Kind("cpu_hog", "other programs keep every core busy", lambda _w, _d: Hog(), duration_s=10.0),
        Kind(
            "clock_jump",
            "the clock jumps ahead by 5 s, and back at the end",
            lambda _w, _d: Parameters("clock", {"offset_s": 5.0}, {"offset_s": 0.0}),
            duration_s=5.0,
            needs=("clock",),
        ),
        Kind(
            "dds_drop",
            "the network between the processes drops out, half of the time",
            lambda _w, _d: NetworkLoss(),
            duration_s=5.0,
            own_network=True,
        ),
        Kind(
            "thermal_ramp",
            f"the air around the board warms from {AMBIENT_C:g} to {HOT_C:g} C",
            lambda _w, duration_s: Ramp("board", "ambient_c", AMBIENT_C, HOT_C, duration_s),
            duration_s=20.0,
            needs=("board",),
        ),
        Kind(
            "ambient_step",
            f"the air around the board is {HOT_C:g} C at once",
            lambda _w, _d: Parameters("board", {"ambient_c": HOT_C}, {"ambient_c": AMBIENT_C}),
            duration_s=20.0,
            needs=("board",),
        ),
        Kind(
            "fan_fail",
            "the board's fan stands still",
            lambda _w, _d: Parameters("board", {"fan": "failed"}, {"fan": "ok"}),
            duration_s=20.0,
            needs=("board",),
        ),
        Kind(
            "power_mode",
            "the board is put into another power mode",
            lambda what, _d: Parameters("board", {"power_mode": _power_mode(what)}, {"power_mode": "25W"}),
            WATTS,
            20.0,
            needs=("board",),
        ),
        Kind(
            "memory_pressure",
            "another program takes nearly all of the board's memory",
            lambda _w, _d: Parameters("board", {"memory_used_mb": 7000.0}, {"memory_used_mb": 0.0}),
            duration_s=10.0,
            needs=("board",),
        ),
    )
}
