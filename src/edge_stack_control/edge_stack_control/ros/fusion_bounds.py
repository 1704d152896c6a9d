# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How large a message to fusion may be: what it may sensibly hold, with room, and no more.

A unit is one bound, in bytes of the serialized message or in elements. A message within them is made and read in a few
milliseconds; one beyond them is refused by a look at its size, by fusion and its standby alike, so that neither of the two
misses a tick over it. 50,000 boxes would keep the interpreter for 0.1 s.
"""

from __future__ import annotations

_KIB = 1024

STOP_BYTES = 64
"""A std_msgs/Bool takes 5 bytes."""

DETECTIONS_MAX = 1000
"""Boxes of one message: a yolo node gives 100, and 1000 at most (max_detections); fusion reads each in Python."""
DETECTIONS_BYTES = 512 * _KIB
"""A box with one hypothesis, whose covariance is most of it, takes some 0.45 kB: room for all of DETECTIONS_MAX."""

LABELS_BYTES = 256 * _KIB
"""A class takes its number and a name: room for some thousand (Objects365 has 365, ImageNet 1000)."""
CAMERA_INFO_BYTES = 16 * _KIB
"""Half a kilobyte, and frame and distortion model as text."""

STACK_STATE_NODES_MAX = 256
STACK_STATE_BYTES = 128 * _KIB
"""A node takes 0.1 kB and the texts about it, which are some hundred characters: room for 256 nodes, or a few long texts."""

# Names, positions, velocities and efforts of one joint take some 60 bytes: room for 60 joints and more on the same topic (a
# hand, a mobile base, a second arm) and as much again for each joint of this robot.
_OTHER_JOINTS_BYTES = 16 * _KIB
_JOINT_BYTES = 4 * _KIB
# Text and times of a chunk: policy, frame and joint names.
_CHUNK_TEXT_BYTES = 64 * _KIB


def joint_states_bytes(joints: int) -> int:
    """Return the bound of joint states to a robot of so many joints."""
    return _OTHER_JOINTS_BYTES + joints * _JOINT_BYTES


def action_chunk_bytes(joints: int, max_horizon: int) -> int:
    """Return the bound of a chunk: twice the longest one that is executed, so that a longer one is told its length."""
    return _CHUNK_TEXT_BYTES + 2 * 8 * joints * max_horizon


def joint_names_max(joints: int) -> int:
    """Return how many joints a message may name: each name is looked at in Python."""
    return 256 + 4 * joints
