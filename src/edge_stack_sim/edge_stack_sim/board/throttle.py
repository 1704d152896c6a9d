# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the board does by itself when it gets hot or draws too much: fan, software and hardware throttle, over-current.

Each is a small state machine that is stepped with time, and says what it allows; none knows the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edge_stack_sim.board.spec import BoardSpec


class Fan:
    """The fan's loop: speed by temperature every period. A failed fan stands still."""

    def __init__(self, board: BoardSpec) -> None:
        """Start with the fan off."""
        self._board = board
        self._due_s = 0.0
        self._wanted_rpm = 0.0
        self.failed = False

    @property
    def rpm(self) -> float:
        """Speed now."""
        return 0.0 if self.failed else self._wanted_rpm

    @property
    def pwm(self) -> int:
        """What the loop asks of the fan, 0..255; it does not know that the fan failed."""
        return round(255.0 * self._wanted_rpm / self._board.fan_full_rpm)

    def step(self, now_s: float, temperature_c: float) -> None:
        """Look at the temperature if it is time to."""
        if now_s >= self._due_s:
            self._due_s = now_s + self._board.fan_period_s
            self._wanted_rpm = _interpolate(self._board.fan_curve_rpm, temperature_c)


class ThermalThrottle:
    """
    Linux' step_wise governor: a clock step down at each poll above the passive trip while it grows hotter, one up below it.

    state: steps down from the top, of the number that the cooling device has.
    """

    def __init__(self, board: BoardSpec, steps: int) -> None:
        """Start without a limit."""
        self._board = board
        self._most = steps - 1
        self._due_s = 0.0
        self._last_c = -273.0
        self.state = 0

    def step(self, now_s: float, temperature_c: float) -> None:
        """Poll if it is time to."""
        if now_s < self._due_s:
            return
        self._due_s = now_s + self._board.throttle_period_s
        rising, self._last_c = temperature_c > self._last_c, temperature_c
        if temperature_c >= self._board.throttle_c:
            if rising:
                self.state = min(self._most, self.state + 1)
        else:
            self.state = max(0, self.state - 1)


class HotSurface:
    """The notice that the board's surface is hot: on above one temperature, off below another; it holds nothing down."""

    def __init__(self, board: BoardSpec) -> None:
        """Start off."""
        self._off_c, self._on_c = board.hot_surface_c
        self.on = False

    def step(self, temperature_c: float) -> None:
        """Look at the temperature."""
        self.on = temperature_c >= (self._off_c if self.on else self._on_c)


class HardwareThrottle:
    """Of the firmware: on above one temperature, off below another."""

    def __init__(self, board: BoardSpec) -> None:
        """Start off."""
        self._off_c, self._on_c = board.hardware_throttle_c
        self.on = False

    def step(self, temperature_c: float) -> None:
        """Look at the temperature."""
        self.on = temperature_c >= (self._off_c if self.on else self._on_c)


class OverCurrent:
    """
    The module's input power against its limit: events are counted while it is near or above.

    average_events (OC2): seconds in which the average was above. peak_events (OC3): edges of the power within milliseconds,
    of which there are more the nearer the average is to the limit. Both since boot.
    """

    def __init__(self, board: BoardSpec) -> None:
        """Start without events."""
        self._board = board
        self._average_w = 0.0
        self._averaged_s = 0.0
        self._peaks = 0.0
        self.average_events = 0

    @property
    def peak_events(self) -> int:
        """Edges above the limit since boot."""
        return int(self._peaks)

    def step(self, dt_s: float, power_w: float) -> None:
        """Take the power of the step that just ended."""
        board = self._board
        limit_w, swing = board.input_limit_w, board.over_current_swing
        self._average_w += (power_w - self._average_w) * min(1.0, dt_s / board.over_current_window_s)
        self._averaged_s += dt_s
        if self._averaged_s >= board.over_current_window_s:
            self._averaged_s = 0.0
            self.average_events += self._average_w > limit_w
        near = (power_w / limit_w - (1.0 - swing)) / (
            2.0 * swing
        )  # 0 where no swing reaches the limit, 1 where all do
        self._peaks += board.over_current_most_per_s * min(1.0, max(0.0, near)) * dt_s


def _interpolate(curve: Sequence[tuple[float, float]], x: float) -> float:
    if x <= curve[0][0]:
        return curve[0][1]
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return curve[-1][1]
