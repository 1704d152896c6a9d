# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames through shared memory: what is written is read, torn or late frames never are, the dead leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack.transport.frame_ring import (
    FrameGoneError,
    FrameReader,
    FrameRing,
    SegmentError,
    remove_orphans,
)


@pytest.fixture
def ring(tmp_path: Path):
    one = FrameRing(slots=4, folder=tmp_path)
    yield one
    one.close()


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, shape, dtype, seed: int) -> None:
    folder = tmp_path_factory.mktemp("ring")
    ring, reader = FrameRing(folder=folder), FrameReader(folder)
    image = np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)
    index = ring.write(image)
    frame = reader.read(ring.name, index, image.nbytes)
    np.testing.assert_array_equal(frame.view(dtype).reshape(shape), image)
    ring.close()


def test_rows_with_a_stride_are_packed(ring: FrameRing, tmp_path: Path) -> None:
    image = np.arange(60, dtype=np.uint8).reshape(5, 12)[:, ::2]
    index = ring.write(image)
    assert FrameReader(tmp_path).read(ring.name, index, 30).tolist() == image.ravel().tolist()


def test_a_reader_that_is_late_finds_its_frame_gone(ring: FrameRing, tmp_path: Path) -> None:
    reader = FrameReader(tmp_path)
    for i in range(20):
        ring.write(np.full(100, i, np.uint8))
        for index in range(i + 1):
            if i - index < ring.slots - 1:
                assert set(reader.read(ring.name, index, 100).tolist()) == {index}
            else:
                with pytest.raises(FrameGoneError):
                    reader.read(ring.name, index, 100)
    with pytest.raises(FrameGoneError):
        reader.read(ring.name, 20, 100)


def test_a_closed_ring_leaves_no_file_even_while_somebody_holds_its_memory(tmp_path: Path) -> None:
    ring = FrameRing(folder=tmp_path)
    ring.write(np.zeros(100, np.uint8))
    held = ring._bytes[:8]
    ring.close()
    assert list(tmp_path.iterdir()) == []
    assert not held.any()


def test_a_larger_frame_gets_a_new_segment_and_the_old_one_is_removed(
    ring: FrameRing, tmp_path: Path
) -> None:
    reader = FrameReader(tmp_path)
    first = ring.write(np.zeros(100, np.uint8))
    name = ring.name
    reader.read(name, first, 100)
    second = ring.write(np.ones(1000, np.uint8))
    assert ring.name != name
    assert [p.name for p in tmp_path.iterdir()] == [ring.name]
    assert reader.read(ring.name, second, 1000).all()
    assert not reader.read(name, first, 100).any(), "a mapped segment stays readable"


@pytest.mark.parametrize("name", ["../../etc/passwd", "edge_stack_frames_0123456789abcdef", "", "x" * 500])
def test_a_name_that_is_no_segment_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SegmentError):
        FrameReader(tmp_path).read(name, 0, 100)


def test_a_file_that_is_no_segment_is_refused(tmp_path: Path) -> None:
    name = "edge_stack_frames_0123456789abcdef"
    for content in (b"", b"short", b"x" * 10_000, b"EDGEFRM1" + b"\xff" * 10_000):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SegmentError):
            FrameReader(tmp_path).read(name, 0, 100)


def test_a_size_beyond_the_slot_is_refused(ring: FrameRing, tmp_path: Path) -> None:
    index = ring.write(np.zeros(100, np.uint8))
    with pytest.raises(SegmentError):
        FrameReader(tmp_path).read(ring.name, index, 10_000)


_WRITER = """
import sys, pathlib, numpy as np
from edge_stack.transport.frame_ring import FrameRing
ring = FrameRing(slots=4, folder=pathlib.Path(sys.argv[1]))
image = np.zeros(600_000, np.uint8)
i = 0
while True:
    image[:] = i % 251
    index = ring.write(image)
    i += 1
    if index % 50 == 0:
        print(ring.name, index, flush=True)
"""


def test_no_frame_is_torn_while_a_writer_runs_at_full_speed_and_its_segment_goes_when_it_is_killed(
    tmp_path: Path,
) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        name = writer.stdout.readline().split()[0]
        reader = FrameReader(tmp_path)
        whole = gone = 0
        end = time.monotonic() + 20.0
        while whole < 200 and time.monotonic() < end:
            newest = int(np.fromfile(tmp_path / name, np.uint64, 1, offset=24)[0])
            # Frame newest is being written; the one before it is whole.
            try:
                frame = reader.read(name, max(newest - 1, 0), 600_000)
            except FrameGoneError:
                gone += 1
                continue
            assert (frame == frame[0]).all(), "a torn frame was given out"
            whole += 1
        assert whole >= 200, f"{whole} whole, {gone} gone"
        os.utime(tmp_path / name, (0, 0))
        assert remove_orphans(tmp_path) == 0, "the segment of a living writer was removed"
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    os.utime(tmp_path / name, (0, 0))
    assert remove_orphans(tmp_path) > 600_000 * 4
    assert not (tmp_path / name).exists()
    assert os.listdir(tmp_path) == []
