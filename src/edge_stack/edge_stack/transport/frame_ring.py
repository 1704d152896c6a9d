# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A ring of camera frames in shared memory: one process writes, any number read, nobody waits for anybody.

Its unit of work is one frame. The writer copies a frame into the next slot and tells its index by other means (a small
message); a reader copies it out and then looks whether the writer came near that slot meanwhile. There is no lock, so a
process that dies at any point holds up nobody. Frames are never queued: a reader that is `slots - 1` frames late finds
its frame gone.

Layout of the segment (little endian):  0: magic, 8 bytes | 8: slots, u32 | 16: slot size in bytes, u64 |
24: index of the frame that is being, or was last, written, u64 | 4096: slots, each a multiple of 64 bytes.

Why there is no memory barrier: the index is stored before the frame's bytes and read after them, and a reader gives a
frame up as soon as the writer has begun the frame that is `slots - 1` after it, one whole frame before its slot is
touched. A store would have to be delayed by a camera period to tear a frame; processors delay it by nanoseconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import secrets
import struct
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameGoneError", "FrameReader", "FrameRing", "SegmentError", "remove_orphans"]

FOLDER = Path("/dev/shm")
PREFIX = "edge_stack_frames_"
_NAME = re.compile(PREFIX + r"[0-9a-f]{16}")
_MAGIC = b"EDGEFRM1"
_HEADER = struct.Struct("<8sIxxxxQQ")
_INDEX_OFFSET = 24
_DATA_OFFSET = 4096
_ALIGNMENT = 64
_NOTHING_YET = 2**64 - 1
# Segments that a reader keeps open: a camera that restarts or changes its size makes a new one.
_OPEN_SEGMENTS = 4
_YOUNG_S = 1.0


class FrameGoneError(Exception):
    """The frame was overwritten, or is about to be: the reader came too late."""


class SegmentError(Exception):
    """The segment cannot be used: it is not there (another machine or container), not ours, or malformed."""


class FrameRing:
    """The writing side."""

    def __init__(self, slots: int = 8, folder: Path = FOLDER) -> None:
        """slots: how many frames stay readable, less one. The segment is made at the first frame, for its size."""
        if not 3 <= slots <= 1024:
            raise ValueError(f"slots: {slots}, must be 3 to 1024")
        self.slots = slots
        self.name = ""
        self._folder = folder
        self._slot_bytes = 0
        self._index = 0
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        self._words: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._bytes: NDArray[np.uint8] = np.empty(0, np.uint8)

    def write(self, image: NDArray[np.generic]) -> int:
        """
        Copy an array of any shape and dtype into the next slot and return its index in segment `name`.

        OSError if shared memory has no room for the segment.
        """
        size = image.nbytes
        if size > self._slot_bytes or self._map is None:
            self._make_segment(size)
        index = self._index
        self._index += 1
        self._words[0] = index
        begin = (index % self.slots) * self._slot_bytes
        target = self._bytes[begin : begin + size].view(image.dtype).reshape(image.shape)
        np.copyto(target, image)
        return index

    def close(self) -> None:
        """Remove the segment; readers keep what they have mapped."""
        if self._map is not None:
            self._words = np.empty(0, np.uint64)
            self._bytes = np.empty(0, np.uint8)
            with contextlib.suppress(
                BufferError
            ):  # a writer that was left behind still holds it; it goes with him
                self._map.close()
            self._map = None
            with contextlib.suppress(OSError):
                (self._folder / self.name).unlink()
            os.close(self._descriptor)

    def _make_segment(self, frame_bytes: int) -> None:
        self.close()
        remove_orphans(self._folder)
        slot_bytes = -(-max(frame_bytes, 1) // _ALIGNMENT) * _ALIGNMENT
        size = _DATA_OFFSET + self.slots * slot_bytes
        name = f"{PREFIX}{secrets.token_hex(8)}"
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Held for the writer's life: the kernel lets go of it when the writer dies, in whatever container it was.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Reserved now: a store into memory that is not there would end the process with SIGBUS.
            os.posix_fallocate(descriptor, 0, size)
            self._map = mmap.mmap(descriptor, size)
        except OSError:
            (self._folder / name).unlink()
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _HEADER.pack_into(self._map, 0, _MAGIC, self.slots, slot_bytes, _NOTHING_YET)
        self._words = np.frombuffer(self._map, np.uint64, 1, _INDEX_OFFSET)
        self._bytes = np.frombuffer(self._map, np.uint8, offset=_DATA_OFFSET)
        self.name, self._slot_bytes, self._index = name, slot_bytes, 0


class _Segment:
    """A segment as a reader sees it: read-only, checked."""

    def __init__(self, name: str, folder: Path) -> None:
        if _NAME.fullmatch(name) is None:
            raise SegmentError(f"'{name[:80]}' is no name of a frame segment")
        try:
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise SegmentError(f"{folder / name} cannot be opened: {error.strerror}") from error
        try:
            status = os.fstat(descriptor)
            if status.st_uid not in (os.getuid(), 0):
                raise SegmentError(f"{folder / name} belongs to another user")
            if status.st_size <= _DATA_OFFSET:
                raise SegmentError(f"{folder / name} is too small for a frame segment")
            self._map = mmap.mmap(descriptor, status.st_size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        magic, self.slots, self.slot_bytes, _ = _HEADER.unpack_from(self._map, 0)
        fits = self.slots >= 3 and _DATA_OFFSET + self.slots * self.slot_bytes <= status.st_size
        if magic != _MAGIC or not fits:
            raise SegmentError(f"{folder / name} is not a frame segment of this version")
        self._words = np.frombuffer(self._map, np.uint64, 1, _INDEX_OFFSET)
        self._bytes = np.frombuffer(self._map, np.uint8, offset=_DATA_OFFSET)

    def holds(self, index: int) -> bool:
        """Whether the frame is written and the writer is at least one whole frame away from its slot."""
        newest = int(self._words[0])
        return newest != _NOTHING_YET and index <= newest and newest - index < self.slots - 1

    def slot(self, index: int, size: int) -> NDArray[np.uint8]:
        if size > self.slot_bytes:
            raise SegmentError(f"a frame of {size} bytes does not fit a slot of {self.slot_bytes}")
        begin = (index % self.slots) * self.slot_bytes
        return self._bytes[begin : begin + size]


class FrameReader:
    """The reading side; keeps the last few segments open. Not thread-safe."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """folder: where segments lie."""
        self._folder = folder
        self._segments: OrderedDict[str, _Segment] = OrderedDict()

    def read(self, name: str, index: int, size: int) -> NDArray[np.uint8]:
        """
        Copy one frame out: uint8 [size], read-only.

        Raises SegmentError where the segment cannot be used, FrameGoneError where the frame is overwritten.
        """
        segment = self._segment(name)
        slot = segment.slot(index, size)
        if not segment.holds(index):
            raise FrameGoneError(f"frame {index} is overwritten")
        frame = slot.copy()
        if not segment.holds(index):
            raise FrameGoneError(f"frame {index} was overwritten while it was read")
        frame.flags.writeable = False
        return frame

    def opens(self, name: str) -> bool:
        """Whether a segment can be used from here."""
        try:
            self._segment(name)
        except SegmentError:
            return False
        return True

    def close(self) -> None:
        """Let go of all segments."""
        self._segments.clear()

    def _segment(self, name: str) -> _Segment:
        segment = self._segments.get(name)
        if segment is None:
            segment = _Segment(name, self._folder)
            self._segments[name] = segment
            while len(self._segments) > _OPEN_SEGMENTS:
                self._segments.popitem(last=False)
        else:
            self._segments.move_to_end(name)
        return segment


def remove_orphans(folder: Path = FOLDER) -> int:
    """Remove this user's segments whose writer is dead and return how many bytes that freed."""
    freed = 0
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    for entry in entries:
        if _NAME.fullmatch(entry.name) is None:
            continue
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            # A newborn segment may not be locked yet.
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_S:
                continue
            with open(entry.path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
                freed += status.st_size
    return freed
