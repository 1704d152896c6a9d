# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts the workspace's tool; called by `./edge`."""

import os
import signal
import sys

# Until the tool itself handles Ctrl-C, it ends without a traceback.
_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from edge_tool.cli import main  # noqa: E402

signal.signal(signal.SIGINT, _before)
sys.exit(main(sys.argv[1:]))
