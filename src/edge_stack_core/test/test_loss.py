# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The share of lost messages, on a clock of its own."""

from __future__ import annotations

from edge_stack_core.loss import LossMeter


def after(meter: LossMeter, begin_s: int, seconds: int, arrived: int, lost: int) -> bool:
    """Count so many each second; return whether too many are lost at the end."""
    for second in range(begin_s, begin_s + seconds):
        meter.count(second + 0.1, arrived=arrived)
        meter.count(second + 0.2, lost=lost)
    return meter.is_losing(begin_s + seconds - 0.5)


def test_a_few_lost_messages_are_no_loss() -> None:
    assert not after(LossMeter(), 100, 60, arrived=30, lost=1)
    assert not after(LossMeter(), 100, 1, arrived=1, lost=2)


def test_many_are_one_until_hardly_any_is_lost() -> None:
    meter = LossMeter()
    assert after(meter, 100, 10, arrived=5, lost=25)
    assert after(meter, 110, 5, arrived=30, lost=1)
    assert not after(meter, 115, 4, arrived=30, lost=0)
    assert not after(meter, 119, 1, arrived=30, lost=1)
    assert after(meter, 120, 2, arrived=5, lost=25)


def test_a_topic_that_falls_silent_loses_nothing() -> None:
    meter = LossMeter()
    assert after(meter, 100, 10, arrived=5, lost=25)
    assert not meter.is_losing(130.0)
