# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Times and durations of messages as numbers, and numbers as them; one value is the unit."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time

_NS = 1_000_000_000


def to_seconds(time: Time | Duration) -> float:
    """Return a time or duration in s."""
    return float(time.sec) + time.nanosec * 1e-9


def to_nanoseconds(time: Time | Duration) -> int:
    """Return a time or duration in ns."""
    return int(time.sec) * _NS + int(time.nanosec)


def to_time(time_ns: int) -> Time:
    """Return the time of a number of ns."""
    return Time(sec=time_ns // _NS, nanosec=time_ns % _NS)


def to_duration(duration_s: float) -> Duration:
    """Return the duration of a number of s, to the nearest ns."""
    duration_ns = round(duration_s * _NS)
    return Duration(sec=duration_ns // _NS, nanosec=duration_ns % _NS)
