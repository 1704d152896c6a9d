# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A ring of camera frames in shared memory: one process writes, any number read (frame_reader.py), nobody waits for anybody.

Its unit of work is one frame: copied into the next slot, counted, and every reader that sleeps woken by one system call.
There is no lock, so a process that dies at any point holds up nobody, and no queue: a reader that comes `slots` frames
late has lost some. See layout.py for what lies where.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.frames import layout
from edge_stack_core.frames.layout import FrameInfo
from edge_stack_core.runtime import futex

__all__ = ["FrameRing", "remove_orphans"]

_YOUNG_S = 1.0


class FrameRing:
    """The writing side. Not thread-safe."""

    def __init__(self, slots: int = 8, folder: Path = layout.FOLDER) -> None:
        """slots: how many frames stay readable, plus one. The ring is made at the first frame, for its size."""
        if not layout.LEAST_SLOTS <= slots <= 1024:
            raise ValueError(f"slots: {slots}, must be {layout.LEAST_SLOTS} to 1024")
        self.slots = slots
        self.name = ""
        self._folder = folder
        self._slot_bytes = 0
        self._count = 0
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        self._begun: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._state: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._state_address = 0
        self._bytes: NDArray[np.uint8] = np.empty(0, np.uint8)

    def write(self, image: NDArray[np.generic], info: FrameInfo) -> int:
        """
        Copy an array of any shape and dtype into the next slot, wake the readers, and return its index in ring `name`.

        OSError if shared memory has no room for the ring, ValueError if frame_id is too long for the slot's header.
        """
        encoding, frame_id = info.encoding.encode(), info.frame_id.encode()
        if len(encoding) + len(frame_id) > layout.TEXT_BYTES:
            raise ValueError(
                f"frame_id: {len(frame_id)} bytes; with the encoding's name at most {layout.TEXT_BYTES}"
            )
        size = image.nbytes
        memory = self._map
        if memory is None or layout.SLOT_HEADER_BYTES + size > self._slot_bytes:
            memory = self._make_file(size)
        index = self._count
        self._count = index + 1
        slot = (index % self.slots) * self._slot_bytes
        self._begun[0] = index + 1
        futex.fence()
        begin = slot + layout.SLOT_HEADER_BYTES
        np.copyto(self._bytes[begin : begin + size].view(image.dtype).reshape(image.shape), image)
        at = layout.DATA_OFFSET + slot
        text = at + layout.SLOT_HEADER.size
        memory[text : text + len(encoding) + len(frame_id)] = encoding + frame_id
        layout.SLOT_HEADER.pack_into(
            memory,
            at,
            index,
            time.monotonic_ns(),
            size,
            info.stamp_s,
            info.stamp_ns,
            info.height,
            info.width,
            info.step,
            len(encoding),
            len(frame_id),
        )
        self._tell(2 * (index + 1))
        return index

    def close(self) -> None:
        """Remove the ring; readers keep what they have mapped, and what they have not read yet."""
        if self._map is None:
            return
        self._tell(2 * self._count + 1)
        self._begun = self._state = np.empty(0, np.uint64)
        self._bytes = np.empty(0, np.uint8)
        # A writer that was left behind still holds it; it goes with him.
        with contextlib.suppress(BufferError):
            self._map.close()
        self._map = None
        with contextlib.suppress(OSError):
            (self._folder / self.name).unlink()
        os.close(self._descriptor)

    def _tell(self, state: int) -> None:
        futex.fence()
        self._state[0] = state
        futex.wake(self._state_address)

    def _make_file(self, frame_bytes: int) -> mmap.mmap:
        self.close()
        remove_orphans(self._folder)
        slot_bytes = -(-(layout.SLOT_HEADER_BYTES + frame_bytes) // layout.ALIGNMENT) * layout.ALIGNMENT
        size = layout.DATA_OFFSET + self.slots * slot_bytes
        name = f"{layout.PREFIX}{secrets.token_hex(8)}"
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Held for the writer's life: the kernel lets go of it when the writer dies, in whatever container it was.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Reserved now: a store into memory that is not there would end the process with SIGBUS.
            os.posix_fallocate(descriptor, 0, size)
            memory = mmap.mmap(descriptor, size)
        except OSError:
            (self._folder / name).unlink()
            os.close(descriptor)
            raise
        self._map, self._descriptor = memory, descriptor
        layout.HEADER.pack_into(memory, 0, layout.MAGIC, self.slots, slot_bytes)
        self._begun = np.frombuffer(memory, np.uint64, 1, layout.BEGUN_OFFSET)
        self._state = np.frombuffer(memory, np.uint64, 1, layout.STATE_OFFSET)
        self._state_address = self._state.ctypes.data
        self._bytes = np.frombuffer(memory, np.uint8, offset=layout.DATA_OFFSET)
        self.name, self._slot_bytes, self._count = name, slot_bytes, 0
        return memory


def remove_orphans(folder: Path = layout.FOLDER) -> int:
    """Remove this user's rings whose writer is dead and return how many bytes that freed."""
    freed = 0
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    for entry in entries:
        if layout.NAME.fullmatch(entry.name) is None:
            continue
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            # A newborn ring may not be locked yet.
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_S:
                continue
            with open(entry.path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
                freed += status.st_size
    return freed
