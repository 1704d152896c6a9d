# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Following a ring of frames: all of them in order and once, what is lost is counted, the end is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_stack_core.frames import layout
from edge_stack_core.frames.frame_reader import FrameFollower, MappedRing, StoredFrame
from edge_stack_core.frames.frame_ring import FrameRing
from edge_stack_core.frames.layout import FrameInfo

LIMIT_S = 60.0


class Follower:
    """A follower whose frames and events are kept. hold: while cleared, it is busy with a frame; from the start if busy."""

    def __init__(
        self, ring: FrameRing, since_ns: int = 0, deadline_s: float = 0.0, busy: bool = False
    ) -> None:
        self.frames: list[StoredFrame] = []
        self.events: Counter[str] = Counter()
        self.hold = threading.Event()
        if not busy:
            self.hold.set()
        mapped = MappedRing(ring.name, ring._folder)
        self.follower = FrameFollower(
            mapped, self._take, self._count, since_ns=since_ns, deadline_s=deadline_s
        )

    def _take(self, frame: StoredFrame) -> None:
        self.frames.append(frame)
        self.hold.wait(LIMIT_S)

    def _count(self, name: str, count: int) -> None:
        self.events[name] += count

    def stamps(self) -> list[int]:
        return [frame.info.stamp_s for frame in self.frames]

    def wait(self, condition: Callable[[], object]) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end_s, f"{self.stamps()}, {self.events}"
            time.sleep(0.002)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[FrameRing]:
    one = FrameRing(slots=5, folder=tmp_path)
    write(one, 0)
    yield one
    one.close()


@pytest.fixture
def follow(ring: FrameRing) -> Iterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def make(**options: float) -> Follower:
        made.append(Follower(ring, **options))
        return made[-1]

    yield make
    for follower in made:
        follower.hold.set()
        follower.follower.stop()


def write(ring: FrameRing, number: int) -> None:
    ring.write(np.full(1000, number % 256, np.uint8), FrameInfo(number, 0, "eye", 10, 100, 100, "mono8"))


def test_every_reader_gets_every_frame_in_order_and_once(ring: FrameRing, follow) -> None:
    readers = [follow() for _ in range(5)]
    for number in range(1, 200):
        write(ring, number)
        for reader in readers:
            reader.wait(lambda reader=reader, n=number: n in reader.stamps()[-4:])
    for reader in readers:
        assert reader.stamps() == list(range(200))
        assert not reader.events


def test_a_reader_that_is_late_gets_what_is_still_there_and_the_rest_is_counted(
    ring: FrameRing, follow
) -> None:
    reader = follow(busy=True)
    reader.wait(lambda: reader.stamps() == [0])
    for number in range(1, 12):
        write(ring, number)
    reader.hold.set()
    reader.wait(lambda: 11 in reader.stamps())
    assert layout.kept_frames(ring.slots) == 4
    assert reader.stamps() == [0, 8, 9, 10, 11]
    assert reader.events == {"message_lost": 7}


def test_a_reader_gets_only_frames_written_since_a_time(ring: FrameRing, follow) -> None:
    reader = follow(since_ns=time.monotonic_ns())
    write(ring, 1)
    reader.wait(lambda: reader.frames)
    assert reader.stamps() == [1]


def test_a_reader_that_stands_still_holds_up_nobody(ring: FrameRing, follow) -> None:
    follow(busy=True)
    free = follow()
    for number in range(1, 50):
        write(ring, number)
        free.wait(lambda n=number: n in free.stamps()[-4:])
    assert free.stamps() == list(range(50))


def test_after_stop_nothing_is_delivered(ring: FrameRing, follow) -> None:
    reader = follow()
    reader.wait(lambda: reader.frames)
    reader.follower.stop()
    assert not reader.follower.is_alive
    write(ring, 1)
    assert reader.stamps() == [0]


def test_a_closed_ring_ends_the_reader_once_it_has_the_last_frame(ring: FrameRing, follow) -> None:
    reader = follow(busy=True)
    reader.wait(lambda: reader.frames)
    write(ring, 1)
    ring.close()
    reader.hold.set()
    reader.wait(lambda: not reader.follower.is_alive)
    assert reader.stamps() == [0, 1]
    assert not reader.events


def test_each_missed_deadline_after_the_first_frame_is_counted(ring: FrameRing, follow) -> None:
    silent = follow(since_ns=0, deadline_s=0.02)
    silent.wait(lambda: silent.events["deadline_missed"] >= 3)
    write(ring, 1)
    silent.wait(lambda: silent.stamps() == [0, 1])


_WRITER = """
import pathlib, sys, time, numpy as np
from edge_stack_core.frames.frame_ring import FrameRing
from edge_stack_core.frames.layout import FrameInfo
ring = FrameRing(slots=5, folder=pathlib.Path(sys.argv[1]))
for number in range(3):
    ring.write(np.zeros(1000, np.uint8), FrameInfo(number, 0, "", 0, 0, 0, ""))
print(ring.name, flush=True)
time.sleep(60.0)
"""


@pytest.mark.parametrize("deadline_s", [0.0, 0.05])
def test_a_writer_that_is_killed_is_noticed_after_its_last_frame(tmp_path: Path, deadline_s: float) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        ring = FrameRing(slots=5, folder=tmp_path)
        ring.name = writer.stdout.readline().strip()
        reader = Follower(ring, deadline_s=deadline_s)
        reader.wait(lambda: len(reader.frames) == 3)
        assert reader.follower.is_alive
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    reader.wait(lambda: not reader.follower.is_alive)
    assert reader.stamps() == [0, 1, 2]
    assert reader.events["liveliness_lost"] == 1


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    name = layout.PREFIX + "0" * 16
    os.mkfifo(tmp_path / name)
    code = (
        "import pathlib, sys\n"
        "from edge_stack_core.frames.frame_reader import MappedRing\n"
        "MappedRing(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
    )
    # In a process of its own: opened without care, it waits for ever.
    done = subprocess.run(
        [sys.executable, "-c", code, name, str(tmp_path)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert "RingError" in done.stderr


def _overwrite(ring: FrameRing, offset: int, content: bytes) -> None:
    assert ring._map is not None
    ring._map[offset : offset + len(content)] = content


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


@pytest.mark.parametrize(
    "wreck",
    [
        # another index in the slot; no UTF-8; texts longer than their room; a picture larger than the slot
        lambda ring: _overwrite(ring, layout.DATA_OFFSET, _number(77)),
        lambda ring: _overwrite(ring, layout.DATA_OFFSET + layout.SLOT_HEADER.size, b"\xff"),
        lambda ring: _overwrite(ring, layout.DATA_OFFSET + layout.SLOT_HEADER.size - 2, b"\xff\xff"),
        lambda ring: _overwrite(ring, layout.DATA_OFFSET + 16, _number(2**63)),
        # counts that contradict each other
        lambda ring: _overwrite(ring, layout.STATE_OFFSET, _number(2**62)),
        lambda ring: _overwrite(ring, layout.BEGUN_OFFSET, _number(2**64 - 1)),
    ],
)
def test_a_ring_that_contradicts_itself_is_given_up(ring: FrameRing, follow, wreck) -> None:
    wreck(ring)
    reader = follow()
    reader.wait(lambda: not reader.follower.is_alive)
    assert reader.events["malformed"] == 1
    assert set(reader.stamps()) <= {0}, "more than what was written came out"
