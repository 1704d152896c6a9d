# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A page of admission in plain memory, for tests of the protocol: parties can be stopped or killed after each single store.

Its unit is one store. Time is a number that the test moves.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from edge_stack_core.admission import decision, layout, protocol

MS = 1_000_000


class Killed(Exception):
    """The party died in the middle."""


class Recorder:
    """Words whose stores are kept back: the party sees them, the others do not yet."""

    def __init__(self, words: list[int]) -> None:
        self._words = words
        self._own: dict[int, int] = {}
        self.stores: list[tuple[int, int]] = []

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self._words)))]
        return self._own.get(index, self._words[index])

    def __setitem__(self, index: int, value: int) -> None:
        self._own[index] = value
        self.stores.append((index, value))


class Mortal:
    """Words that kill the party at a store."""

    def __init__(self, words: list[int], stores: int | None) -> None:
        self._words = words
        self.left = stores

    def __getitem__(self, index):
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self._words[index] = value


@dataclass(eq=False)
class Party:
    """One job. What it knows is the truth that admission is checked against."""

    name: str
    slot: int
    alive: bool = True
    # Critical.
    period: int = 0
    budget: int = 0
    lease: int = 0
    co_run: int = 0  # slots that may run beside it, as bits
    allowed_at: int = 0  # in the order of events
    release: int = 0
    announced_at: int = 0  # in the order of events
    began: int = 0
    pending: list[tuple[int, int]] = field(default_factory=list)
    # Background.
    expected: int = 0
    deadline: int = 0
    waiting: bool = False
    running: bool = False
    admitted_at: int = 0  # in the order of events
    ends: int = 0
    look_again: int = 0


class World:
    """Admission and its parties."""

    def __init__(self, limit: int = 1, guard: int = MS // 2, co_run: int = 0) -> None:
        self.now = 1000 * MS
        self.words = [0] * layout.WORDS
        self.limit, self.guard, self.co_run = limit, guard, co_run
        self.criticals: list[Party] = []
        self.background: list[Party] = []
        self._names = self._events = 0
        protocol.format_page(self.words, limit, guard, co_run)

    def count(self) -> int:
        """Return the number of an event."""
        self._events += 1
        return self._events

    def copy(self) -> World:
        twin = copy.copy(self)
        twin.words = list(self.words)
        twin.criticals = [copy.copy(party) for party in self.criticals]
        twin.background = [copy.copy(party) for party in self.background]
        return twin

    def alive(self, slot: int) -> bool:
        return any(party.alive and party.slot == slot for party in (*self.criticals, *self.background))

    def join(self, state: int, stores: int | None = None, name: str = "") -> Party | None:
        """A party takes a slot; None: it was killed meanwhile."""
        self._names += 1
        name = name or f"job {self._names}"
        taken = []

        def acquire(slot: int) -> bool:
            if self.alive(slot):
                return False
            taken.append(slot)
            return True

        try:
            slot = protocol.claim(Mortal(self.words, stores), state, name, 1 + self._names, acquire)
        except Killed:
            return None
        party = Party(name, slot)
        (self.criticals if state == layout.CRITICAL else self.background).append(party)
        return party

    def announce(self, party: Party, release: int) -> list[tuple[int, int]]:
        recorder = Recorder(self.words)
        protocol.announce(recorder, party.slot, release, party.period, party.budget, party.lease)
        party.release = release
        return recorder.stores

    def begin(self, party: Party) -> list[tuple[int, int]]:
        recorder = Recorder(self.words)
        party.release = protocol.begin(recorder, party.slot, self.now)
        party.began = self.now
        return recorder.stores

    def end(self, party: Party) -> list[tuple[int, int]]:
        recorder = Recorder(self.words)
        protocol.end(recorder, party.slot, self.now, party.budget)
        party.began = 0
        return recorder.stores

    def allow(self, party: Party, mask: int) -> None:
        """A single store."""
        protocol.allow_co_run(self.words, party.slot, mask)
        party.co_run, party.allowed_at = mask, self.count()

    def store(self, party: Party, count: int | None = None) -> None:
        """Let the others see the next stores of a critical party."""
        count = len(party.pending) if count is None else count
        for index, value in party.pending[:count]:
            self.words[index] = value
        del party.pending[:count]
        if not party.pending:
            party.announced_at = self.count()

    def ask(self, party: Party, expected: int, deadline: int, stores: int | None = None) -> None:
        """A background party asks; it may be killed at a store, with the mutex in its hands."""
        words = Mortal(self.words, stores)
        party.expected, party.deadline = expected, self.now + deadline
        party.waiting = True
        try:
            protocol.ask(words, party.slot, self.now, expected, expected, party.deadline)
            self._consider(words, party)
        except Killed:
            self.kill(party)

    def look(self, party: Party, stores: int | None = None, passed_over: set[int] = frozenset()) -> None:
        """A waiting background party looks again."""
        try:
            self._consider(Mortal(self.words, stores), party, passed_over)
        except Killed:
            self.kill(party)

    def finish(self, party: Party, stores: int | None = None) -> int:
        party.running = party.waiting = False
        try:
            return protocol.finish(Mortal(self.words, stores), party.slot, self.now, self.alive)
        except Killed:
            self.kill(party)
            return -1

    def kill(self, party: Party) -> None:
        party.alive = party.waiting = party.running = False
        party.pending = []
        for parties in (self.criticals, self.background):
            if party in parties:
                parties.remove(party)

    def _consider(
        self, words: Mortal, party: Party, passed_over: set[int] = frozenset()
    ) -> decision.AdmissionDecision:
        verdict, _ = protocol.consider(words, party.slot, self.now, self.alive, passed_over)
        party.look_again = verdict.look_again_ns
        if verdict.admitted:
            party.waiting, party.running = False, True
            party.admitted_at, party.ends = self.count(), self.now + party.expected
        return verdict

    # What is true of the parties, without the page.

    def blocked_by_critical(self, party: Party, ends: int) -> str:
        """Why a background job may not run from now to a time, by what the critical parties have promised."""
        why = self._overlaps_critical(ends)
        if not why:
            return ""
        co_run = [job for job in self.background if job.running and job is not party]
        crossing = sum(1 for job in co_run if self._overlaps_critical(job.ends))
        if crossing >= max(self.co_run, 1):
            return f"{why}, and {crossing} run beside"
        for critical in self.criticals:
            promise = max(critical.began, critical.release)
            live = promise and self.now < promise + critical.lease and not critical.pending
            if live and not critical.co_run >> party.slot & 1:
                return f"{why}, and {critical.name} wants nobody there"
        return ""

    def _overlaps_critical(self, ends: int) -> str:
        for party in self.criticals:
            if party.pending:
                continue  # in the middle of its stores: its promise begins with the last
            if party.began and self.now < party.began + party.lease:
                return f"{party.name} runs"
            if party.release and not party.began and party.release <= self.now < party.release + party.lease:
                return f"{party.name} is due"
            if party.release and self.now < party.release < ends + self.guard:
                return f"{party.name} is released before"
        return ""
