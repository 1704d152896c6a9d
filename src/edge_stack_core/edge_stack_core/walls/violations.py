# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Finds imports through a wall or to the wrong floor, and circles of modules.

The walls: a package imports only the packages of the workspace that its package.xml names as exec_depend. The floors:
logic imports neither ROS nor its own or another package's `ros`; only `ros` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from edge_stack_core.walls.imports import Import, imports_of, is_ros, is_workspace_package, modules_of
from edge_stack_core.walls.manifest import MESSAGES, read_manifest


def violations(folder: Path, allowed: Collection[str] | None = None) -> list[str]:
    """
    Return what is wrong with the imports of a package, a line each; an empty list is a sound package.

    folder: with package.xml and the package of the folder's name. allowed: packages of the workspace that it may import; by
    default what its package.xml says (Manifest.packages).
    """
    if allowed is None:
        allowed = read_manifest(folder).packages
    modules = modules_of(folder)
    found = []
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        graph[module] = set()
        for one in imports_of(file, folder):
            top = one.top
            if top == folder.name:
                graph[module].add(one.full if one.full in modules else one.module)
            elif is_workspace_package(top) and top != MESSAGES and top not in allowed:
                found.append(f"{one.place}: imports {one.module}; {folder.name} does not depend on {top}")
            if not _on_ros_floor(module):
                found += _upwards(one)
        graph[module].discard(module)
    found += [f"circle: {' -> '.join(circle)}" for circle in circles(graph)]
    return list(dict.fromkeys(found))  # a statement that takes five names is one line


def circles(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return one shortest circle, its first module repeated at its end, for each group of modules that import each other."""
    reach = {module: _reachable(graph, module) for module in graph}
    found, seen = [], set()
    for module in sorted(graph):
        if module in reach[module] and module not in seen:
            seen |= {other for other in reach[module] if module in reach.get(other, ())}
            found.append(_shortest(graph, module))
    return found


def _on_ros_floor(module: str) -> bool:
    return module.split(".")[1:2] == ["ros"]


def _upwards(one: Import) -> Iterator[str]:
    if is_ros(one.top):
        yield f"{one.place}: imports {one.module}; logic knows no ROS, only ros/ does"
    elif is_workspace_package(one.top) and _on_ros_floor(one.full):
        yield f"{one.place}: imports {one.full}; logic stands below ros/"


def _reachable(graph: Mapping[str, Collection[str]], start: str) -> set[str]:
    reached: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        module = ahead.pop()
        if module not in reached:
            reached.add(module)
            ahead += graph.get(module, ())
    return reached


def _shortest(graph: Mapping[str, Collection[str]], start: str) -> list[str]:
    """Return the shortest way from a module back to itself."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:  # grows while it is walked: the shorter ways come first
        for module in sorted(graph.get(way[-1], ())):
            if module == start:
                return [*way, start]
            if module not in seen:
                seen.add(module)
                ways.append([*way, module])
    return [start]
