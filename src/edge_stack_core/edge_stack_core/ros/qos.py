# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Every QoS profile of the stack, in one place.

Frames and results are worth having only fresh: best effort or keep last 1, with a deadline and a lifespan from their
rate. Commands are reliable, keep last 1, and their publisher's liveliness is asserted by the control thread. States are
reliable and transient local, so that a late joiner knows them. The side that requests a deadline asks for more time than
the publisher offers, as DDS requires (offered <= requested).
"""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

# A publisher promises one message within OFFERED periods; a subscriber complains after REQUESTED.
OFFERED_PERIODS = 2.0
REQUESTED_PERIODS = 3.0
LIFESPAN_PERIODS = 3.0
COMMAND_LEASE_PERIODS = 4.0


def frame(rate_hz: float = 0.0, *, offered: bool = True) -> QoSProfile:
    """Images and camera info: best effort, keep last 1; deadline and lifespan from the camera rate where it is known."""
    return _periodic(rate_hz, offered, reliable=False)


def sensor(rate_hz: float = 0.0, *, offered: bool = True) -> QoSProfile:
    """Joint states and other small sensor streams: best effort, keep last 1."""
    return _periodic(rate_hz, offered, reliable=False)


def result(rate_hz: float = 0.0, *, offered: bool = True) -> QoSProfile:
    """
    Results of perception: reliable, keep last 1.

    They carry no deadline policy: their rate changes while the node runs and a QoS policy cannot. Readers judge age by
    stamp instead. The lifespan bounds how stale a delivered result can be.
    """
    profile = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
    if offered and rate_hz > 0.0:
        profile.lifespan = _seconds(max(1.0, LIFESPAN_PERIODS / rate_hz))
    return profile


def chunk() -> QoSProfile:
    """Action chunks: reliable, keep last 1, lifespan 1 s (an older one is stale in any case)."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        lifespan=_seconds(1.0),
    )


def command(rate_hz: float, *, offered: bool = True) -> QoSProfile:
    """
    Commands to the robot: reliable, keep last 1, deadline of one control period with margin, lifespan one period.

    The publisher asserts liveliness by topic from its control thread. A subscriber that asks for less (a plain reliable
    one, for example) is compatible.
    """
    profile = _periodic(rate_hz, offered, reliable=True)
    if rate_hz > 0.0:
        if offered:
            profile.lifespan = _seconds(1.0 / rate_hz)
        profile.liveliness = LivelinessPolicy.MANUAL_BY_TOPIC
        periods = COMMAND_LEASE_PERIODS if offered else 2.0 * COMMAND_LEASE_PERIODS
        profile.liveliness_lease_duration = _seconds(periods / rate_hz)
    return profile


def state(publishers: int = 1) -> QoSProfile:
    """
    States (stack state, instruction, labels): reliable, transient local, keep last 1.

    publishers: for a subscriber, how many there may be whose states are each its own.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=publishers,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def request() -> QoSProfile:
    """Requests of people and programs (stop, mode): reliable, keep last 10; any plain publisher is compatible."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)


def status() -> QoSProfile:
    """Status of nodes on a topic that many share: reliable, keep last 50."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.RELIABLE)


def _periodic(rate_hz: float, offered: bool, reliable: bool) -> QoSProfile:
    profile = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
    )
    if rate_hz > 0.0:
        profile.deadline = _seconds((OFFERED_PERIODS if offered else REQUESTED_PERIODS) / rate_hz)
        if offered:
            profile.lifespan = _seconds(LIFESPAN_PERIODS / rate_hz)
    return profile


def _seconds(duration_s: float) -> Duration:
    return Duration(nanoseconds=int(duration_s * 1e9))
