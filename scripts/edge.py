# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts the workspace's tool; called by `./edge`."""

import os
import signal
import sys
from pathlib import Path

# What the tool shares with the packages needs the standard library alone: it is taken from the sources, built or not.
_src = Path(__file__).resolve().parents[1] / "src"
sys.path[1:1] = [str(_src / "edge_stack"), str(_src / "edge_stack_core")]

# Until the tool itself handles Ctrl-C, it ends without a traceback.
_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from edge_tool.cli import main  # noqa: E402

signal.signal(signal.SIGINT, _before)
sys.exit(main(sys.argv[1:]))
