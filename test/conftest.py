# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of the whole stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def domain() -> Iterator[int]:
    """Reserve a ROS_DOMAIN_ID for one test."""
    from edge_stack_core.ros.testing import ros_domain

    with ros_domain() as number:
        yield number
