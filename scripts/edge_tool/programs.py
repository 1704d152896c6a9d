# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The verbs that are programs of the packages: `./edge VERB` sets up, builds, and becomes what `ros2 run PACKAGE VERB` runs.

Their arguments are the program's own. A robot without this tool has the same programs as installed executables.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_tool import execution
from edge_tool.workspace import Workspace


@dataclass(frozen=True)
class Program:
    """
    An executable of a package.

    module: its main() is the executable. what: for the list of verbs. handles_ctrl_c: the program has its own answer to
    Ctrl-C.
    """

    module: str
    what: str
    handles_ctrl_c: bool = False

    @property
    def package(self) -> str:
        """The package that installs it."""
        return self.module.partition(".")[0]

    def run(self, workspace: Workspace, arguments: list[str]) -> int:
        """Become the program."""
        return execution.become_module(workspace, self.module, arguments, handles_ctrl_c=self.handles_ctrl_c)


# A verb has the name of its executable, with - for _ (a test compares them).
PROGRAMS = {
    "demo": Program(
        "edge_stack_bench.ros.demo",
        "set up, build, and run the stack on the simulated robot with a live view",
        handles_ctrl_c=True,
    ),
    "run": Program(
        "edge_stack.runner.__main__", "run the stack of a robot.yaml in the foreground", handles_ctrl_c=True
    ),
    "board": Program(
        "edge_stack_core.board.__main__", "show the heat, power, clocks and memory of this computer"
    ),
    "admission": Program(
        "edge_stack_core.admission.__main__", "show which jobs a device admits, delays and refuses, and why"
    ),
    "policy-server": Program(
        "edge_stack_policy.remote.server", "serve a policy to robots elsewhere over gRPC", handles_ctrl_c=True
    ),
    "export-policy": Program(
        "edge_stack_policy.smolvla.export",
        "turn a LeRobot SmolVLA into ONNX graphs that run without torch, and check them",
    ),
    "triton-repository": Program(
        "edge_stack_policy.triton.repository",
        "write the model repository of a Triton server from a robot.yaml",
    ),
    "split-model": Program(
        "edge_stack_inference.splitting.__main__", "split an ONNX model into slices of bounded time"
    ),
    "record-dataset": Program(
        "edge_stack_record.ros.record_dataset", "record a running stack as a LeRobot dataset"
    ),
    "record": Program(
        "edge_stack_bench.ros.record",
        "record a running stack as a picture or a film with every model's results",
    ),
    "bench": Program("edge_stack_bench.command", "run a benchmark; without a name, list them"),
}
