# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Every QoS profile of the stack, in one place.

Frames and results are worth having only fresh: keep last 1, with a deadline and a lifespan from their rate. The streams of
sensors are offered reliable, so that any subscriber gets them, and asked for best effort: a subscription to frames asks for
reliable where that is offered (input_subscription.py). Commands are reliable, keep last 1, and their publisher's liveliness
is asserted by the control thread. States are reliable and transient local, so that a late joiner knows them. The side that
requests a deadline asks for more time than the publisher offers, as DDS requires (offered <= requested).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.topic_endpoint_info import TopicEndpointInfo

# A publisher promises one message within OFFERED periods; a subscriber complains after REQUESTED.
OFFERED_PERIODS = 2.0
REQUESTED_PERIODS = 3.0
LIFESPAN_PERIODS = 3.0
# DDS says forever by a number of seconds that differs from one middleware to the next; all are about 68 years or more.
_FOREVER_S = 2.0**31 - 2.0
COMMAND_LEASE_PERIODS = 4.0
# Frames that may wait for an executor that is busy; whoever takes them keeps the newest.
FRAMES_UNREAD = 10


def frame(rate_hz: float = 0.0, *, offered: bool = True) -> QoSProfile:
    """
    Images and camera info; deadline and lifespan from the camera rate where it is known.

    Offered reliable, keep last 1; asked for best effort, keep last FRAMES_UNREAD.
    """
    profile = _periodic(rate_hz, offered, reliable=offered)
    if not offered:
        profile.depth = FRAMES_UNREAD
    return profile


def sensor(rate_hz: float = 0.0, *, offered: bool = True) -> QoSProfile:
    """Joint states and other small sensor streams: offered reliable, asked for best effort, keep last 1."""
    return _periodic(rate_hz, offered, reliable=offered)


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


def all_reliable(publishers: Iterable[TopicEndpointInfo]) -> bool:
    """Return whether every one of some publishers offers reliable."""
    return all(one.qos_profile.reliability == ReliabilityPolicy.RELIABLE for one in publishers)


def conflict(offered: QoSProfile, asked: QoSProfile) -> str:
    """
    Return in words by which policy a publisher offers less than a subscriber asks for, and what to set.

    "" if they talk. Policies that are not known are taken to fit.
    """
    best_effort, volatile, automatic = (
        ReliabilityPolicy.BEST_EFFORT,
        DurabilityPolicy.VOLATILE,
        LivelinessPolicy.AUTOMATIC,
    )
    if offered.reliability == best_effort and asked.reliability == ReliabilityPolicy.RELIABLE:
        return _conflict("reliability", "best effort", "reliable")
    if offered.durability == volatile and asked.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        return _conflict("durability", "volatile", "transient local")
    if _span_s(offered.deadline) > _span_s(asked.deadline):
        return _conflict("deadline", _span_words(offered.deadline), _span_words(asked.deadline))
    if offered.liveliness == automatic and asked.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC:
        return _conflict("liveliness", "automatic", "manual by topic")
    lease_offered, lease_asked = offered.liveliness_lease_duration, asked.liveliness_lease_duration
    if _span_s(lease_offered) > _span_s(lease_asked):
        return _conflict("liveliness lease duration", _span_words(lease_offered), _span_words(lease_asked))
    return ""


def policy_words(kind: int) -> str:
    """Return the name of the policy that a QoS event tells of, in words."""
    try:
        return QoSPolicyKind(int(kind)).name.lower().replace("_", " ")
    except ValueError:
        return "unknown"


def _conflict(policy: str, offered: str, asked: str) -> str:
    return (
        f"{policy} {offered} is offered, {asked} is asked for; set the {policy} of the publisher to {asked}"
    )


def _span_s(duration: Duration) -> float:
    """Return a policy's duration, s; infinite where none is set."""
    seconds = duration.nanoseconds * 1e-9
    return seconds if 0.0 < seconds < _FOREVER_S else math.inf


def _span_words(duration: Duration) -> str:
    seconds = _span_s(duration)
    return f"{seconds:g} s" if math.isfinite(seconds) else "none"


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
