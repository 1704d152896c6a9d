# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How old a message is by its stamp: one rule for every node that judges one.

A stamp of zero is none: such a message is taken as of its arrival. One that lies ahead of the node's clock by no more than
the tolerance is as old as one of now; one that is further ahead is refused, and it is said by how much. Times are s of the
node's clock.
"""

from __future__ import annotations

DEFAULT_TOLERANCE_S = 0.1
"""Clocks of two machines under NTP are this near to each other, mostly nearer."""
SIMULATED_TOLERANCE_S = 0.5
"""
Under simulated time, at least: all stamps are of one clock there, and one that is ahead of a node's says that the node
heard /clock late, as on a busy machine.
"""


class StampAheadError(ValueError):
    """A stamp too far ahead of the clock; the text says by how much."""


def age_s(stamp_s: float, now_s: float, tolerance_s: float) -> float:
    """Return the age of a stamp, s, at least 0; StampAheadError if it is further ahead than tolerated."""
    if stamp_s == 0.0:
        return 0.0
    ahead_s = stamp_s - now_s
    if not ahead_s <= tolerance_s:
        raise StampAheadError(ahead_text(ahead_s, tolerance_s))
    return max(-ahead_s, 0.0)


def ahead_text(ahead_s: float, tolerance_s: float) -> str:
    """Say how far stamps are ahead."""
    return f"stamps are {ahead_s:.2f} s ahead of this clock, at most {tolerance_s:g} s is allowed"
