# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Images and what models see in them: codec, models, decoding, drawing. Plain Python over numpy, no ROS."""
