# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The reading side of a ring of camera frames: the ring as a reader sees it, and a thread that follows it.

A unit of work is one frame, handed on in order and once. A follower sleeps on the ring's own word in shared memory and
is awake some ten microseconds after the frame is whole; nothing is copied before the frame's picture is asked for. It
reads only: it can hold up neither the writer nor another reader. What the memory says is not trusted: a ring that
contradicts itself is given up.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.frames import layout
from edge_stack_core.frames.layout import FrameInfo
from edge_stack_core.runtime import futex, linux

__all__ = ["FrameFollower", "FrameGoneError", "MappedRing", "RingError", "StoredFrame"]

# How often a follower that gets no frames looks whether the writer lives.
_LOOK_PERIOD_NS = 250_000_000
# The shortest time slice that the kernel takes: who asks for less at a time runs sooner.
_SLICE_NS = 100_000
# More cannot have been lost between two looks: a ring that says so is not to be believed.
_MOST_LOST = 10_000


class FrameGoneError(Exception):
    """The frame was overwritten, or is about to be: the reader came too late."""


class RingError(Exception):
    """The ring cannot be used: it is not there (another machine or container), not ours, or malformed."""


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame that lies in shared memory. size: of its picture, bytes. written_ns: when it was whole, CLOCK_MONOTONIC."""

    ring: MappedRing
    index: int
    written_ns: int
    size: int
    info: FrameInfo

    def copy(self) -> NDArray[np.uint8]:
        """Copy the picture out: uint8 [size], read-only. FrameGoneError if it is overwritten. Safe in any thread."""
        return self.ring.copy(self.index, self.size)


class MappedRing:
    """A ring as a reader sees it: read-only, checked. Safe in any thread."""

    def __init__(self, name: str, folder: Path = layout.FOLDER) -> None:
        """Map a ring. RingError if it cannot be used from here."""
        if layout.NAME.fullmatch(name) is None:
            raise RingError(f"'{name[:80]}' is no name of a frame ring")
        self.name = name
        self._path = folder / name
        try:
            # Anybody may put a FIFO there, which would wait for its other end.
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise RingError(f"{self._path} cannot be opened: {error.strerror}") from error
        weakref.finalize(self, os.close, self._file)
        self._map = self._checked_map()
        self._begun = np.frombuffer(self._map, np.uint64, 1, layout.BEGUN_OFFSET)
        self._state = np.frombuffer(self._map, np.uint64, 1, layout.STATE_OFFSET)
        self._state_address = self._state.ctypes.data
        self._bytes = np.frombuffer(self._map, np.uint8, offset=layout.DATA_OFFSET)

    def state(self) -> tuple[int, bool]:
        """Return how many frames are whole, and whether the writer has closed the ring."""
        state = int(self._state[0])
        return state >> 1, bool(state & 1)

    def oldest(self) -> int:
        """Return the index of the oldest frame that can be read, if it was ever written."""
        return max(0, int(self._begun[0]) - layout.kept_frames(self.slots))

    def wait(self, seen: tuple[int, bool], until_ns: int) -> None:
        """Sleep until state() is not what was seen, or until a monotonic time; it may return before."""
        futex.wait(self._state_address, (2 * seen[0] + seen[1]) & 0xFFFFFFFF, until_ns)

    def wake(self) -> None:
        """Make everybody look again who waits."""
        futex.wake(self._state_address)

    def writer_lives(self) -> bool:
        """Return whether the writer's process has the ring still open; it holds a lock that the kernel ends with it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def frame(self, index: int) -> StoredFrame:
        """
        Return a whole frame, without its picture.

        FrameGoneError if it is overwritten, RingError if what lies there cannot be a frame.
        """
        at = layout.DATA_OFFSET + (index % self.slots) * self.slot_bytes
        futex.fence()
        header = self._map[at : at + layout.SLOT_HEADER_BYTES]
        self._check_holds(index)
        found, written_ns, size, stamp_s, stamp_ns, height, width, step, *lengths = (
            layout.SLOT_HEADER.unpack_from(header)
        )
        text = layout.SLOT_HEADER.size
        end = text + sum(lengths)
        if (
            found != index
            or end > layout.SLOT_HEADER_BYTES
            or size > self.slot_bytes - layout.SLOT_HEADER_BYTES
        ):
            raise RingError(f"{self._path}: what lies in the slot of frame {index} is no frame")
        try:
            encoding = header[text : text + lengths[0]].decode()
            frame_id = header[text + lengths[0] : end].decode()
        except UnicodeDecodeError as error:
            raise RingError(f"{self._path}: frame {index}: {error}") from error
        return StoredFrame(
            self,
            index,
            written_ns,
            size,
            FrameInfo(stamp_s, stamp_ns, frame_id, height, width, step, encoding),
        )

    def copy(self, index: int, size: int) -> NDArray[np.uint8]:
        """Copy a frame's picture out: uint8 [size], read-only. FrameGoneError if it is overwritten."""
        self._check_holds(index)
        begin = (index % self.slots) * self.slot_bytes + layout.SLOT_HEADER_BYTES
        picture = self._bytes[begin : begin + size].copy()
        self._check_holds(index)
        picture.flags.writeable = False
        return picture

    def _check_holds(self, index: int) -> None:
        futex.fence()
        if index < self.oldest():
            raise FrameGoneError(f"frame {index} is overwritten")

    def _checked_map(self) -> mmap.mmap:
        status = os.fstat(self._file)
        if status.st_uid not in (os.getuid(), 0):
            raise RingError(f"{self._path} belongs to another user")
        if status.st_size <= layout.DATA_OFFSET:
            raise RingError(f"{self._path} is too small for a frame ring")
        try:
            memory = mmap.mmap(self._file, status.st_size, prot=mmap.PROT_READ)
        except OSError as error:
            raise RingError(f"{self._path} cannot be mapped: {error.strerror}") from error
        magic, self.slots, self.slot_bytes = layout.HEADER.unpack_from(memory, 0)
        fits = (
            self.slots >= layout.LEAST_SLOTS
            and self.slot_bytes > layout.SLOT_HEADER_BYTES
            and layout.DATA_OFFSET + self.slots * self.slot_bytes <= status.st_size
        )
        if magic != layout.MAGIC or not fits:
            raise RingError(f"{self._path} is not a frame ring of this version")
        return memory


class FrameFollower:
    """
    Hands on every frame of a ring, in a thread of its own, until stop(), or until the writer closes it or dies.

    A frame that is overwritten before its turn is counted as lost. What deliver does is in the way of the next frames:
    it should take less than a frame period. It must not raise.
    """

    def __init__(
        self,
        ring: MappedRing,
        deliver: Callable[[StoredFrame], None],
        event: Callable[[str, int], None],
        *,
        since_ns: int = 0,
        deadline_s: float = 0.0,
    ) -> None:
        """
        Start.

        deliver: gets each frame that was written since a monotonic time. event: gets the name of what went wrong and how
        often: message_lost, deadline_missed (no frame within deadline_s after the last one; 0: none is expected),
        liveliness_lost (the writer died), malformed.
        """
        self.ring = ring
        self._deliver, self._event = deliver, event
        self._since_ns = since_ns
        self._deadline_ns = int(deadline_s * 1e9)
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether frames may still come."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End; afterwards, unless deliver takes longer than the limit, nothing is delivered."""
        self._stop = True
        self.ring.wake()
        self.join(timeout_s)

    def join(self, timeout_s: float) -> None:
        """Wait for the end of a follower whose ring is closed."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        # On the core of a writer that goes on computing after it woke this thread, it would otherwise wait for it.
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            with contextlib.suppress(OSError):
                linux.set_slice_ns(_SLICE_NS)
        try:
            self._follow()
        except RingError:
            self._event("malformed", 1)

    def _follow(self) -> None:
        ring = self.ring
        upcoming = ring.oldest()
        deadline_ns = 0  # there is none before the first frame
        look_ns = time.monotonic_ns() + _LOOK_PERIOD_NS
        while not self._stop:
            seen = whole, closed = ring.state()
            if upcoming > whole:
                raise RingError(f"{ring.name}: has {whole} whole frames, and had {upcoming}")
            if upcoming < whole:
                upcoming = self._hand_on(upcoming)
                now_ns = time.monotonic_ns()
                deadline_ns = now_ns + self._deadline_ns if self._deadline_ns else 0
                look_ns = now_ns + _LOOK_PERIOD_NS
                continue
            if closed:
                return
            ring.wait(seen, min(look_ns, deadline_ns) if deadline_ns else look_ns)
            now_ns = time.monotonic_ns()
            if ring.state() != seen:
                continue
            if deadline_ns and now_ns >= deadline_ns:
                self._event("deadline_missed", 1)
                deadline_ns += self._deadline_ns
            if now_ns >= look_ns:
                look_ns = now_ns + _LOOK_PERIOD_NS
                # It may have written once more before it died: then there is something to hand on first.
                if not ring.writer_lives() and ring.state() == seen:
                    self._event("liveliness_lost", 1)
                    return

    def _hand_on(self, upcoming: int) -> int:
        """Hand on the next frame there is, and return the index of the one after it."""
        index = max(upcoming, self.ring.oldest())
        try:
            frame = self.ring.frame(index)
        except FrameGoneError:
            return upcoming  # the writer was faster: once more
        if index > upcoming:
            self._event("message_lost", min(index - upcoming, _MOST_LOST))
        if frame.written_ns >= self._since_ns:
            self._deliver(frame)
        return index + 1
