# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the computer tells about itself: heat, power, frequencies, load and memory, read from whatever the board offers."""
