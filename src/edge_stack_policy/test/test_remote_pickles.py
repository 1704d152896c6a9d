# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Answers of LeRobot's server: the real one is read, and no hostile one runs, hangs or takes memory."""

from __future__ import annotations

import contextlib
import pickle
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_policy.remote.inert_pickle import Instance, PickleRefused, Reader, dumps
from edge_stack_policy.remote.lerobot_wire import decode_actions

sys.path.insert(0, str(Path(__file__).parent))
from hostile_pickles import HOSTILE, MARKER, REAL

VALUES = [1.5409960746765137, -0.293428897857666, -2.1787893772125244]
"""The first three of torch.randn(6) after torch.manual_seed(0)."""
MEMORY_MAX = 16 * 1024 * 1024


def test_a_real_answer_is_read() -> None:
    first, chunk = decode_actions(REAL)
    assert (first, chunk.shape, chunk.dtype) == (7, (3, 6), np.float64)
    np.testing.assert_allclose(chunk[0, :3], VALUES)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused_and_nothing_happens(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert HOSTILE[name] != REAL
    tracemalloc.start()
    try:
        with pytest.raises(PickleRefused):
            decode_actions(HOSTILE[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MAX
    assert not (tmp_path / MARKER).exists()


@given(st.lists(st.tuples(st.integers(0, len(REAL) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_real_answer_with_changed_bytes_is_refused_or_still_a_chunk(changes: list[tuple[int, int]]) -> None:
    data = bytearray(REAL)
    for position, value in changes:
        data[position] = value
    try:
        _, chunk = decode_actions(bytes(data))
    except PickleRefused:
        return
    assert chunk.ndim == 2 and np.isfinite(chunk).all()


@given(st.integers(0, len(REAL) - 1))
def test_a_real_answer_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(PickleRefused):
        decode_actions(REAL[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_inert_values_or_refused(data: bytes) -> None:
    with contextlib.suppress(PickleRefused):
        Reader(data, ()).read()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_written_is_what_pickle_reads(value: Any) -> None:
    assert pickle.loads(dumps(value)) == value


@given(PLAIN)
def test_what_pickle_writes_of_plain_values_is_read_as_it_was(value: Any) -> None:
    assert Reader(pickle.dumps(value, 4), ()).read() == value


def test_images_are_written_as_arrays_that_can_be_written_to() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    read = pickle.loads(dumps({"camera": image}))["camera"]
    np.testing.assert_array_equal(read, image)
    assert read.flags.writeable


def test_an_object_is_written_with_its_attributes() -> None:
    written = dumps(Instance("edge_stack_core.errors ConfigurationError", {"field": 1}))
    assert pickle.loads(written).field == 1


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(TypeError, match="set is not among what can be written"):
        dumps({1, 2})
