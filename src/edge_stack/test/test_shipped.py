# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The shipped robot.yaml, modes.yaml and robots are valid and fit each other."""

from __future__ import annotations

from edge_stack.shipped import shipped_config
from edge_stack_core.package_files import share_folder
from edge_stack_core.robot import load_robot
from edge_stack_core.stack_config import load_config
from edge_stack_supervisor.modes import load_modes
from edge_stack_supervisor.supervision import NodeState


def test_the_shipped_stack_and_robots_are_valid() -> None:
    config = load_config(shipped_config())
    assert {n.name for n in config.select(sim=True)} >= {"supervisor", "fusion", "sim", "policy", "detect"}
    for file in sorted((share_folder("edge_stack_core") / "robots").glob("*.yaml")):
        load_robot(file)


def test_a_simulated_board_that_is_switched_on_is_read_and_felt() -> None:
    config = load_config(shipped_config())
    before = {node.name: node.parameters for node in config.nodes}
    assert "sysfs_root" not in before["supervisor"]
    after = {node.name: node.parameters for node in config.switch_on(["board"]).nodes}
    assert after["supervisor"]["sysfs_root"] == "simulated"
    assert after["detect"]["board"] == after["policy"]["board"] == "simulated"
    assert after["fusion"] == before["fusion"]
    chosen = config.with_parameter("supervisor", "sysfs_root", "/").switch_on(["board"])
    assert {n.name: n.parameters for n in chosen.nodes}["supervisor"]["sysfs_root"] == "/"


def test_the_shipped_file_fits_the_shipped_stack_and_starts_as_it_is() -> None:
    stack = load_config(shipped_config())
    config = load_modes(
        shipped_config().parent / "modes.yaml",
        stack.select(sim=True),
        known=[node.name for node in stack.nodes],
    )
    assert config.modes[config.start].nodes == config.base
    assert {"manipulate", "standby"} <= set(config.modes)
    assert all(mode.nodes["fusion"].state is NodeState.ACTIVE for mode in config.modes.values())
