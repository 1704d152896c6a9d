# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Who commands, over any order of ticks, deaths, stops and starts: never two at once, and soon another one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.runtime import command_page
from edge_stack_core.runtime.command_page import CommandPage
from edge_stack_core.runtime.lease import Lease, Why

PERIOD_NS = 1000


class KernelLocks:
    """Locks of one process, in a table that all processes share."""

    def __init__(self, held: dict[int, int], me: int) -> None:
        self.held, self.me = held, me

    def try_lock(self, which: int) -> bool:
        return self.held.setdefault(which, self.me) == self.me

    def unlock(self, which: int) -> None:
        if self.held.get(which) == self.me:
            del self.held[which]

    def is_locked(self, which: int) -> bool:
        return self.held.get(which, self.me) != self.me


class SharedMemory:
    """A page in the memory of one test."""

    joints = 1
    settled = True

    def __init__(self, words: list[int], positions: np.ndarray, held: dict[int, int], slot: int) -> None:
        self.words, self.positions, self.slot = words, positions, slot
        self.locks = KernelLocks(held, slot)
        self.locks.try_lock(command_page.L_SLOTS + slot)
        self.lost = False

    def is_lost(self) -> bool:
        return self.lost


class Processes(RuleBasedStateMachine):
    """Up to three processes; each may be killed or stopped anywhere, also between its look and its command."""

    @initialize()
    def begin(self) -> None:
        self.words = [0] * (command_page.W_ALIVE + command_page.SLOTS)
        self.positions = np.zeros(1)
        self.held: dict[int, int] = {}
        self.now_ns = 10 * PERIOD_NS
        self.leases: dict[int, Lease] = {}
        self.stopped: set[int] = set()
        self.commanding: set[int] = set()  # those with the pen in their hand
        self.commands: list[tuple[int, int]] = []
        for slot in range(3):
            self.start(slot)
        self.leases[0].want(True, self.now_ns)

    def start(self, slot: int) -> None:
        page = SharedMemory(self.words, self.positions, self.held, slot)
        if self.words[command_page.W_OWNER] == slot + 1:
            self.words[command_page.W_OWNER] = 0  # as the page does when a slot is claimed
        self.leases[slot] = Lease(page, PERIOD_NS, standby=slot > 0)

    def runs(self, slot: int) -> bool:
        return slot in self.leases and slot not in self.stopped

    @rule(slot=st.integers(0, 2))
    def look(self, slot: int) -> None:
        if self.runs(slot) and slot not in self.commanding:
            self.leases[slot].turn(self.now_ns)
            if self.leases[slot].take(self.now_ns):
                self.commanding.add(slot)

    @rule(slot=st.integers(0, 2))
    def command(self, slot: int) -> None:
        if self.runs(slot) and slot in self.commanding:
            self.commanding.discard(slot)
            assert self.words[command_page.W_OWNER] == slot + 1, (
                "a command of one that does not own the robot"
            )
            self.commands.append((self.now_ns, slot))
            self.leases[slot].give([0.0], self.now_ns, self.now_ns)

    @rule(slot=st.integers(0, 2))
    def kill(self, slot: int) -> None:
        if slot in self.leases:
            del self.leases[slot]
            self.stopped.discard(slot)
            self.commanding.discard(slot)
            for which in [w for w, holder in self.held.items() if holder == slot]:
                del self.held[which]

    @rule(slot=st.integers(0, 2))
    def restart(self, slot: int) -> None:
        if slot not in self.leases:
            self.start(slot)

    @rule(slot=st.integers(0, 2))
    def stop(self, slot: int) -> None:
        if slot in self.leases:
            self.stopped.add(slot)

    @rule(slot=st.integers(0, 2))
    def wake(self, slot: int) -> None:
        self.stopped.discard(slot)

    @rule(periods=st.floats(0.1, 4.0))
    def pass_time(self, periods: float) -> None:
        self.now_ns += int(periods * PERIOD_NS)

    @precondition(lambda self: any(self.runs(slot) for slot in range(3)))
    @rule(data=st.data())
    def another_one_commands_within_its_next_tick(self, data: st.DataObject) -> None:
        """
        Whoever runs, with the others killed or silent, commands at its next tick, unless one was stopped with the pen.

        A robot that nobody ever commanded, or whose owner's place was taken anew, is the principal's for a while.
        """
        slot = data.draw(st.sampled_from([slot for slot in range(3) if self.runs(slot)]))
        for other in range(3):
            if other != slot and other not in self.commanding:
                self.kill(other)
        if self.words[command_page.W_OWNER] == 0 and slot > 0:
            self.pass_time(1.4)
        self.look(slot)
        held = bool(self.commanding - {slot})
        assert (slot in self.commanding) or held
        self.command(slot)

    @invariant()
    def only_one_has_the_pen(self) -> None:
        assert len(self.commanding) <= 1


Processes.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestProcesses = Processes.TestCase


def two() -> tuple[Lease, Lease, dict[int, int]]:
    words, positions, held = [0] * (command_page.W_ALIVE + command_page.SLOTS), np.zeros(1), {}
    first, second = (
        Lease(SharedMemory(words, positions, held, slot), PERIOD_NS, standby=slot > 0) for slot in (0, 1)
    )
    first.want(True, 10_000)
    assert first.take(10_000)
    first.give([0.5], 10_000, 10_000)
    return first, second, held


def test_a_standby_does_nothing_while_the_other_one_ticks() -> None:
    first, second, _ = two()
    assert not second.turn(10_600) and not second.take(10_600)
    assert first.take(11_000)


def test_the_death_of_the_one_that_commands_is_known_at_once() -> None:
    _, second, held = two()
    del held[command_page.L_SLOTS]
    assert second.take(10_100)
    assert (second.began, second.takeovers) == (Why.ENDED, 1)
    positions, commanded_ns = second.last_command()
    assert (positions, commanded_ns) == (np.array([0.5]), 10_000)


def test_one_that_was_stopped_and_wakes_up_commands_no_more() -> None:
    first, second, _ = two()
    assert not second.take(11_200)
    assert second.take(11_450) and second.began is Why.SILENT
    second.give([0.6], 11_450, 11_450)
    assert not first.take(11_700) and not first.commands


def test_one_that_was_stopped_with_the_pen_in_its_hand_keeps_it_until_it_is_ended() -> None:
    first, second, held = two()
    assert first.take(11_000)
    assert not second.take(20_000)
    for which in [w for w, holder in held.items() if holder == 0]:
        del held[which]
    assert second.take(20_001)


def test_nobody_commands_while_nobody_is_wanted_to() -> None:
    first, second, held = two()
    first.want(False, 10_500)
    held.clear()
    assert not first.take(11_000) and not second.take(20_000)
    assert second.last_command()[0] is None


def test_commands_that_are_wanted_again_are_the_principals_and_the_standbys_if_none_come() -> None:
    first, second, _ = two()
    first.want(False, 10_500)
    first.leave()
    first.want(True, 50_000)
    assert not second.turn(50_100) and not second.take(51_200)
    assert first.take(50_900)
    first.give([0.5], 50_900, 50_900)
    first.want(False, 51_000)
    first.leave()
    first.want(True, 60_000)
    assert second.take(61_400) and second.began is Why.FREE


def test_nobody_commands_by_a_page_beside_which_there_is_another_one() -> None:
    words, held = [0] * (command_page.W_ALIVE + command_page.SLOTS), {}
    page = SharedMemory(words, np.zeros(1), held, 0)
    lease = Lease(page, PERIOD_NS)
    lease.want(True, 10_000)
    page.settled = False  # a process has an older one
    assert not lease.take(12_000)
    page.settled, page.lost = True, True  # this is the older one
    assert not lease.take(12_000)
    page.lost = False
    assert lease.take(12_000)


@pytest.mark.parametrize("late", [0, 100, 550, 999])
def test_ticks_of_a_standby_come_between_those_of_the_one_that_commands(late: int) -> None:
    _, second, _ = two()
    release_ns = 20_000 + late
    aligned = (release_ns + second.shift_ns(release_ns)) % PERIOD_NS
    assert 400 <= aligned <= 500


# ---- the page ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command_page, "FOLDER", tmp_path)
    return tmp_path


def test_a_page_is_this_users_alone_and_goes_with_its_last_user(folder: Path) -> None:
    page = CommandPage("/left/fusion", ["a", "b"])
    assert stat.S_IMODE(page.path.stat().st_mode) == 0o600
    assert page.path.parent == folder and page.path.name.endswith(".left.fusion")
    page.close()
    assert not list(folder.iterdir())


def test_a_stop_outlives_a_killed_process_and_nothing_else_does(folder: Path) -> None:
    child = os.fork()
    if child == 0:  # ends without closing anything, as a killed one does
        page = CommandPage("/fusion", ["a"])
        page.words[command_page.W_RUN], page.words[command_page.W_STOPS + 1] = 7, 1
        page.words[command_page.W_WANTED] = page.words[command_page.W_OWNER] = 1
        page.share({"slow_scale": 0.2})
        os._exit(0)
    os.waitpid(child, 0)
    page = CommandPage("/fusion", ["a"])
    assert (page.words[command_page.W_RUN], page.words[command_page.W_STOPS + 1]) == (7, 1)
    assert page.words[command_page.W_WANTED] == page.words[command_page.W_OWNER] == 0
    assert page.news() == {}
    page.close()


def test_the_lock_of_a_process_ends_with_it(folder: Path) -> None:
    page = CommandPage("/fusion", ["a"])
    ready, tell = os.pipe()
    stay, hold = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hold)
        mine = CommandPage("/fusion", ["a"])
        assert mine.slot == 1
        os.write(tell, b"!")
        os.read(stay, 1)
        os._exit(0)
    os.close(stay)
    os.read(ready, 1)
    assert page.locks.is_locked(command_page.L_SLOTS + 1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert not page.locks.is_locked(command_page.L_SLOTS + 1)
    page.close()
    for end in (ready, tell, hold):
        os.close(end)


def test_changed_parameters_are_news_to_the_others_once(folder: Path) -> None:
    page = CommandPage("/fusion", ["a"])
    page.share({"slow_scale": 0.2})
    page.share({"person_classes": ["hand"]})
    assert page.news() == {"slow_scale": 0.2, "person_classes": ["hand"]}
    assert page.news() == {}
    page.share({"slow_scale": 0.2})
    assert page.news() == {}
    with pytest.raises(ValueError, match="bytes of changed parameters"):
        page.share({"person_classes": ["x" * 9000]})
    page.close()


def test_a_page_of_others_is_refused(folder: Path) -> None:
    file = command_page.path_of("/fusion")
    file.write_bytes(b"")
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="mode 0600"):
        CommandPage("/fusion", ["a"])


def test_a_page_that_was_removed_is_noticed_whether_or_not_there_is_a_new_one(folder: Path) -> None:
    old = CommandPage("/fusion", ["a"])
    assert not old.is_lost() and old.made
    old.path.unlink()
    assert old.is_lost()
    new = CommandPage("/fusion", ["a"])
    assert old.is_lost() and not new.is_lost() and new.made and new.number != old.number
    old.close()
    assert new.path.exists()
    new.close()


def test_a_page_that_is_in_use_in_another_pid_namespace_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command_page, "FOLDER", tmp_path)
    elsewhere = [shutil.which("unshare") or "unshare", "--user", "--map-current-user", "--pid", "--fork"]
    program = (
        "import pathlib, sys; from edge_stack_core.runtime import command_page;"
        " command_page.FOLDER = pathlib.Path(sys.argv[1]);"
        " page = command_page.CommandPage('/fusion', ['a']); print('open', flush=True); sys.stdin.read()"
    )
    command = [*elsewhere, sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        if other.stdout.readline() != "open\n":
            pytest.skip("this system allows no PID namespace of one's own")
        with pytest.raises(ConfigurationError, match="another PID namespace"):
            CommandPage("/fusion", ["a"])
        other.communicate("")
    CommandPage("/fusion", ["a"]).close()  # its holder is gone
