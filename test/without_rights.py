# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs a module as an ordinary user's process: python -m without_rights, with its name in EDGE_TEST_MODULE."""

from __future__ import annotations

import os
import sys

from edge_stack_bench.benchmarks.stack import give_rights_away

MODULE_VARIABLE = "EDGE_TEST_MODULE"

if __name__ == "__main__":
    give_rights_away()
    os.execv(sys.executable, [sys.executable, "-m", os.environ[MODULE_VARIABLE], *sys.argv[1:]])
