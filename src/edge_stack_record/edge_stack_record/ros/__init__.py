# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The dataset recorder: topics of a running stack in, steps of episodes out."""
