# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What packages offer under a name by entry points: ours as well as strangers'.

Its unit is one group of entry points, such as edge_stack.policies. Nothing is loaded here.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from edge_stack_core.errors import ConfigurationError


def find_plugins(group: str, module: str) -> dict[str, EntryPoint]:
    """
    Return a group's entry points by their names: ours first, then strangers', both sorted.

    module: one of the package whose entry points are ours; where a stranger's has the name of one of ours, ours is taken.
    ConfigurationError if there is none of ours: the package is run from its sources.
    """
    ours = module.partition(".")[0]
    known: dict[str, EntryPoint] = {}
    points = entry_points(group=group)
    for point in sorted(points, key=lambda point: (_package(point) != ours, point.name)):
        known.setdefault(point.name, point)
    if not any(_package(point) == ours for point in known.values()):
        raise ConfigurationError(
            f"{ours} offers nothing as {group}, as it is not installed; build the workspace by ./edge build"
        )
    return known


def _package(point: EntryPoint) -> str:
    return point.module.partition(".")[0]
