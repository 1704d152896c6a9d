# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts the workspace's tool; called by `./edge`."""

import sys

from edge_tool.cli import main

sys.exit(main(sys.argv[1:]))
