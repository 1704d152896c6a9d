# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Policy `visual_servo`: puts the named object on the mark, from detections and joint positions. Needs no weights."""
