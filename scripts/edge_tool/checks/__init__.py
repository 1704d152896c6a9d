# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What `./edge doctor` looks at beside the machine itself: the workspace, and what is installed for it.

The machine's own checks are edge_stack.doctor's, which a robot without this tool has too.
"""
