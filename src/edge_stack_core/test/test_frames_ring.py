# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames through shared memory: what is written is read, torn or late frames never are, the dead leave nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_stack_core.frames import layout
from edge_stack_core.frames.frame_reader import FrameGoneError, MappedRing, RingError
from edge_stack_core.frames.frame_ring import FrameRing, remove_orphans
from edge_stack_core.frames.layout import FrameInfo

INFO = FrameInfo(1, 2, "eye", 3, 4, 5, "rgb8")
NAME = f"{layout.PREFIX}0123456789abcdef"


def read(mapped: MappedRing, index: int) -> NDArray[np.uint8]:
    return mapped.frame(index).copy()


@pytest.fixture
def ring(tmp_path: Path):
    one = FrameRing(slots=4, folder=tmp_path)
    yield one
    one.close()


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    seed=st.integers(0, 2**32 - 1),
    info=st.builds(
        FrameInfo,
        st.integers(-(2**31), 2**31 - 1),
        st.integers(0, 2**32 - 1),
        st.text(st.characters(codec="utf-8"), max_size=100),
        *[st.integers(0, 2**32 - 1)] * 3,
        st.sampled_from(["rgb8", "bayer_rggb16", ""]),
    ),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, shape, dtype, seed: int, info: FrameInfo
) -> None:
    ring = FrameRing(folder=tmp_path_factory.mktemp("ring"))
    image = np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)
    index = ring.write(image, info)
    frame = MappedRing(ring.name, ring._folder).frame(index)
    np.testing.assert_array_equal(frame.copy().view(dtype).reshape(shape), image)
    assert frame.info == info
    ring.close()


def test_rows_with_a_stride_are_packed(ring: FrameRing, tmp_path: Path) -> None:
    image = np.arange(60, dtype=np.uint8).reshape(5, 12)[:, ::2]
    index = ring.write(image, INFO)
    assert read(MappedRing(ring.name, tmp_path), index).tolist() == image.ravel().tolist()


def test_a_reader_that_is_late_finds_its_frame_gone(ring: FrameRing, tmp_path: Path) -> None:
    ring.write(np.full(100, 0, np.uint8), INFO)
    mapped = MappedRing(ring.name, tmp_path)
    for i in range(1, 20):
        ring.write(np.full(100, i, np.uint8), INFO)
        for index in range(i + 1):
            if i - index < layout.kept_frames(ring.slots):
                assert set(read(mapped, index).tolist()) == {index}
            else:
                with pytest.raises(FrameGoneError):
                    mapped.frame(index)


def test_a_frame_that_is_overwritten_before_its_picture_is_copied_says_so(
    ring: FrameRing, tmp_path: Path
) -> None:
    index = ring.write(np.zeros(100, np.uint8), INFO)
    frame = MappedRing(ring.name, tmp_path).frame(index)
    for _ in range(layout.kept_frames(ring.slots)):
        ring.write(np.ones(100, np.uint8), INFO)
    with pytest.raises(FrameGoneError):
        frame.copy()


def test_a_closed_ring_leaves_no_file_even_while_somebody_holds_its_memory(tmp_path: Path) -> None:
    ring = FrameRing(folder=tmp_path)
    ring.write(np.zeros(100, np.uint8), INFO)
    held = ring._bytes[:8]
    ring.close()
    assert list(tmp_path.iterdir()) == []
    assert held is not None


def test_a_ring_is_its_users_alone(ring: FrameRing, tmp_path: Path) -> None:
    ring.write(np.zeros(100, np.uint8), INFO)
    assert stat.S_IMODE((tmp_path / ring.name).stat().st_mode) == 0o600


def test_a_larger_frame_gets_a_new_ring_and_the_old_one_is_removed_but_stays_readable(
    ring: FrameRing, tmp_path: Path
) -> None:
    first = ring.write(np.zeros(100, np.uint8), INFO)
    old = MappedRing(ring.name, tmp_path)
    second = ring.write(np.ones(1000, np.uint8), INFO)
    assert ring.name != old.name
    assert [p.name for p in tmp_path.iterdir()] == [ring.name]
    assert read(MappedRing(ring.name, tmp_path), second).all()
    assert old.state() == (1, True)
    assert not read(old, first).any()


def test_a_name_that_does_not_fit_the_header_is_refused(ring: FrameRing) -> None:
    with pytest.raises(ValueError, match=r"frame_id: 2000 bytes; with the encoding's name at most \d+"):
        ring.write(np.zeros(100, np.uint8), INFO._replace(frame_id="x" * 2000))


@pytest.mark.parametrize("name", ["../../etc/passwd", NAME, "", "x" * 500])
def test_a_name_that_is_no_ring_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RingError):
        MappedRing(name, tmp_path)


def test_a_file_that_is_no_ring_is_refused(tmp_path: Path) -> None:
    for content in (
        b"",
        b"short",
        b"x" * 10_000,
        layout.MAGIC + b"\xff" * 10_000,
        layout.MAGIC + bytes(9000),
    ):
        (tmp_path / NAME).write_bytes(content)
        with pytest.raises(RingError):
            MappedRing(NAME, tmp_path)


def test_a_link_is_refused(ring: FrameRing, tmp_path: Path) -> None:
    ring.write(np.zeros(100, np.uint8), INFO)
    (tmp_path / NAME).symlink_to(tmp_path / ring.name)
    with pytest.raises(RingError):
        MappedRing(NAME, tmp_path)


_WRITER = """
import sys, pathlib, numpy as np
from edge_stack_core.frames.frame_ring import FrameRing
from edge_stack_core.frames.layout import FrameInfo
ring = FrameRing(slots=4, folder=pathlib.Path(sys.argv[1]))
image = np.zeros(600_000, np.uint8)
i = 0
while True:
    image[:] = i % 251
    index = ring.write(image, FrameInfo(i, 0, str(i), 0, 0, 0, ""))
    i += 1
    if index == 0:
        print(ring.name, flush=True)
"""


def test_no_frame_is_torn_while_a_writer_runs_at_full_speed_and_its_ring_goes_when_it_is_killed(
    tmp_path: Path,
) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        mapped = MappedRing(writer.stdout.readline().strip(), tmp_path)
        whole = gone = 0
        end = time.monotonic() + 120.0
        while whole < 200 and time.monotonic() < end:
            newest = mapped.state()[0] - 1
            try:
                frame = mapped.frame(newest)
                picture = frame.copy()
            except FrameGoneError:
                gone += 1
                continue
            assert (picture == newest % 251).all(), "a torn frame was given out"
            assert frame.info.frame_id == str(frame.info.stamp_s) == str(newest), (
                "a torn header was given out"
            )
            whole += 1
        assert whole >= 200, f"{whole} whole, {gone} gone"
        os.utime(tmp_path / mapped.name, (0, 0))
        assert mapped.writer_lives()
        assert remove_orphans(tmp_path) == 0, "the mapped of a living writer was removed"
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert not mapped.writer_lives()
    os.utime(tmp_path / mapped.name, (0, 0))
    assert remove_orphans(tmp_path) > 600_000 * 4
    assert os.listdir(tmp_path) == []
