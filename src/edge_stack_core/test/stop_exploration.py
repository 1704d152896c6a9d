# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Every order of what may happen to a stop: two fusion processes, an operator, and a world that kills and removes.

Its unit is one state of the world: pages, files and what each process knows. StopSet, run_state, Lease and the page's way of
claiming and closing are the real ones; only memory, files and locks are played. A process may die after each store of a
word that others read and after each change of a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from edge_stack_core.runtime import command_page, run_state
from edge_stack_core.runtime.command_page import CommandPage
from edge_stack_core.runtime.lease import Lease
from edge_stack_core.runtime.local_process import pid_namespace
from edge_stack_core.runtime.stop_set import SERVICE, SOURCES, StopSet

PERIOD_NS = 1000
NOW_NS = 1_000_000
LATE_NS = NOW_NS + 2 * PERIOD_NS
PIDS = pid_namespace()
# Words that make a difference here, in the order in which a state holds them. Not who owns the robot: each tick comes so
# late that the owner counts as silent, so that anyone may begin to command wherever the pen is free.
WORDS = (
    command_page.W_MAGIC,
    command_page.W_WANTED,
    command_page.W_RUN,
    command_page.W_STOPS,
    command_page.W_STOPS + SOURCES.index(SERVICE),
)


class Violation(AssertionError):
    """A requested stop is forgotten, or two command at once."""


class Known(NamedTuple):
    """What one process is: page it uses, whether it may command by it, whether it holds the pen, and its stop set."""

    page: int
    settled: bool
    pen: bool
    run: int
    known: frozenset[str]


class State(NamedTuple):
    """
    The world. pages: words of each page that is used or at its path. path: number of the page there; 0: none.

    required: a stop was answered and not released since. knowing: after everything was lost, those who still know. orderly:
    how each process ended last. left: how often the world may still remove a page, lose the set, lose all, end a run.
    """

    pages: tuple[tuple[int, tuple[int, ...]], ...]
    path: int
    newest: int
    run: bytes | None
    stop: bytes | None
    processes: tuple[Known | None, Known | None]
    required: bool
    knowing: tuple[int, ...] | None
    orderly: tuple[bool, bool]
    left: tuple[int, int, int, int]
    runs: int


START = State((), 0, 0, None, None, (None, None), False, None, (True, True), (1, 1, 1, 1), 0)


class Words(list[int]):
    """Shared memory: a process may die after each store that changes what others read."""

    world: World

    def __setitem__(self, index: Any, value: Any) -> None:
        changes = index in WORDS and self[index] != value
        super().__setitem__(index, value)
        if changes:
            self.world.stored()


@dataclass
class Locks:
    """Locks of one process on the bytes of one page."""

    world: World
    number: int
    me: int

    def _holder(self, which: int) -> int | None:
        for index, page in enumerate(self.world.open_pages):
            if page is None or page.number != self.number:
                continue
            if which - command_page.L_SLOTS == index or (
                which == command_page.L_PEN and self.world.pens[index]
            ):
                return index
        return None

    def try_lock(self, which: int) -> bool:
        if which >= command_page.L_SLOTS:
            return which - command_page.L_SLOTS == self.me  # a place for each, so that states are fewer
        return self._holder(which) in (None, self.me)

    def unlock(self, which: int) -> None:
        pass

    def wait(self, which: int) -> None:
        pass

    def is_locked(self, which: int) -> bool:
        return self._holder(which) not in (None, self.me)


class PageFile:
    """The path of the page."""

    def __init__(self, world: World) -> None:
        self.world = world

    def unlink(self, missing_ok: bool) -> None:
        assert missing_ok
        self.world.path = 0


class Page(CommandPage):
    """A page in the memory of the test: claimed, looked at and closed by the real code."""

    def __init__(self, world: World, me: int, number: int, *, settled: bool = False) -> None:
        self.world, self.me, self.number, self.settled = world, me, number, settled
        self.words = world.pages[number]
        self.positions = np.zeros(1)
        self.joints = 1
        self.locks = Locks(world, number, me)  # type: ignore[assignment]
        self.path = PageFile(world)  # type: ignore[assignment]
        self._file = number
        self.slot = me

    def claim(self) -> None:
        self.made = self.words[command_page.W_MAGIC] != command_page.MAGIC
        self.slot = self._claim(1)

    def _is_at_its_path(self, file: int) -> bool:
        return self.world.path == file

    def _free(self) -> None:
        self.world.open_pages[self.me] = None


@dataclass
class World:
    """
    One state, as objects. acting: the process whose action this is; -1: the world's, or none.

    deaths: where it leads if that process dies after each of its stores.
    """

    state: State
    acting: int = -1
    deaths: list[State] = field(default_factory=list)
    pages: dict[int, Words] = field(default_factory=dict)
    open_pages: list[Page | None] = field(default_factory=lambda: [None, None])
    stops: list[StopSet | None] = field(default_factory=lambda: [None, None])
    pens: list[bool] = field(default_factory=lambda: [False, False])

    def __post_init__(self) -> None:
        s = self.state
        self.path, self.newest = s.path, s.newest
        self.files = {"run": s.run, "stop": s.stop}
        self.required, self.knowing, self.orderly = s.required, s.knowing, list(s.orderly)
        self.left, self.runs = s.left, s.runs
        for number, kept in s.pages:
            self.new_page(number)
            for index, value in zip(WORDS, kept, strict=True):
                list.__setitem__(self.pages[number], index, value)
            list.__setitem__(self.pages[number], command_page.W_ROBOT, 1)
            list.__setitem__(self.pages[number], command_page.W_PIDS, PIDS)
        for me, known in enumerate(s.processes):
            if known is None:
                continue
            page = self.open_pages[me] = Page(self, me, known.page, settled=known.settled)
            self.pens[me] = known.pen
            stops = self.stops[me] = self.new_stops(me)
            stops._words, stops._run, stops._known = page.words, known.run, known.known
            stops._page = page

    def new_page(self, number: int) -> None:
        self.pages[number] = Words([0] * (command_page.W_STOPS + command_page.SOURCES_MAX))
        self.pages[number].world = self

    def new_stops(self, me: int) -> StopSet:
        return StopSet(Store(self, me), new_run=self.new_run)

    def new_run(self) -> int:
        self.runs += 1
        return self.runs

    def stored(self) -> None:
        """Take note that something changed that others read, and of the world in which the process dies here."""
        me = self.acting
        if me < 0:
            return
        lives = self.open_pages[me], self.stops[me], self.pens[me], self.knowing, self.required
        self.gone(me)
        self.deaths.append(self.freeze())
        self.open_pages[me], self.stops[me], self.pens[me], self.knowing, self.required = lives

    def freeze(self) -> State:
        """Return the state; pages that nobody can reach are none of it."""
        used = {self.path} | {page.number for page in self.open_pages if page is not None}
        # What only tells pages apart is their order.
        names = {old: new for new, old in enumerate(sorted(used - {0}), 1)} | {0: 0}
        pages = tuple(
            (names[n], tuple(words[i] for i in WORDS)) for n, words in self.pages.items() if n in used
        )
        processes = []
        for page, stops, pen in zip(self.open_pages, self.stops, self.pens, strict=True):
            if page is None or stops is None:
                processes.append(None)
            else:
                known = Known(names[page.number], page.settled, pen, stops._run, stops._known)
                processes.append(known)
        return State(
            tuple(sorted(pages)),
            names[self.path],
            len(names) - 1,
            self.files["run"],
            self.files["stop"],
            (processes[0], processes[1]),
            self.required,
            self.knowing,
            (self.orderly[0], self.orderly[1]),
            self.left,
            self.runs,
        )

    # ---- what a process does

    def open(self, me: int, stops: StopSet, *, lost: bool = False) -> Lease:
        if not self.path:
            self.newest += 1
            self.path = self.newest
            self.new_page(self.path)
        page = self.open_pages[me] = Page(self, me, self.path)
        page.claim()
        stops.open(page, lost=lost)
        stops.settle(page)
        return Lease(page, PERIOD_NS, standby=me > 0)

    def start(self, me: int) -> None:
        stops = self.stops[me] = self.new_stops(me)
        self.orderly[me] = False
        lease = self.open(me, stops)
        if me == 0:
            lease.want(True, NOW_NS)

    def check(self, me: int) -> None:
        self.recover(me)
        page, stops = self.page(me)
        stops.check()
        stops.settle(page)

    def recover(self, me: int) -> None:
        page, stops = self.page(me)
        if not page.is_lost():
            return
        wanted = Lease(page, PERIOD_NS).wanted
        page.close()
        lease = self.open(me, stops, lost=True)
        page, _ = self.page(me)
        if me == 0 or (wanted and page.made):
            lease.want(True, NOW_NS)
        if self.knowing is not None and me in self.knowing:
            self.knowing = None

    def request(self, me: int) -> None:
        self.recover(me)
        self.page(me)[1].request(SERVICE)
        self.required = True

    def release(self, me: int) -> None:
        self.recover(me)
        self.required = False
        self.page(me)[1].release_all()

    def tick(self, me: int) -> None:
        page, stops = self.page(me)
        lease = Lease(page, PERIOD_NS, standby=me > 0)
        lease.turn(LATE_NS)
        if lease.take(LATE_NS):
            self.pens[me] = True
            if all(self.pens):
                raise Violation("two command at once")
            if self.required and not (stops.requested or stops.unknown):
                raise Violation("the robot is commanded to move though a stop was requested and not released")

    def give(self, me: int) -> None:
        page, _ = self.page(me)
        self.pens[me] = False
        Lease(page, PERIOD_NS, standby=me > 0).give(None, NOW_NS, NOW_NS)

    def end(self, me: int) -> None:
        page, stops = self.page(me)
        lease = Lease(page, PERIOD_NS, standby=me > 0)
        if me == 0:
            lease.want(False, NOW_NS)
        lease.leave()
        stops.check()
        page.close()
        self.gone(me)
        self.orderly[me] = True

    def gone(self, me: int) -> None:
        self.open_pages[me], self.stops[me], self.pens[me] = None, None, False
        if self.knowing is not None:
            self.knowing = tuple(other for other in self.knowing if other != me)
            if not self.knowing:
                self.knowing, self.required = None, False  # nobody can know any more

    def page(self, me: int) -> tuple[Page, StopSet]:
        page, stops = self.open_pages[me], self.stops[me]
        assert page is not None and stops is not None
        return page, stops

    # ---- what the world does

    def remove_page(self) -> None:
        self.left = (self.left[0] - 1, *self.left[1:])
        self.path = 0

    def lose_set(self) -> None:
        self.left = (self.left[0], self.left[1] - 1, *self.left[2:])
        self.files["stop"] = b"{"

    def lose_all(self) -> None:
        self.left = (*self.left[:2], self.left[2] - 1, self.left[3])
        self.path, self.files = 0, {"run": None, "stop": None}
        self.knowing = tuple(me for me in (0, 1) if self.open_pages[me] is not None)

    def end_run(self) -> None:
        self.left = (*self.left[:3], self.left[3] - 1)
        run_state.end_run(Store(self, 0))
        self.required = False


class Store:
    """Files in the memory of the test."""

    def __init__(self, world: World, me: int) -> None:
        self.world, self.me = world, me

    def read(self, kind: str) -> bytes | None:
        return self.world.files[kind]

    def write(self, kind: str, data: bytes) -> None:
        self.world.files[kind] = data
        self.world.stored()

    def remove(self, kind: str) -> None:
        self.world.files[kind] = None
        self.world.stored()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        yield

    def hold(self, page: int) -> None:
        pass

    def let_go(self) -> None:
        pass

    def held_elsewhere(self, page: int) -> bool:
        return any(p is not None and p.number != page for p in self.world.open_pages)


Action = Callable[[World], None]


def actions(state: State) -> Iterator[tuple[str, int, Action]]:
    """Yield what may happen: a name, whose doing it is (-1: the world's), and how."""
    for me, known in enumerate(state.processes):
        if known is None:
            yield f"start {me}", me, lambda w, me=me: w.start(me)  # type: ignore[misc]
            continue
        yield f"kill {me}", -1, lambda w, me=me: w.gone(me)  # type: ignore[misc]
        yield f"request at {me}", me, lambda w, me=me: w.request(me)  # type: ignore[misc]
        yield f"release at {me}", me, lambda w, me=me: w.release(me)  # type: ignore[misc]
        if known.pen:
            yield f"give {me}", me, lambda w, me=me: w.give(me)  # type: ignore[misc]
            continue
        yield f"check {me}", me, lambda w, me=me: w.check(me)  # type: ignore[misc]
        yield f"end {me}", me, lambda w, me=me: w.end(me)  # type: ignore[misc]
        yield f"tick {me}", me, lambda w, me=me: w.tick(me)  # type: ignore[misc]
    alive = any(state.processes)
    if state.left[0] and state.path:
        yield "remove page", -1, World.remove_page
    if state.left[1] and state.stop and state.run:
        yield "lose set", -1, World.lose_set
    if state.left[2] and alive and state.path and state.run:
        yield "lose all", -1, World.lose_all
    if state.left[3] and state.run and not alive and all(state.orderly):
        yield "end run", -1, World.end_run


def successors(state: State) -> Iterator[tuple[str, State]]:
    """Yield every state that one action leads to, whole or cut short by a death."""
    for name, me, action in actions(state):
        world = World(state, me)
        try:
            action(world)
        except Violation as violation:
            raise Violation(f"{violation}: {name}") from None
        yield name, world.freeze()
        for count, death in enumerate(world.deaths, 1):
            yield f"{name}, killed after store {count}", death


def explore(depth: int) -> int:
    """Visit every state within so many actions, breadth first, and return how many; Violation with its way there."""
    came: dict[State, tuple[State, str] | None] = {START: None}
    frontier = [START]
    for _ in range(depth):
        following = []
        for state in frontier:
            try:
                for name, reached in successors(state):
                    if reached not in came:
                        came[reached] = (state, name)
                        following.append(reached)
            except Violation as violation:
                way = []
                step = came[state]
                while step is not None:
                    way.append(step[1])
                    step = came[step[0]]
                raise Violation(f"{violation}, after: {'; '.join(reversed(way))}") from None
        frontier = following
    return len(came)
