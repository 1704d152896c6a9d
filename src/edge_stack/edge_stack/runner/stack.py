# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Runs the stack of a robot.yaml as processes, where there is no launch system; what `ros2 launch` does elsewhere.

Its unit is one run: a folder with each node's parameters and output, the processes of the chosen nodes, and their end.
Which state the nodes are in is the supervisor's business, not its own.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import yaml

from edge_stack.runner import run_end, shared_memory
from edge_stack.runner.processes import ExitCallback, ProcessGroup, ProcessLimits, ProcessSpec
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.process_environment import process_environment
from edge_stack_core.robot import load_robot
from edge_stack_core.stack_config import NodeConfig, StackConfig

# Executables whose process publishes camera frames and so gets the large shared-memory segment. Nodes of packages that are
# not ours get it too: nobody knows what they publish.
_OUR_PACKAGES = "edge_stack"  # how their names begin
_FRAME_EXECUTABLES = ("camera", "sim")
# Parameters by which camera nodes, ours first, are told the size of their frames, and bytes a pixel that are not three.
_SIZE_PARAMETERS = (("width", "height"), ("image_width", "image_height"))
_PIXEL_BYTES = {"mono8": 1, "rgba8": 4, "bgra8": 4}


class StackProcesses:
    """The processes of one stack."""

    def __init__(
        self,
        config: StackConfig,
        *,
        sim: bool,
        run_folder: Path,
        disabled: Collection[str] = (),
        namespace: str = "",
        log_level: str = "info",
        on_exit: ExitCallback | None = None,
        limits: ProcessLimits | None = None,
    ) -> None:
        """
        Choose the nodes; nothing is started yet.

        run_folder: gets <node>.yaml (parameters) and <node>.log (output). on_exit: see ExitCallback.
        """
        self.nodes = config.select(sim=sim, disabled=disabled)
        self.run_folder = run_folder
        self._robot_file = config.robot_file
        self._namespace = namespace
        self._log_level = log_level
        self.group = ProcessGroup(run_folder, on_exit, limits)

    def start(self) -> None:
        """Start every node. ConfigurationError if a node's executable is not installed; then nothing was started."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        shared_memory.remove_orphans()
        specs = [
            ProcessSpec(
                node.name,
                node_command(node, self._write_parameters(node), self._namespace, self._log_level),
                node_environment(node, os.environ, self._robot_file),
                stage=node.stage,
            )
            for node in self.nodes
        ]
        for spec in specs:
            self.group.start(spec)

    def stop(self) -> dict[str, int | None]:
        """End every node and return the return codes; with the orderly end of fusion its run ends, and a stop with it."""
        codes = self.group.stop()
        run_end.end_runs(self.nodes, self._namespace, codes)
        shared_memory.remove_orphans()
        return codes

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a node's process."""
        self.group.signal(name, number)

    def tails(self) -> str:
        """Return the last lines that each node wrote."""
        return self.group.tails()

    def _write_parameters(self, node: NodeConfig) -> Path:
        path = self.run_folder / f"{node.name}.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(node.parameters)}}), encoding="utf-8")
        return path


def node_environment(
    node: NodeConfig, base: Mapping[str, str], robot_file: Path | None = None
) -> dict[str, str]:
    """
    Return the environment of a node's process, with shared memory for the frames that it publishes.

    robot_file: the robot whose cameras tell the size of frames that the node's parameters leave open; None if there is
    none. ConfigurationError if that file is wrong.
    """
    frames = publishes_frames(node)
    return process_environment(
        base, frames=frames, frame_bytes=frame_bytes(node, robot_file) if frames else 0
    )


def publishes_frames(node: NodeConfig) -> bool:
    """Return whether a node's process publishes camera frames, as far as is known."""
    return not node.package.startswith(_OUR_PACKAGES) or node.executable in _FRAME_EXECUTABLES


def frame_bytes(node: NodeConfig, robot_file: Path | None) -> int:
    """Return the size of the largest frame that a camera node is configured to publish; 0 if nothing tells it."""
    pixel_bytes = _PIXEL_BYTES.get(str(node.parameters.get("encoding")), 3)
    for names in _SIZE_PARAMETERS:
        width, height = (node.parameters.get(name) for name in names)
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            return width * height * pixel_bytes
    if robot_file is None:
        return 0
    cameras = load_robot(robot_file).cameras.values()
    return max((camera.width * camera.height * pixel_bytes for camera in cameras), default=0)


def node_command(
    node: NodeConfig, parameters: Path, namespace: str = "", log_level: str = "info"
) -> list[str]:
    """Return the command line of a node."""
    # Output goes to <node>.log already: no second log file for each process.
    arguments = [
        "--ros-args",
        "-r",
        f"__node:={node.name}",
        "--disable-external-lib-logs",
        "--log-level",
        log_level,
    ]
    if namespace:
        arguments += ["-r", f"__ns:=/{namespace.strip('/')}"]
    for old, new in node.remappings.items():
        arguments += ["-r", f"{old}:={new}"]
    return [*_program(node.package, node.executable), *arguments, "--params-file", str(parameters)]


def _program(package: str, executable: str) -> Sequence[str]:
    """
    Return how to start an executable of a package.

    Python entry points are called directly: the installed script would look its own package up at each start.
    """
    entry = _entry_points().get((package, executable))
    if entry is not None:
        module, _, function = entry.partition(":")
        # A signal before the node has its own handlers, while it imports, ends it without a traceback.
        quiet = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)"
        return [sys.executable, "-c", f"{quiet}; from {module} import {function}; {function}()"]
    searched = [Path(p) / "lib" / package for p in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if p]
    for folder in searched:
        if os.access(folder / executable, os.X_OK):
            return [str(folder / executable)]
    there = sorted({path.name for folder in searched if folder.is_dir() for path in folder.iterdir()})
    there += sorted(name for owner, name in _entry_points() if owner == package)
    known = f"it has {', '.join(there)}" if there else "no such package is installed"
    raise ConfigurationError(f"package {package} has no executable {executable}; {known}")


@functools.cache
def _entry_points() -> Mapping[tuple[str, str], str]:
    """Return module:function of every console script, by package and name."""
    scripts = importlib.metadata.entry_points(group="console_scripts")
    return {(s.dist.name.replace("-", "_"), s.name): s.value for s in scripts if s.dist is not None}
