# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Admission's protocol, with parties killed after any store and critical ones seen in the middle of a step."""

from __future__ import annotations

from admission_model import MS, Party, World
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from edge_stack_core.admission import decision, layout, protocol

DURATIONS = st.integers(1, 15).map(lambda ms: ms * MS)
# How many stores of a critical step are seen at once; None: all.
SEEN = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 6))
# How many stores a party makes before it is killed; None: it lives. The longest step makes fewer than 20.
STORES = st.one_of(st.none(), st.none(), st.integers(0, 20))


class AdmissionMachine(RuleBasedStateMachine):
    """
    Any number of critical and background jobs on one admission.

    Background steps are atomic (they hold the mutex) unless their party is killed inside. Critical steps take no lock:
    others run between any two of their stores.
    """

    background = Bundle("background")

    @initialize(target=background, limit=st.sampled_from((1, 2, 2, 3)), co_run=st.sampled_from((0, 1, 1, 2)))
    def start(self, limit: int, co_run: int) -> MultipleResults[Party]:
        self.world = World(limit, guard=2 * MS, co_run=co_run)
        self.critical_joins(period=30, share=3, first=5, mask=-1, seen=None)
        return multiple(*(self.world.join(layout.IDLE) for _ in range(3)))

    # Critical jobs.

    @precondition(lambda self: len(self.world.criticals) < 2)
    @rule(
        period=st.integers(20, 40),
        share=st.integers(2, 8),
        first=st.integers(0, 20),
        mask=st.sampled_from((0, -1)),
        seen=SEEN,
    )
    def critical_joins(self, period: int, share: int, first: int, mask: int, seen: int | None) -> None:
        party = self.world.join(layout.CRITICAL)
        self.world.allow(party, mask)
        party.period, party.budget = period * MS, period * MS // share
        party.lease = party.period
        party.pending = self.world.announce(party, self.world.now + first * MS)
        self.world.store(party, seen)

    @precondition(lambda self: any(not p.pending and not p.began for p in self.world.criticals))
    @rule(data=st.data(), seen=SEEN)
    def critical_begins(self, data: st.DataObject, seen: int | None) -> None:
        idle = [p for p in self.world.criticals if not p.pending and not p.began]
        party = data.draw(st.sampled_from(idle))
        release = party.release
        if self.world.now < release:
            self.advance(release)
        if self.world.now < release:
            return  # another critical job was due first
        if self.world.now < release + party.lease:
            jobs = [j for j in self.world.background if j.running and j.admitted_at > party.announced_at]
            assert len(jobs) <= max(self.world.co_run, 1), f"{jobs} still run when {party.name} begins"
            for job in jobs:
                assert party.co_run >> job.slot & 1 or job.admitted_at < party.allowed_at, (
                    f"{job.name} runs beside {party.name}, which does not let it"
                )
        party.pending = self.world.begin(party)
        self.world.store(party, seen)

    @precondition(lambda self: any(not p.pending and p.began for p in self.world.criticals))
    @rule(data=st.data(), seen=SEEN)
    def critical_ends(self, data: st.DataObject, seen: int | None) -> None:
        party = data.draw(st.sampled_from([p for p in self.world.criticals if not p.pending and p.began]))
        party.pending = self.world.end(party)
        self.world.store(party, seen)

    @precondition(lambda self: any(not p.pending for p in self.world.criticals))
    @rule(data=st.data(), mask=st.one_of(st.just(0), st.just(-1), st.integers(0, 255)))
    def critical_says_who_may_run_co_run_it(self, data: st.DataObject, mask: int) -> None:
        party = data.draw(st.sampled_from([p for p in self.world.criticals if not p.pending]))
        self.world.allow(party, mask)

    @precondition(lambda self: any(p.pending for p in self.world.criticals))
    @rule(data=st.data(), count=st.one_of(st.none(), st.integers(1, 4)))
    def critical_stores(self, data: st.DataObject, count: int | None) -> None:
        self.world.store(data.draw(st.sampled_from([p for p in self.world.criticals if p.pending])), count)

    @precondition(lambda self: self.world.criticals)
    @rule(data=st.data())
    def critical_is_killed(self, data: st.DataObject) -> None:
        self.world.kill(data.draw(st.sampled_from(self.world.criticals)))

    # Background jobs.

    @precondition(lambda self: len(self.world.background) < 4)
    @rule(target=background, stores=STORES)
    def background_joins(self, stores: int | None) -> Party:
        party = self.world.join(layout.IDLE, stores)
        return multiple() if party is None else party

    @rule(party=background, expected=DURATIONS, deadline=DURATIONS, stores=STORES)
    def background_asks(self, party: Party, expected: int, deadline: int, stores: int | None) -> None:
        if party.alive and not party.waiting and not party.running:
            self.check_order_and_slack(party, lambda: self.world.ask(party, expected, deadline, stores))

    @precondition(lambda self: any(not p.waiting and not p.running for p in self.world.background))
    @rule(data=st.data(), deadline=DURATIONS)
    def all_that_are_idle_ask(self, data: st.DataObject, deadline: int) -> None:
        idle = [p for p in self.world.background if not p.waiting and not p.running]
        for party in idle:
            expected = data.draw(DURATIONS)
            self.check_order_and_slack(
                party, lambda party=party, expected=expected: self.world.ask(party, expected, deadline)
            )

    @precondition(lambda self: any(p.waiting for p in self.world.background))
    @rule(party=background, stores=STORES)
    def background_looks_again(self, party: Party, stores: int | None) -> None:
        if party.waiting:
            self.check_order_and_slack(party, lambda: self.world.look(party, stores))

    @precondition(lambda self: any(p.waiting for p in self.world.background))
    @rule(data=st.data())
    def all_that_wait_look_again(self, data: st.DataObject) -> None:
        for party in data.draw(st.permutations([p for p in self.world.background if p.waiting])):
            self.check_order_and_slack(party, lambda party=party: self.world.look(party))

    @precondition(lambda self: any(p.running for p in self.world.background))
    @rule(party=background, stores=STORES)
    def background_finishes(self, party: Party, stores: int | None) -> None:
        if party.running:
            self.world.finish(party, stores)

    @precondition(lambda self: any(p.waiting for p in self.world.background))
    @rule(party=background)
    def background_gives_up(self, party: Party) -> None:
        if party.waiting:
            self.world.finish(party)

    @rule(party=consumes(background))
    def background_is_killed(self, party: Party) -> None:
        if party.alive:
            self.world.kill(party)

    # Time. Jobs keep to what they announced: a background run ends when it should, an inference begins when released.

    @rule(ms=st.integers(0, 15))
    def time_passes(self, ms: int) -> None:
        self.advance(self.world.now + ms * MS)

    def advance(self, until: int) -> None:
        while True:
            ends = [(p.ends, p) for p in self.world.background if p.running and p.ends <= until]
            if not ends:
                break
            end, party = min(ends, key=lambda item: item[0])
            self.world.now = max(self.world.now, end)
            self.world.finish(party)
        self.world.now = until

    # What must hold.

    def check_order_and_slack(self, party: Party, act) -> None:
        act()
        if not party.running:
            return
        assert not (why := self.world.blocked_by_critical(party, party.ends)), (
            f"{party.name} was admitted although {why}"
        )
        for other in self.world.background:
            earlier = other.waiting and other.deadline < party.deadline
            fits = not self.world.blocked_by_critical(other, self.world.now + other.expected)
            in_the_middle = any(p.pending for p in self.world.criticals)
            # What a dead critical job announced holds up whom it concerns until one of those looks.
            unnoticed = any(
                state == layout.CRITICAL and not self.world.alive(slot)
                for slot, state in enumerate(self.world.words[layout.STATES : layout.SLOT_BASE])
            )
            assert not (earlier and fits) or in_the_middle or unnoticed, (
                f"{party.name} was admitted before {other.name}"
            )

    @invariant()
    def no_more_run_than_the_limit(self) -> None:
        assert sum(p.running for p in self.world.background) <= self.world.limit

    @invariant()
    def the_page_agrees_with_the_living(self) -> None:
        for party in self.world.background:
            state = self.world.words[layout.STATES + party.slot]
            assert state == (
                layout.RUNNING if party.running else layout.WAITING if party.waiting else layout.IDLE
            )

    @invariant()
    def when_all_others_are_killed_the_next_to_ask_is_admitted_at_once(self) -> None:
        world = self.world.copy()
        for party in [*world.criticals, *world.background]:
            world.kill(party)
        survivor = world.join(layout.IDLE)
        world.ask(survivor, 10_000 * MS, 0)
        assert survivor.running

    @invariant()
    def when_all_others_are_stopped_the_next_to_ask_is_admitted_within_the_leases(self) -> None:
        world = self.world.copy()
        longest = max((p.lease for p in world.criticals), default=0)
        waiting = [p for p in world.background if p.waiting]
        running = [p for p in world.background if p.running]
        for party in running:  # those that run do end, by themselves or by a kill
            world.finish(party)
        asked = world.now
        survivor = world.join(layout.IDLE)
        world.ask(survivor, MS, 0)
        until = asked + 2 * longest + 2 * decision.LOOK_AGAIN_NS + 10 * MS
        while not survivor.running:
            assert world.now < until, "still waiting"
            world.now = max(survivor.look_again, world.now + 1)
            passed_over = {p.slot for p in waiting} if world.now > asked + 5 * MS else set()
            world.look(survivor, passed_over=passed_over)


AdmissionMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestAdmissionMachine = AdmissionMachine.TestCase


def test_a_party_killed_at_any_store_of_a_step_leaves_the_admission_to_the_next() -> None:
    for step in ("join", "ask", "look", "finish"):
        for stores in range(140):
            world = World(limit=1)
            other = world.join(layout.IDLE)
            victim = world.join(layout.IDLE, stores if step == "join" else None)
            if victim is not None:
                world.ask(victim, 5 * MS, 5 * MS, stores if step == "ask" else None)
                if step == "look" and victim.alive:
                    world.look(victim, stores)
                if step == "finish" and victim.alive:
                    world.finish(victim, stores)
                if victim.alive:
                    world.kill(victim)
            world.ask(other, 5 * MS, 5 * MS)
            assert other.running, f"after a kill at store {stores} of {step}"


def test_a_critical_job_killed_at_any_store_binds_nobody_beyond_its_lease_even_unnoticed() -> None:
    for step in ("announce", "begin", "end"):
        for stores in range(20):
            world = World(limit=1)
            critical = world.join(layout.CRITICAL)
            critical.period, critical.budget, critical.lease = 40 * MS, 10 * MS, 40 * MS
            critical.pending = world.announce(critical, world.now)
            if step != "announce":
                world.store(critical)
                critical.pending = world.begin(critical)
            if step == "end":
                world.store(critical)
                world.now += 5 * MS
                critical.pending = world.end(critical)
            world.store(critical, min(stores, len(critical.pending)))
            stopped_at = world.now
            job = world.join(layout.IDLE)
            world.ask(job, MS, MS)
            while not job.running:
                # The critical party counts as alive: nobody may notice, only the lease frees the others.
                world.now = job.look_again
                world.look(job)
            assert world.now <= stopped_at + critical.lease + decision.LOOK_AGAIN_NS


def test_what_a_dead_job_learned_is_found_again_by_its_name() -> None:
    world = World()
    first = world.join(layout.IDLE, name="detect")
    world.words[layout.base_of(first.slot) + layout.S_LEARNED] = 7 * MS
    world.kill(first)
    other = world.join(layout.IDLE, name="segment")
    again = world.join(layout.IDLE, name="detect")
    assert again.slot == first.slot
    assert other.slot != first.slot
    assert world.words[layout.base_of(again.slot) + layout.S_LEARNED] == 7 * MS


def test_all_slots_taken_by_the_living_are_refused() -> None:
    world = World()
    for _ in range(layout.SLOTS):
        assert world.join(layout.IDLE).slot >= 0
    assert protocol.claim(world.words, layout.IDLE, "one too many", 1, lambda slot: False) == -1
