# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated arm as URDF, for robot_description: what rviz and robot_state_publisher show.

Its unit of work is one text. Looks and joints are those of the scene; masses are left out, nothing simulates from it.
robots/so101_sim.urdf of edge_stack_core is this text (a test compares them); `python -m edge_stack_sim.urdf > FILE` writes
it.
"""

from __future__ import annotations

from edge_stack_sim.scene import (
    FINGER_LENGTH,
    FINGER_THICKNESS,
    FOREARM,
    JOINT_LIMITS,
    PINION_RADIUS,
    SHOULDER_HEIGHT,
    TOOL,
    UPPER_ARM,
)

_PAN_HEIGHT = 0.06
_LIGHT, _DARK, _GREY = "0.86 0.84 0.80", "0.15 0.15 0.17", "0.25 0.27 0.30"


def robot_description(base_frame: str = "base_link", name: str = "so101_sim") -> str:
    """URDF of the arm with joints as in joint_states. The gripper is a pinion that drives both fingers (mimic joints)."""
    shoulder = SHOULDER_HEIGHT - _PAN_HEIGHT
    palm = TOOL - FINGER_LENGTH - 0.012
    parts = [
        _link(base_frame, _box("-0.01 0 0.03", "0.09 0.08 0.06", _DARK)),
        _link("shoulder", _cylinder("0 0 0.012", 0.034, 0.03, _LIGHT), _across(shoulder, 0.022, 0.088)),
        _link("upper_arm", _box(f"0 0 {UPPER_ARM / 2}", f"0.028 0.034 {UPPER_ARM}", _LIGHT)),
        _link(
            "forearm", _across(0.0, 0.019, 0.078), _box(f"0 0 {FOREARM / 2}", f"0.024 0.03 {FOREARM}", _LIGHT)
        ),
        _link("wrist", _across(0.0, 0.016, 0.068)),
        _link(
            "gripper_link",
            _cylinder("0 0 0.035", 0.013, 0.04, _GREY),
            _box(f"0 0 {palm}", "0.026 0.084 0.024", _GREY),
        ),
        _link("gripper_pinion"),
        _joint("shoulder_pan", base_frame, "shoulder", f"0 0 {_PAN_HEIGHT}", "0 0 1"),
        _joint("shoulder_lift", "shoulder", "upper_arm", f"0 0 {shoulder}", "0 1 0"),
        _joint("elbow_flex", "upper_arm", "forearm", f"0 0 {UPPER_ARM}", "0 1 0"),
        _joint("wrist_flex", "forearm", "wrist", f"0 0 {FOREARM}", "0 1 0"),
        _joint("wrist_roll", "wrist", "gripper_link", "0 0 0", "0 0 1"),
        _joint("gripper", "gripper_link", "gripper_pinion", f"0 0 {palm}", "0 0 1"),
    ]
    for side, sign in (("left", 1), ("right", -1)):
        size = f"0.016 {FINGER_THICKNESS} {FINGER_LENGTH}"
        stroke = PINION_RADIUS * JOINT_LIMITS["gripper"][1]
        parts.append(_link(f"{side}_finger", _box(f"0 0 {FINGER_LENGTH / 2}", size, _GREY)))
        parts.append(
            f'<joint name="{side}_finger_joint" type="prismatic"><parent link="gripper_link"/>'
            f'<child link="{side}_finger"/>'
            f'<origin xyz="0 {sign * FINGER_THICKNESS / 2} {TOOL - FINGER_LENGTH}"/><axis xyz="0 {sign} 0"/>'
            f'<limit lower="0" upper="{stroke}" effort="6" velocity="0.1"/>'
            f'<mimic joint="gripper" multiplier="{PINION_RADIUS}"/></joint>'
        )
    return f'<?xml version="1.0"?>\n<robot name="{name}">\n' + "\n".join(parts) + "\n</robot>\n"


def _link(name: str, *visuals: str) -> str:
    return f'<link name="{name}">{"".join(visuals)}</link>'


def _visual(origin: str, shape: str, colour: str) -> str:
    return (
        f"<visual><origin {origin}/><geometry>{shape}</geometry>"
        f'<material name="{colour.replace(" ", "_")}"><color rgba="{colour} 1"/></material></visual>'
    )


def _box(xyz: str, size: str, colour: str) -> str:
    return _visual(f'xyz="{xyz}"', f'<box size="{size}"/>', colour)


def _cylinder(xyz: str, radius: float, length: float, colour: str) -> str:
    return _visual(f'xyz="{xyz}"', f'<cylinder radius="{radius}" length="{length}"/>', colour)


def _across(height: float, radius: float, length: float) -> str:
    """A motor: a cylinder along y."""
    return _visual(
        f'xyz="0 0 {height}" rpy="1.570796 0 0"', f'<cylinder radius="{radius}" length="{length}"/>', _DARK
    )


def _joint(name: str, parent: str, child: str, xyz: str, axis: str) -> str:
    low, high = JOINT_LIMITS[name]
    return (
        f'<joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}"/><axis xyz="{axis}"/>'
        f'<limit lower="{low}" upper="{high}" effort="6" velocity="5"/></joint>'
    )


if __name__ == "__main__":
    print(robot_description(), end="")
