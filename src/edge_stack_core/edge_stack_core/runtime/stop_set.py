# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Who asked for a stop that is not released: a set of named sources. The robot stands while any of them holds.

Its unit is one request or release. The set lies in two places: a word for each source in the page that the fusion
processes share, at which the thread that commands looks in each tick, and a file (run_state.py), which outlives all of
them. A request is in the page before it is on disk, and on disk before it is answered. The two are joined: what one of
them has and the other one lacks is a stop, unless the page says that it was released. So neither a removed page nor a
removed file releases anything; where both are gone there is a stop of the source "unknown".

Processes that request and release at once do not undo each other: a word is never computed from what it was, and a
released word becomes free under the same lock under which a request is stored a second time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from edge_stack_core.runtime import run_state
from edge_stack_core.runtime.command_page import SOURCES_MAX, W_RUN, W_STOPS, Words
from edge_stack_core.runtime.run_state import UNKNOWN, RunStore, Stored

SERVICE, TOPIC, RULE = "service", "topic", "rule"
SUPERVISOR, PAGE, GATEWAY = "supervisor", "page", "gateway"
SOURCES = (UNKNOWN, SERVICE, TOPIC, RULE, SUPERVISOR, PAGE, GATEWAY)
"""Every source there is, in the order of its words. A name on disk that is none of these counts as "unknown"."""
assert len(SOURCES) <= SOURCES_MAX
_WORD = {source: W_STOPS + index for index, source in enumerate(SOURCES)}
_END = W_STOPS + len(SOURCES)
_FREE, _HELD, _RELEASED = 0, 1, 2  # what a word says; released: the disk does not know of it yet


class OpenPage(Protocol):
    """What a stop set needs of a page."""

    words: Words
    number: int
    settled: bool

    def is_lost(self) -> bool:
        """Return whether somebody removed its file: what was requested since is not in it."""


def _new_run() -> int:
    return secrets.randbelow(2**62) + 1


class StopSet:
    """
    The stop set as one process sees it. requested and unknown are for the thread that commands, all else for one other.

    unsaved: why the set does not lie on disk as it is; empty if it does.
    """

    def __init__(self, store: RunStore | None, *, new_run: Callable[[], int] = _new_run) -> None:
        """store: None where nothing can be kept on disk."""
        self._store = store
        self._new_run = new_run
        self._words: Words = [_FREE] * _END
        self._page: OpenPage | None = None
        self._run = 0
        self._known: frozenset[str] = frozenset()
        self.unsaved = ""

    # ---- for each tick

    @property
    def requested(self) -> bool:
        """Whether a source that is known holds the robot."""
        return _HELD in self._words[W_STOPS + 1 : _END]

    @property
    def unknown(self) -> bool:
        """Whether it cannot be told if somebody does."""
        return self._words[W_STOPS] == _HELD

    # ---- requests

    def held(self) -> frozenset[str]:
        """Return the sources that hold the robot."""
        return self._with(_HELD)

    def request(self, source: str) -> bool:
        """Stop the robot; return whether that is on disk, too. KeyError for a source that there is not."""
        self._words[_WORD[source]] = _HELD
        return self._save(source)

    def release(self, source: str) -> bool:
        """Release what a source requested; return whether that is on disk, too."""
        self._free(source)
        return self._save()

    def release_all(self) -> frozenset[str]:
        """Release everything, and return what was."""
        held = self.held()
        for source in SOURCES:
            self._free(source)
        self._save()
        return held

    # ---- pages

    def open(self, page: OpenPage | None, *, persists: bool = False, lost: bool = False) -> None:
        """
        Go on in a page, whoever made it and whatever is left of it. None: without one.

        persists: whether a stop holds although its run was ended. lost: the page before was removed while this process used
        it; what it had holds. Never raises for what lies on disk.
        """
        words: Words = [_FREE] * _END if page is None else page.words
        self._page = page
        if self._store is None:
            self._take(words, Stored(0, frozenset(), whole=False), self._known)
            self.unsaved = "there is no folder for it"
            return
        persists = (
            persists and self._run == 0
        )  # this process knows of a run, which was not ended: it would not be here
        # Otherwise the disk knows better, if it could be written: the others may have released since.
        known = self._known if lost or self.unsaved else frozenset()
        try:
            with self._store.exclusive():
                stored = run_state.load(self._store, persists=persists)
                self._take(words, stored, known)
                self._bring_to_disk(stored)
        except OSError as error:
            self._unsaved(error)
            if self._words is not words:  # the lock was not to be had
                self._take(words, run_state.load(self._store, persists=persists), known)

    def leave(self) -> None:
        """Know that the page is closed next. What it holds is still known."""
        self._page = None

    def check(self) -> str:
        """
        Join page and disk where they differ; return in words what was mended.

        To be called a few times a second: a process that is killed in the middle of a request leaves that to the others.
        """
        self._known = self.held()
        if self._store is None:
            return ""
        stored = run_state.load(self._store)
        if stored == Stored(self._run, self._known, whole=True) and not self._released():
            self.unsaved = ""
            return ""
        return (
            "the stop set on disk was lost, and is written anew" if self._save() and not stored.whole else ""
        )

    def settle(self, page: OpenPage) -> None:
        """Let the page be commanded by, once no process uses an older one, by which it might command as well."""
        if not page.settled and self._nobody_elsewhere(page):
            self._save()  # what the others requested last is on disk alone
            page.settled = True

    # ---- inside

    def _with(self, value: int) -> frozenset[str]:
        return frozenset(source for source, word in _WORD.items() if self._words[word] == value)

    def _free(self, source: str) -> None:
        self._words[_WORD[source]] = _FREE if self._store is None else _RELEASED

    def _nobody_elsewhere(self, page: OpenPage) -> bool:
        return self._store is None or not self._store.held_elsewhere(page.number)

    def _take(self, words: Words, stored: Stored, known: frozenset[str]) -> None:
        """Fill a page with all that is known. Its run is stored last: with that it is complete."""
        is_new = not words[W_RUN]
        known_run, self._words = self._run, words
        self._run = words[W_RUN] or stored.run or known_run or self._new_run()
        sources = self._sources_on_disk(stored, is_new) | known
        if known_run and self._store is not None:
            sources |= self._lost(known_run, is_new and not stored.run)
        for source in sorted(sources):
            words[_WORD[source]] = _HELD
        words[W_RUN] = self._run
        self._known = self.held()

    def _sources_on_disk(self, stored: Stored, is_new: bool) -> frozenset[str]:
        """Return what the page is to take over."""
        sources = frozenset(source if source in _WORD else UNKNOWN for source in stored.held)
        if not is_new and not stored.whole and not self._is_outdated():
            sources -= {UNKNOWN}  # the set on disk is lost, but here it is
        return sources - self._released()

    def _released(self) -> frozenset[str]:
        """Return what was released and may still be held on disk. What an outdated page says may be older than the disk."""
        return frozenset() if self._is_outdated() else self._with(_RELEASED)

    def _is_outdated(self) -> bool:
        """Return whether the page was removed: others may have requested in the next one."""
        return self._page is not None and self._page.is_lost()

    def _lost(self, known_run: int, is_gone: bool) -> frozenset[str]:
        """Return what holds where page and files are gone of the run that this process knows, or are another run's."""
        return frozenset((UNKNOWN,)) if is_gone or self._run != known_run else frozenset()

    def _save(self, requested: str = "") -> bool:
        """Join page and disk; return whether the disk has it. requested: the source that this is for."""
        self._known = self.held()
        if self._store is None:
            return False
        try:
            with self._store.exclusive():
                if requested:
                    self._words[_WORD[requested]] = _HELD
                self._bring_to_disk(run_state.load(self._store))
        except OSError as error:
            if requested:
                self._words[_WORD[requested]] = _HELD
            self._unsaved(error)
            return False
        return True

    def _bring_to_disk(self, stored: Stored) -> None:
        """Join page and disk, under the lock."""
        assert self._store is not None
        released = self._released()
        for source in sorted(self._sources_on_disk(stored, is_new=False)):
            self._words[_WORD[source]] = _HELD
        held = self.held()
        if not stored.whole or stored.run != self._run:
            run_state.begin_run(self._store, self._run, held)
        elif stored.held != held:
            run_state.save_stop(self._store, self._run, held)
        for source in sorted(released):
            self._words[_WORD[source]] = _FREE
        self._known = held
        self.unsaved = ""

    def _unsaved(self, error: OSError) -> None:
        self.unsaved = error.strerror or str(error)
