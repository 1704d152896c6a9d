# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Every parameter of every node is the same after `ros2 param dump` and `ros2 param load`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter as RosParameter
from rclpy.parameter import parameter_dict_from_yaml_file

from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.parameters import BASE_PARAMETERS, Parameter, fitted

MODULES = (
    "edge_stack_control.ros.fusion",
    "edge_stack_perception.ros.camera",
    "edge_stack_perception.ros.yolo",
    "edge_stack_policy.ros.policy",
    "edge_stack_sim.ros.board",
    "edge_stack_sim.ros.clock",
    "edge_stack_sim.ros.sim",
    "edge_stack_supervisor.ros.supervisor",
)


def parameters_of(module: str) -> tuple[Parameter, ...]:
    nodes = [
        one
        for one in vars(importlib.import_module(module)).values()
        if isinstance(one, type) and issubclass(one, StackNode) and one.__module__ == module
    ]
    return tuple(parameter for node in nodes for parameter in (*BASE_PARAMETERS, *node.PARAMETERS))


@pytest.mark.parametrize("module", MODULES)
def test_the_default_of_each_parameter_goes_round(module: str, tmp_path: Path) -> None:
    parameters = parameters_of(module)
    assert len(parameters) > len(BASE_PARAMETERS)
    values: dict[str, Any] = {p.name: plain(p.default) for p in parameters}
    file = tmp_path / "dump.yaml"
    file.write_text(yaml.safe_dump({"/node": {"ros__parameters": values}}), encoding="utf-8")
    sent = parameter_dict_from_yaml_file(str(file))
    for parameter in parameters:
        value = RosParameter.from_parameter_msg(sent[parameter.name]).value
        back = fitted(value, parameter, values[parameter.name])
        assert plain(back) == values[parameter.name], parameter.name
        assert parameter.wrong_type(plain(back)) is None, parameter.name


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) or hasattr(value, "typecode") else value
