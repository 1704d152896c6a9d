# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Lets models feel the clocks of a simulated board: an inference lasts longer when the board's GPU runs slower.

Off unless a simulated board is configured. The model is the roofline's: one share of an inference waits for the GPU and
goes with its clock, the rest waits for memory and goes with the memory's.
"""

from __future__ import annotations

import time

from edge_stack_core.board.clocks import GpuClock, MemoryClock
from edge_stack_core.board.files import BoardFiles, board_folder

# A vision network on the Orin Nano gains 1.3 to 1.7 times from 612 to 1020 MHz with 1.5 times the memory clock (NVIDIA's
# figures for the "super" modes): between what memory alone gives and what the GPU alone gives.
COMPUTE_SHARE = 0.7
LOOK_PERIOD_S = 0.2  # the board's clocks change once a second
MOST = 10.0  # a file that tells nonsense stops no model


def slowdown(gpu_ratio: float, memory_ratio: float = 1.0, compute_share: float = COMPUTE_SHARE) -> float:
    """
    Return how many times longer an inference takes than at the highest clocks.

    gpu_ratio, memory_ratio: clock now by the highest, above 0. compute_share: share of the time that goes with the GPU.
    """
    return compute_share / gpu_ratio + (1.0 - compute_share) / memory_ratio


class ClockSlowdown:
    """
    Makes an inference of this process last as long as it would on the simulated board below board_root.

    pad() is called right after the inference, inside what admission measures, so that admission learns the
    stretched duration. (It sleeps: a device that is measured in processor time, "cpu", does not see it.)
    """

    def __init__(self, board_root: str, compute_share: float = COMPUTE_SHARE) -> None:
        """
        Use the board below board_root, or the one simulated in this ROS domain for "simulated"; "" switches off.

        The board need not be there yet; until then nothing is stretched.
        """
        self._root = board_folder(board_root)
        self._share = compute_share
        self._look_s = 0.0
        self._slowdown = 1.0

    def pad(self, duration_s: float) -> float:
        """Sleep for what an inference that took duration_s here takes longer on the board; returns how long, s."""
        if not self._root or duration_s <= 0.0:
            return 0.0
        padding_s = (self._slowdown_now() - 1.0) * duration_s
        if padding_s > 0.0:
            time.sleep(padding_s)
        return max(0.0, padding_s)

    def _slowdown_now(self) -> float:
        now_s = time.monotonic()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_PERIOD_S
            files = BoardFiles(self._root)
            gpu, memory = _ratio(GpuClock(files).frequency_hz()), _ratio(MemoryClock(files).frequency_hz())
            self._slowdown = min(MOST, slowdown(gpu, memory, self._share))
        return self._slowdown


def _ratio(clock: tuple[float | None, float | None]) -> float:
    now, top = clock
    return now / top if now and top else 1.0
