# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Long background models in slices, with admission by admission between them.

A model that takes longer than the slack between two critical inferences is cut at layer boundaries into models of bounded
time. Cutting needs the onnx package and is done once; running does not.
"""

from edge_stack_inference.splitting.admissions import Admissions
from edge_stack_inference.splitting.build import split_model
from edge_stack_inference.splitting.plan import ModelSlice, SlicePlan
from edge_stack_inference.splitting.runner import SlicedModel

__all__ = ["Admissions", "SlicePlan", "ModelSlice", "SlicedModel", "split_model"]
