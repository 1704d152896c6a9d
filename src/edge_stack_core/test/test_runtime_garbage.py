# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Garbage collection runs after ticks, only where its time fits, and never starves."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from edge_stack_core.runtime import garbage
from edge_stack_core.runtime.garbage import GarbageKeeper

PLENTY_NS = 10_000_000_000


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[GarbageKeeper]:
    monkeypatch.setattr(garbage, "_YOUNG_ALLOCATIONS", 1)
    keeper = GarbageKeeper()
    keeper.start()
    yield keeper
    keeper.stop()


def litter(count: int = 50) -> list[object]:
    return [[] for _ in range(count)]


def test_collection_is_off_between_start_and_stop(keeper: GarbageKeeper) -> None:
    assert not gc.isenabled()
    keeper.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_garbage_is_collected_after_a_tick_with_time_left(keeper: GarbageKeeper) -> None:
    kept = litter()
    keeper.after_tick(PLENTY_NS)
    assert keeper.collections == 1
    assert kept


def test_a_collection_that_does_not_fit_is_put_off(keeper: GarbageKeeper) -> None:
    keeper._longest_ns = [1e6, 1e6, 1e6]
    kept = litter()
    keeper.after_tick(100_000)
    assert (keeper.collections, keeper.put_off) == (0, 1)
    assert kept


def test_a_collection_put_off_too_long_runs_all_the_same(
    keeper: GarbageKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_OVERDUE_ALLOCATIONS", 10)
    keeper._longest_ns = [1e6, 1e6, 1e6]
    kept = litter()
    keeper.after_tick(100_000)
    assert (keeper.collections, keeper.forced) == (1, 1)
    assert kept
