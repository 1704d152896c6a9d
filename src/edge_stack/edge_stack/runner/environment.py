# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The environment of every process of the stack."""

from __future__ import annotations

from collections.abc import Mapping


def process_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process of the stack."""
    environment = dict(base)
    for key, value in {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }.items():
        environment.setdefault(key, value)
    return environment
