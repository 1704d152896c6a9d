# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""This package imports only what its package.xml names, ROS only in ros/, and nothing in a circle."""

from pathlib import Path

from edge_stack_core.walls import manifest_problems, violations

PACKAGE = Path(__file__).resolve().parents[1]


def test_imports_keep_to_the_walls_and_the_floors() -> None:
    assert violations(PACKAGE) == []


def test_package_xml_names_what_is_imported() -> None:
    assert manifest_problems(PACKAGE) == []
