# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""No rule of the shipped demo can never fire: its class names are those of the models that it runs."""

from __future__ import annotations

import ast
import importlib.util
from typing import Any

import pytest

from edge_stack.shipped import shipped_config
from edge_stack_control.perception_watch import PerceptionWatch, WatchSettings
from edge_stack_core.stack_config import NodeConfig, load_config
from edge_stack_inference.model_files import find_model
from edge_stack_supervisor.modes import load_modes
from edge_stack_supervisor.modes.blind import SeenTopic, blind_rules

if importlib.util.find_spec("edge_stack_ultralytics") is None:
    pytest.skip("the demo's weights (edge_stack_ultralytics) are not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def nodes() -> dict[str, NodeConfig]:
    return {node.name: node for node in load_config(shipped_config()).select(sim=True)}


def classes_of(node: NodeConfig) -> dict[int, str]:
    """Return the classes of the model that a node runs, which its label_info tells."""
    onnxruntime = pytest.importorskip("onnxruntime")
    file = find_model(node.parameters["model"], node.parameters["task"])
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names: dict[int, str] = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
    return names


def watch_with(nodes: dict[str, NodeConfig], parameters: dict[str, Any]) -> PerceptionWatch:
    topics = tuple(parameters["detections_topics"])
    settings = WatchSettings(
        topics, tuple(parameters["person_classes"]), tuple(parameters.get("object_classes", ()))
    )
    watch = PerceptionWatch(settings)
    for index, topic in enumerate(topics):
        watch.take_labels(index, classes_of(nodes[topic.split("/")[0]]).items())
    return watch


def test_every_class_that_fusion_looks_for_is_one_of_the_demos_detector(
    nodes: dict[str, NodeConfig],
) -> None:
    parameters = nodes["fusion"].parameters
    assert watch_with(nodes, parameters).problems == ()
    wrong = watch_with(nodes, {**parameters, "person_classes": ["person"]})
    assert wrong.cannot_fire.endswith(": write hand")


def test_fusion_and_its_standby_look_for_the_same(nodes: dict[str, NodeConfig]) -> None:
    for name in ("detections_topics", "person_classes"):
        assert nodes["fusion_standby"].parameters[name] == nodes["fusion"].parameters[name]


def test_every_class_of_the_rules_of_the_shipped_modes_is_one_of_the_demos_detector(
    nodes: dict[str, NodeConfig],
) -> None:
    known = [node.name for node in load_config(shipped_config()).nodes]
    modes = load_modes(shipped_config().parent / "modes.yaml", list(nodes.values()), known=known)
    seen = SeenTopic()
    seen.take_labels(classes_of(nodes["detect"]).items())
    assert blind_rules(modes.rules, {"detect/detections": seen}, modes.start, 0.0) == ()
