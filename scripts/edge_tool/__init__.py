# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The tool behind `./edge`: sets the workspace up, builds it, and runs things in it.

It must run before ROS or any package is there, so it uses the standard library only (Python 3.10 or newer). Each verb is one
short file in verbs/; what verbs share is beside them.
"""
