# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the computer tells about itself: heat, power, clocks, load and memory, read from whatever the board offers.

open_reader() chooses the best reader for this machine; docs/board.md says what is read where.
"""

from edge_stack_core.board.reader import READERS, BoardReader, open_reader
from edge_stack_core.board.slowdown import ClockSlowdown
from edge_stack_core.board.types import BoardState

__all__ = ["READERS", "BoardReader", "BoardState", "ClockSlowdown", "open_reader"]
