# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The verbs of `./edge`: a module each, with run(workspace, arguments) -> exit code."""
