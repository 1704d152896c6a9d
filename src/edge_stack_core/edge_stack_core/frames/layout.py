# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How camera frames lie in a ring in shared memory (little endian), for the one that writes and those that read.

    0     magic, 8 bytes | slots, u32 | 4 unused bytes | slot size in bytes, u64
    24    begun, u64: frames whose writing has begun
    32    state, u64: twice the number of whole frames, plus one once the writer has closed the ring; readers sleep on
          its lower half
    4096  slots: 1024 bytes of header, then the picture's rows without padding; frame i lies in slot i % slots

A slot's header: index, u64 | time written, CLOCK_MONOTONIC, ns, i64 | picture's size in bytes, u64 | stamp, i32 s and
u32 ns | height, width, step, u32 each | lengths of encoding and frame_id, u16 each | both as UTF-8.

The writer raises `begun`, writes slot and header, then raises `state`; a reader looks at `state`, reads, and looks at
`begun` afterwards: with a fence between each two, what it read is whole if the writer has not come near. Every store
leaves the ring valid, so a writer may die anywhere.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

FOLDER = Path("/dev/shm")
PREFIX = "edge_stack_frames_"
NAME = re.compile(PREFIX + r"[0-9a-f]{16}")
MAGIC = b"EDGEFRM2"
HEADER = struct.Struct("<8sIxxxxQ")
BEGUN_OFFSET = 24
STATE_OFFSET = 32
DATA_OFFSET = 4096
SLOT_HEADER_BYTES = 1024
SLOT_HEADER = struct.Struct("<QqQiIIIIHH")
TEXT_BYTES = SLOT_HEADER_BYTES - SLOT_HEADER.size
ALIGNMENT = 64
LEAST_SLOTS = 3


class FrameInfo(NamedTuple):
    """What a frame's picture is, as in sensor_msgs/Image; rows are contiguous, values little endian."""

    stamp_s: int
    stamp_ns: int
    frame_id: str
    height: int
    width: int
    step: int
    encoding: str


def kept_frames(slots: int) -> int:
    """Return how many of the last frames a reader can have: the writer stays one whole frame away from them."""
    return slots - 1
