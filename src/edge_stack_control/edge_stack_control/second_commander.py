# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether somebody else commands the robot too: every command that is heard and was not sent here is somebody else's.

Its unit is one command, as the bytes that travel. Whoever sends one notes its digest first, where all processes that share
the robot see it, so that a command of one's standby is known as well as one's own. A digest is looked for among the last
RING ones only: a process that stood still for long hears commands that are out of the ring by now, and judges none until
it has caught up. One command of somebody else counts for HOLD_S, so that a slow second commander does not flicker. Nothing
here knows topics or clocks.

The control thread sends, hears and judges; the executor's thread looks at the outcome, and says that the process runs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

Words = memoryview

RING = 512
"""Digests that are kept: 21 s at 24 Hz."""
RING_WORDS = RING + 1
"""Words that a ring takes: a count, and the digests."""
HOLD_S = 1.0
"""So long after the last foreign command somebody is taken to command still."""
# Whoever did not run for so long first reads what has come meanwhile, and takes so long over it.
_STALL_S = 1.0
_CATCH_UP_S = 1.0
# A serialized message begins with how it is encoded; bits of that are the transport's to set.
_ENCAPSULATION = 4


def digest(data: bytes) -> int:
    """Return 64 bits that stand for a serialized command, as a signed number; never 0, which is an empty word."""
    found = hashlib.blake2b(memoryview(data)[_ENCAPSULATION:], digest_size=8).digest()
    return int.from_bytes(found, "little", signed=True) or 1


def private_words() -> Words:
    """Return words for a ring that no other process sees."""
    return memoryview(bytearray(8 * RING_WORDS)).cast("q")


class DigestRing:
    """The digests of what was sent lately. One writes at a time; any number of processes read."""

    def __init__(self, words: Words) -> None:
        """words: RING_WORDS of them, 64-bit and signed; what they hold already is kept."""
        self._words = words

    def note(self, value: int) -> None:
        """Keep a digest in place of the oldest."""
        count = self._words[0]
        self._words[1 + count % RING] = value
        self._words[0] = (count + 1) % (1 << 62)

    def knows(self, value: int) -> bool:
        """Return whether a digest is kept."""
        return value in self._words[1:].tolist()


class SecondCommander:
    """Judges what is heard on the robot's command topic. Times are monotonic, s."""

    def __init__(self, period_s: float, rings: Sequence[DigestRing]) -> None:
        """period_s: between two commands. rings: of this process and of all that share the robot; noted in each."""
        self._rings = tuple(rings)
        self._stall_s = min(_STALL_S, 0.5 * RING * period_s)
        self._judges_from_s = -math.inf
        self.begin(-math.inf)

    def begin(self, now_s: float) -> None:
        """Begin anew: nobody else was heard. What is being caught up with still is."""
        self._awake_s = now_s
        self._foreign_s = -math.inf

    def sent(self, data: bytes) -> None:
        """Note a command; to be called before it goes out."""
        value = digest(data)
        for ring in self._rings:
            ring.note(value)

    def awake(self, now_s: float) -> None:
        """Say that this process runs; to be called more often than it may stand still."""
        if now_s - self._awake_s > self._stall_s and math.isfinite(self._awake_s):
            self.catch_up(now_s)
        self._awake_s = now_s

    def catch_up(self, now_s: float) -> None:
        """Judge nobody for a moment: what comes now may be older than what the rings hold."""
        self._judges_from_s = now_s + _CATCH_UP_S

    def heard(self, data: bytes, now_s: float) -> bool:
        """Return whether a command is somebody else's."""
        self.awake(now_s)
        if now_s < self._judges_from_s:
            return False
        value = digest(data)
        if any(ring.knows(value) for ring in self._rings):
            return False
        self._foreign_s = now_s
        return True

    def heard_other(self, now_s: float) -> None:
        """Take note of something on the topic that can be no command of ours."""
        self.awake(now_s)
        self._foreign_s = now_s

    def present(self, now_s: float) -> bool:
        """Return whether somebody else commands."""
        return now_s - self._foreign_s < HOLD_S


def words_for(publishers: Sequence[tuple[str, str]], topic: str) -> str:
    """
    Return who else commands, in words.

    publishers: node and place of each, as far as they can be told. topic: of the commands.
    """
    if not publishers:
        return f"somebody else publishes {topic} too; nobody tells who"
    named = [f"node {node} {place}" for node, place in publishers[:4]]
    named += [f"{len(publishers) - 4} more"] if len(publishers) > 4 else []
    if len(named) == 1:
        return f"{named[0]} also publishes {topic}"
    return f"{', '.join(named[:-1])} and {named[-1]} also publish {topic}"
