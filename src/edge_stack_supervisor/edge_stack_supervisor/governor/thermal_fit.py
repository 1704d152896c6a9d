# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Learns how hot the board gets from what it draws: a two-node RC model, fitted while it runs.

The model: a chip, which follows its power within seconds, on a heatsink with one time constant:

    temperature = ambient + R_chip * fast(power) + R_heatsink * slow(power) + start + offset

where fast and slow are first-order low-passes of the measured power, start is what the heatsink still remembers of a
beginning that nobody saw, and offset is what the model does not explain now: a changing ambient. For a given time
constant this is linear, so recursive least squares finds the rest; a small bank of time constants runs side by side and
the best predicts. The unit of work is one sample of temperature and power. It forgets towards what was believed at first,
so that long constant conditions, which teach nothing, do no harm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAST_S = 5.0  # of the chip with its heat spreader
TIME_CONSTANTS_S = (30.0, 60.0, 120.0, 250.0, 500.0, 1000.0)
OFFSET_S = 20.0
ERROR_AHEAD_S = 30.0  # the error of predictions is judged this far ahead
ERROR_MEMORY_S = 300.0
NOISE_C = 0.5  # of one reading: sensors' steps, and what the model leaves out


@dataclass(frozen=True)
class Prior:
    """What is believed at first: means; the standard deviations are half of the resistances, and 10 C of the ambient."""

    ambient_c: float
    chip_c_per_w: float
    heatsink_c_per_w: float

    def mean(self) -> NDArray[np.float64]:
        """Return [ambient, R_chip, R_heatsink, what the heatsink was warmer at the start than assumed]."""
        return np.array([self.ambient_c, self.chip_c_per_w, self.heatsink_c_per_w, 0.0])

    def precision(self) -> NDArray[np.float64]:
        """Return the inverse covariance, [4, 4]."""
        deviation = np.array([10.0, 0.5 * self.chip_c_per_w, 0.5 * self.heatsink_c_per_w, 20.0])
        return np.diag(deviation**-2.0)

    def least(self) -> NDArray[np.float64]:
        """Return the lower bounds: no thing that heats up has less."""
        return np.array([-40.0, 0.2 * self.chip_c_per_w, 0.2 * self.heatsink_c_per_w, -100.0])

    def most(self) -> NDArray[np.float64]:
        """Return the upper bounds."""
        return np.array([80.0, 5.0 * self.chip_c_per_w, 5.0 * self.heatsink_c_per_w, 100.0])


class LeastSquares:
    """Recursive least squares that forgets exponentially, towards a prior."""

    def __init__(
        self,
        mean: NDArray[np.float64],
        precision: NDArray[np.float64],
        noise: float,
        forgetting_s: float,
        least: NDArray[np.float64],
        most: NDArray[np.float64],
    ) -> None:
        """mean, least, most: [n]; precision: [n, n]; noise: standard deviation of one sample."""
        self._least, self._most = least, most
        self._prior = precision
        self._prior_mean = precision @ mean
        self._information = precision.copy()
        self._vector = self._prior_mean.copy()
        self._noise = noise
        self._forgetting_s = forgetting_s
        self.solution = mean.copy()
        """[n]: what is believed now."""

    def add(self, regressors: NDArray[np.float64], value: float, duration_s: float) -> None:
        """Learn one sample that stands for a duration: value = regressors . solution."""
        keep = math.exp(-duration_s / self._forgetting_s)
        gain = duration_s / self._noise**2
        self._information = keep * self._information + (1.0 - keep) * self._prior
        self._vector = keep * self._vector + (1.0 - keep) * self._prior_mean
        self._information += gain * np.outer(regressors, regressors)
        self._vector += gain * value * regressors
        self.solution = self._solve()

    def _solve(self) -> NDArray[np.float64]:
        """Solve within the bounds: what would leave them stands at its bound, and the rest is solved with it there."""
        free = np.ones(len(self._least), dtype=bool)
        solution = self.solution.copy()
        while free.any():
            given = self._vector[free] - self._information[np.ix_(free, ~free)] @ solution[~free]
            solution[free] = np.linalg.solve(self._information[np.ix_(free, free)], given)
            outside = free & ((solution < self._least) | (solution > self._most))
            if not outside.any():
                break
            solution = np.clip(solution, self._least, self._most)
            free &= ~outside
        return solution


class _Candidate:
    """The model with one time constant of the heatsink."""

    def __init__(
        self, time_constant_s: float, prior: Prior, temperature_c: float, power_w: float, forgetting_s: float
    ) -> None:
        self.time_constant_s = time_constant_s
        self._fit = LeastSquares(
            prior.mean(), prior.precision(), NOISE_C, forgetting_s, prior.least(), prior.most()
        )
        warm_c = temperature_c - prior.ambient_c - prior.chip_c_per_w * power_w
        self.fast_w = power_w
        self.slow_w = warm_c / prior.heatsink_c_per_w  # the power that would have heated it so
        self.start = 1.0  # how much of the start the heatsink remembers
        self.offset_c = 0.0
        self.mean_square = 0.0
        self._errors: list[tuple[float, float]] = []

    @property
    def parameters(self) -> NDArray[np.float64]:
        """[ambient, R_chip, R_heatsink, warmer at the start]."""
        return self._fit.solution

    def add(self, temperature_c: float, power_w: float, duration_s: float, now_s: float) -> None:
        self.fast_w += (1.0 - math.exp(-duration_s / FAST_S)) * (power_w - self.fast_w)
        self.slow_w += (1.0 - math.exp(-duration_s / self.time_constant_s)) * (power_w - self.slow_w)
        self.start *= math.exp(-duration_s / self.time_constant_s)
        regressors = np.array([1.0, self.fast_w, self.slow_w, self.start])
        self._fit.add(regressors, temperature_c, duration_s)
        error_c = temperature_c - float(regressors @ self._fit.solution)
        self.offset_c += (1.0 - math.exp(-duration_s / OFFSET_S)) * (error_c - self.offset_c)
        # A prediction corrected by the error then is wrong by what the error has changed since.
        self._errors.append((now_s, error_c))
        while now_s - self._errors[0][0] > ERROR_AHEAD_S:
            self._errors.pop(0)
        change_c = error_c - self._errors[0][1]
        self.mean_square += (1.0 - math.exp(-duration_s / ERROR_MEMORY_S)) * (change_c**2 - self.mean_square)

    def after(self, horizon_s: float) -> tuple[float, float]:
        """Return (a, b): the temperature after a time at a constant power is a + b * power."""
        ambient_c, chip, heatsink, start_c = (float(value) for value in self._fit.solution)
        chip_left = math.exp(-horizon_s / FAST_S)
        sink_left = math.exp(-horizon_s / self.time_constant_s)
        sink_c = sink_left * (heatsink * self.slow_w + start_c * self.start)
        base_c = ambient_c + self.offset_c + chip * chip_left * self.fast_w + sink_c
        return base_c, chip * (1.0 - chip_left) + heatsink * (1.0 - sink_left)


class ThermalFit:
    """The thermal model of one board, learned from its readings."""

    def __init__(self, prior: Prior, forgetting_s: float) -> None:
        """Know nothing but the prior."""
        self._prior = prior
        self._forgetting_s = forgetting_s
        self._candidates: list[_Candidate] = []
        self._began_s = math.nan
        self._last_s = math.nan

    def add(self, temperature_c: float, power_w: float, now_s: float) -> None:
        """Learn one reading. After a gap longer than the heatsink remembers, it starts anew."""
        gap_s = now_s - self._last_s
        if not self._candidates or not 0.0 <= gap_s <= TIME_CONSTANTS_S[0]:
            self._candidates = [
                _Candidate(constant_s, self._prior, temperature_c, power_w, self._forgetting_s)
                for constant_s in TIME_CONSTANTS_S
            ]
            self._began_s = self._last_s = now_s
            return
        self._last_s = now_s
        if gap_s > 0.0:
            for candidate in self._candidates:
                candidate.add(temperature_c, power_w, gap_s, now_s)

    @property
    def age_s(self) -> float:
        """How long it has learned without a gap, s."""
        return self._last_s - self._began_s if self._candidates else 0.0

    @property
    def error_c(self) -> float:
        """Root mean square error of its recent predictions, 30 s ahead; infinite while there is none."""
        return math.sqrt(self._best().mean_square) if self.age_s > ERROR_AHEAD_S else math.inf

    def describe(self) -> str:
        """Return the model in words."""
        best = self._best()
        ambient_c, chip, heatsink, _ = best.parameters
        return (
            f"ambient {ambient_c + best.offset_c:.0f} C, {chip + heatsink:.2f} C/W, {best.time_constant_s:.0f} s,"
            f" wrong by {self.error_c:.1f} C over {ERROR_AHEAD_S:.0f} s"
        )

    def temperature_c(self, power_w: float, horizon_s: float) -> float:
        """Return the temperature after a time at a constant power."""
        base_c, per_w = self._best().after(horizon_s)
        return base_c + per_w * power_w

    def most_power_w(self, limit_c: float, horizon_s: float) -> float:
        """Return the highest constant power that keeps the temperature at a limit after a time; infinite if none matters."""
        base_c, per_w = self._best().after(horizon_s)
        return (limit_c - base_c) / per_w

    def _best(self) -> _Candidate:
        return min(self._candidates, key=lambda candidate: candidate.mean_square)
