# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Who requests a stop, and what that survives on a real disk: files that are lost, unreadable, or cannot be written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge_stack_core.runtime import command_page, run_state
from edge_stack_core.runtime.command_page import CommandPage
from edge_stack_core.runtime.run_state import UNKNOWN, RunFiles, StateMissing, StateUnusable, state_folder
from edge_stack_core.runtime.stop_set import GATEWAY, SERVICE, TOPIC, StopSet

NAME = "/left/fusion"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(command_page, "FOLDER", tmp_path / "shm")
    monkeypatch.setenv(run_state.STATE_VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state"


class Process:
    """What a fusion process has of it."""

    def __init__(self, *, persists: bool = False) -> None:
        self.files = RunFiles(NAME)
        self.stops = StopSet(self.files)
        self.page = CommandPage(NAME, ["a"], self.files)
        self.stops.open(self.page, persists=persists)
        self.stops.settle(self.page)

    def close(self) -> None:
        """End in good order."""
        self.page.close()
        self.files.close()

    def power_cut(self) -> None:
        """End with every process of this machine; the page is gone."""
        self.page.path.unlink(missing_ok=True)
        self.close()

    def held(self) -> set[str]:
        return set(self.stops.held())


def test_a_source_releases_its_own_and_the_robot_stands_while_any_holds() -> None:
    one = Process()
    assert not one.stops.requested
    assert one.stops.request(SERVICE) and one.stops.request(TOPIC) and one.stops.request(GATEWAY)
    assert one.stops.release(TOPIC)
    assert one.held() == {SERVICE, GATEWAY} and one.stops.requested and not one.stops.unknown
    assert one.stops.release_all() == {SERVICE, GATEWAY}
    assert not one.stops.requested
    with pytest.raises(KeyError):
        one.stops.request("somebody")
    one.close()


def test_what_one_process_requests_holds_for_the_other_at_once_and_either_releases_it() -> None:
    one, other = Process(), Process()
    one.stops.request(SERVICE)
    assert other.stops.requested
    other.stops.release_all()
    assert not one.stops.requested and run_state.load(one.files).held == frozenset()
    one.close()
    other.close()


def test_a_power_cut_and_a_removed_page_release_nothing() -> None:
    one = Process()
    one.stops.request(TOPIC)
    one.power_cut()
    again = Process()
    assert again.held() == {TOPIC}
    again.close()


def test_the_orderly_end_of_a_process_is_no_end_of_the_run() -> None:
    one = Process()
    one.stops.request(SERVICE)
    one.close()
    assert not one.page.path.exists()
    again = Process()
    assert again.held() == {SERVICE}
    again.close()


@pytest.mark.parametrize("persists", [False, True])
def test_after_the_end_of_the_run_a_stop_holds_only_where_stops_persist(persists: bool) -> None:
    one = Process()
    one.stops.request(SERVICE)
    one.close()
    files = RunFiles(NAME)
    run_state.end_run(files)
    files.close()
    again = Process(persists=persists)
    assert again.held() == ({SERVICE} if persists else set())
    again.close()


def test_nothing_on_disk_is_no_stop_and_begins_a_run(folder: Path) -> None:
    one = Process()
    assert not one.held()
    stored = run_state.load(one.files)
    assert stored.run and stored.whole
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    one.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b'{"run": 1, "sour'),
        lambda path: path.write_bytes(b'{"run": 1, "sources": []}'),  # of another run
        lambda path: path.write_bytes(b" " * 5000),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/dev/null")),
    ],
    ids=["removed", "cut off", "another run", "too long", "a folder", "a link"],
)
def test_a_set_that_is_lost_while_nothing_runs_is_an_unknown_stop_until_all_is_released(spoil) -> None:  # type: ignore[no-untyped-def]
    one = Process()
    one.power_cut()
    spoil(RunFiles(NAME).path("stop"))
    again = Process()
    assert again.stops.unknown and UNKNOWN in again.held()
    again.stops.release_all()
    assert not again.stops.unknown
    again.close()


def test_a_run_file_that_cannot_be_read_is_an_unknown_stop() -> None:
    one = Process()
    one.power_cut()
    RunFiles(NAME).path("run").write_bytes(b"\xff")
    again = Process()
    assert again.held() == {UNKNOWN}
    again.close()


def test_a_set_that_is_lost_while_the_page_is_there_is_written_anew() -> None:
    one = Process()
    one.stops.request(TOPIC)
    one.files.path("stop").unlink()
    assert "anew" in one.stops.check()
    assert one.held() == {TOPIC} and run_state.load(one.files).held == {TOPIC}
    assert one.stops.check() == ""
    one.close()


def test_a_page_and_files_that_are_both_lost_are_an_unknown_stop() -> None:
    one = Process()
    for kind in ("run", "stop"):
        one.files.path(kind).unlink()
    one.page.path.unlink()
    assert one.page.is_lost()
    one.page.close()
    page = CommandPage(NAME, ["a"], one.files)
    one.stops.open(page, lost=True)
    assert one.held() == {UNKNOWN}
    page.close()


def test_a_new_page_is_not_commanded_by_while_a_process_uses_the_removed_one() -> None:
    one = Process()
    one.page.path.unlink()
    other = Process()
    assert one.page.settled and not other.page.settled
    one.stops.request(SERVICE)  # where the other one does not see it
    one.page.close()
    other.stops.settle(other.page)
    assert other.page.settled and other.held() == {SERVICE}
    other.close()


def test_where_the_disk_cannot_be_written_the_stop_holds_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Process()
    write = RunFiles.write

    def full(self: RunFiles, kind: str, data: bytes) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(RunFiles, "write", full)
    assert not one.stops.request(SERVICE)
    assert one.stops.requested and one.stops.unsaved == os.strerror(28)
    one.stops.release_all()
    one.stops.check()
    assert not one.stops.requested
    one.stops.request(TOPIC)
    monkeypatch.setattr(RunFiles, "write", write)
    one.stops.check()
    assert one.stops.unsaved == "" and run_state.load(one.files).held == {TOPIC}
    one.close()


def test_without_a_folder_a_stop_outlives_deactivation_and_a_configure(tmp_path: Path) -> None:
    stops = StopSet(None)
    page = CommandPage(NAME, ["a"])
    stops.open(page)
    assert not stops.request(SERVICE) and stops.unsaved
    page.close()
    page = CommandPage(NAME, ["a"])
    stops.open(page)
    assert stops.held() == {SERVICE}
    page.close()


def test_stacks_of_other_names_and_domains_have_each_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stems = {run_state.stem_of("/left/fusion"), run_state.stem_of("/right/fusion")}
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    assert len(stems | {run_state.stem_of("/left/fusion")}) == 3


def test_a_folder_that_others_may_write_to_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StateUnusable, match="others may write"):
        state_folder()
    monkeypatch.setenv(run_state.STATE_VARIABLE, str(folder / "file"))
    (folder / "file").touch()
    with pytest.raises(StateUnusable, match="no folder"):
        state_folder()


def test_without_the_variable_a_private_folder_is_made_and_a_link_in_its_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(run_state.STATE_VARIABLE)
    monkeypatch.setattr(run_state, "SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.setattr(run_state, "USERS_FOLDER", str(tmp_path / "edge_stack.{uid}"))
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(StateMissing, match="it is not there"):
        state_folder(make=False)
    made = state_folder()
    assert made == tmp_path / f"edge_stack.{os.getuid()}" and stat.S_IMODE(made.stat().st_mode) == 0o700
    made.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    made.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnusable):
        state_folder()
