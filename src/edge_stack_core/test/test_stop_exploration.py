# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""No order of requests, deaths, restarts and losses forgets a requested stop; without any one of the checks, one does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from stop_exploration import START, Violation, explore, successors

from edge_stack_core.runtime import run_state
from edge_stack_core.runtime.lease import Lease
from edge_stack_core.runtime.run_state import UNKNOWN, RunStore, Stored
from edge_stack_core.runtime.stop_set import StopSet

# What a run of all tests has time for; EDGE_STACK_STOP_DEPTH=12 goes on.
DEPTH = int(os.environ.get("EDGE_STACK_STOP_DEPTH", "7"))


def test_a_requested_stop_holds_in_every_order_and_never_two_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin_s = time.monotonic()
    states = explore(DEPTH)
    with capsys.disabled():
        print(f"\n{states} states within {DEPTH} actions, {time.monotonic() - begin_s:.1f} s")
    assert states > 1000


@pytest.mark.parametrize(
    "way",
    [
        "start 0; start 1; remove page; request at 0; end 0; lose set; end 1; start 0; tick 0",
        "start 0; start 1; release at 0, killed after store 2; remove page; start 0; request at 0; end 0; end 1; start 0;"
        " tick 0",
    ],
    ids=["the set is lost meanwhile", "a release was left undone in it"],
)
def test_a_process_that_ends_in_a_removed_page_forgets_no_stop_of_the_next_one(way: str) -> None:
    """Ways that an exploration found: in the old page nothing is known of what the new one was told."""
    state = START
    for action in way.split("; "):
        state = dict(successors(state))[action]
    assert state.required


def _never_on_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StopSet, "_save", lambda self, requested="": True)


def _page_as_it_is(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StopSet, "_sources_on_disk", lambda self, stored, is_new: frozenset())


def _lost_set_is_empty(patch: pytest.MonkeyPatch) -> None:
    load = run_state.load

    def lenient(store: RunStore, *, persists: bool = False) -> Stored:
        found = load(store, persists=persists)
        return found if found.whole else Stored(found.run, found.held - {UNKNOWN}, whole=False)

    patch.setattr(run_state, "load", lenient)


def _nothing_known(patch: pytest.MonkeyPatch) -> None:
    take = StopSet._take
    patch.setattr(StopSet, "_take", lambda self, words, stored, known: take(self, words, stored, frozenset()))
    patch.setattr(StopSet, "_lost", lambda self, known_run, is_gone: frozenset())


def _any_page(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "_is_another_page", lambda self: False)


@pytest.mark.parametrize(
    ("without", "violation"),
    [
        pytest.param(_never_on_disk, "not released", id="a request is on disk before it is answered"),
        pytest.param(_page_as_it_is, "not released", id="a page takes over what lies on disk"),
        pytest.param(_lost_set_is_empty, "not released", id="a lost set of an unended run is a stop"),
        pytest.param(
            _nothing_known, "not released", id="what a process knows of a run that is gone is a stop"
        ),
        pytest.param(_any_page, "two command|not released", id="nobody commands by one of two pages"),
    ],
)
def test_without_any_one_of_its_checks_a_stop_is_forgotten_or_two_command(
    without: Callable[[pytest.MonkeyPatch], None], violation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    with pytest.raises(Violation, match=violation) as found:
        explore(6)
    print(found.value)
