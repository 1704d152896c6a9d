# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Ctrl-C in a node's first seconds: while its modules are still imported, SIGINT ends the process at once and without a word.

Its unit is one process. Launch starts our nodes with SIGINT held back, for Python itself would answer it with a traceback.
The nodes' packages import this module before all else: it lets SIGINT through again. From run() on, SIGINT is an orderly
end.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from edge_stack_core.process_environment import LAUNCH_VARIABLE


def _end(_number: int, _frame: Any) -> None:
    os._exit(0)  # nothing was begun that would have to be ended


def let_interrupts_end_the_process() -> None:
    """Do so if launch started this process and holds SIGINT back."""
    if LAUNCH_VARIABLE in os.environ and signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        signal.signal(signal.SIGINT, _end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


let_interrupts_end_the_process()
