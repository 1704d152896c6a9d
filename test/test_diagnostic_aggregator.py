# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The shipped files for diagnostic_aggregator put every status of the stack into one group."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from edge_stack.shipped import shipped_config
from edge_stack_core.ros.base import StackNode
from edge_stack_core.stack_config import NodeConfig, load_config

CONFIG = Path(__file__).parents[1] / "src" / "edge_stack" / "config"
NODES = load_config(shipped_config()).nodes


def analyzers(name: str) -> dict[str, Any]:
    """Return the analyzers of a file, as aggregator_node finds them among its parameters."""
    parameters = yaml.safe_load((CONFIG / name).read_text(encoding="utf-8"))["analyzers"]["ros__parameters"]
    groups = {key: value for key, value in parameters.items() if isinstance(value, dict)}
    assert {group["type"] for group in groups.values()} == {"diagnostic_aggregator/GenericAnalyzer"}
    assert all(group["path"] == key for key, group in groups.items())
    return groups


def groups_of(status: str, groups: dict[str, Any]) -> list[str]:
    """Return the groups that a status falls into, by the rules of diagnostic_aggregator's GenericAnalyzer."""
    return [
        name
        for name, group in groups.items()
        if any(status.startswith(prefix) for prefix in group.get("find_and_remove_prefix", []))
        or any(part in status for part in group.get("contains", []))
    ]


def task_of(node: NodeConfig) -> str:
    module = importlib.import_module(f"{node.package}.ros.{node.executable}")
    found = {
        one.DIAGNOSTIC_TASK
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, StackNode) and one.__module__ == module.__name__
    }
    assert len(found) == 1, module
    return found.pop()


EXPECTED = {
    "fusion": "control",
    "yolo": "perception",
    "camera": "perception",
    "policy": "policy",
    "supervisor": "supervisor",
    "sim": "others",
    "board": "others",
    "clock": "others",
}


@pytest.mark.parametrize("namespace", ["", "left/", "cell_3/left/"])
def test_every_status_falls_into_one_group(namespace: str) -> None:
    groups = analyzers("diagnostic_aggregator.yaml")
    for node in NODES:
        own = f"{namespace}{node.name}: {task_of(node)}"
        assert groups_of(own, groups) == [EXPECTED[node.executable]], own
        assert groups_of(f"{namespace}supervisor: node {node.name}", groups) == ["supervisor"]
    for name in ("board_state", "governor_state"):
        assert groups_of(f"{namespace}supervisor: {name}", groups) == ["board"]


def test_two_stacks_have_a_group_each() -> None:
    groups = analyzers("diagnostic_aggregator_two_stacks.yaml")
    for side in ("left", "right"):
        assert groups_of(f"{side}/fusion: control loop", groups) == [side]
        assert groups_of(f"{side}/supervisor: node fusion", groups) == [side]
