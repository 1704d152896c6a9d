# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the offload benchmark measures: which policy, over which transports, on which networks, for how many episodes.

Its unit is one row of the table. Nothing is started here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_stack_bench.benchmarks.offload_network import THERE, Network
from edge_stack_core.stack_config import StackConfig
from edge_stack_policy.settings import NO_CONTRACT

PORT = 8443
CUT_S = 5.0
ON_BOARD = "on board"


@dataclass(frozen=True)
class NetworkPhase:
    """
    One row: a network, for some episodes.

    cuts: each of them is an episode that is driven from off board and in which the network is cut once, for CUT_S; those
    between, in which the policy finds its way back, do not count.
    """

    name: str
    network: Network
    episodes: int
    cuts: bool = False


def phases(
    episodes: int, judged_episodes: int, *, quick: bool = False, transport_only: bool = False
) -> list[NetworkPhase]:
    """
    Return the rows of one run.

    episodes: of each network. judged_episodes: of the rows that success is judged by: on board, and with cuts. quick: fewer
    networks. transport_only: what says how it compares with another transport that has met everything else: the networks on
    which transports differ, and success with cuts beside success without.
    """
    near = Network(rtt_ms=20.0)
    slow = replace(near, mbit_s=5.0)
    networks = [near, slow]
    if not quick and not transport_only:
        # The worst last: after it the way back to the server is the longest.
        networks = [Network(rtt_ms=1.0), near, Network(rtt_ms=80.0), slow]
        networks += [replace(near, loss=0.02), replace(near, loss=0.1)]
    rows = [NetworkPhase(str(network), network, episodes) for network in networks]
    rows.append(NetworkPhase(f"20 ms, cut for {CUT_S:g} s", near, judged_episodes, cuts=True))
    if transport_only:
        rows[0] = replace(rows[0], episodes=judged_episodes)
    else:
        rows.insert(0, NetworkPhase(ON_BOARD, Network(cut=True), judged_episodes))
    return rows


@dataclass(frozen=True)
class Transport:
    """A way to a policy server. endpoint: how `endpoints` names it. server: its command line."""

    name: str
    endpoint: str
    server: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """
    The policy that is measured, at both endpoints.

    robot: its description. checkpoint: the same one as LeRobot keeps it, for LeRobot's server.
    """

    policy: str
    robot: str
    path: str = ""
    contract: str = NO_CONTRACT
    checkpoint: str = ""
    lerobot_python: str = sys.executable

    def transports(self) -> list[Transport]:
        """Return every way to a server that there is for it."""
        where, module = f"{THERE}:{PORT}", "edge_stack_policy.remote.server"
        ours = [sys.executable, "-m", module, "--policy", self.policy, "--path", self.path]
        ours += ["--robot", self.robot, "--contract", self.contract, "--address", where, "--insecure"]
        ways = [
            Transport(f"grpc, {images}", f"grpc://{where}?images={images}", tuple(ours))
            for images in ("jpeg", "raw")
        ]
        if self.checkpoint:
            # Its interpreter is one of its own, and not to find this one's packages.
            theirs = ["env", "-u", "PYTHONPATH", "HF_HUB_OFFLINE=1", "OMP_NUM_THREADS=1", self.lerobot_python]
            theirs += ["-m", "lerobot.async_inference.policy_server", f"--host={THERE}", f"--port={PORT}"]
            theirs += ["--fps=24", "--inference_latency=0"]  # the latter is a pause that it makes
            ways.append(Transport("lerobot", f"lerobot://{where}?path={self.checkpoint}", tuple(theirs)))
        return ways

    def configure(self, config: StackConfig, transport: Transport) -> StackConfig:
        """Return a stack whose policy is this one, at a server and here."""
        (policy,) = config.run_by("policy")
        values = {
            "policy": self.policy,
            "policy_path": self.path,
            "policy_contract": self.contract,
            "endpoints": [transport.endpoint, "local"],
        }
        for name, value in values.items():
            config = config.with_parameter(policy, name, value)
        return config


def subject_of(
    config: StackConfig, policy: str, path: str, contract: str, checkpoint: str, lerobot_python: str
) -> Subject:
    """Return what the options name; where no policy is named, the stack's own."""
    if not policy:
        (name,) = config.run_by("policy")
        own = next(node.parameters for node in config.nodes if node.name == name)
        policy = str(own.get("policy", ""))
        path = path or str(own.get("policy_path", ""))
        contract = contract or str(own.get("policy_contract", ""))
    files = (_absolute(text) for text in (path, contract or NO_CONTRACT, checkpoint, lerobot_python))
    return Subject(policy, str(config.robot_file), *files)


def _absolute(text: str) -> str:
    """Return a file's whole path, since servers run in folders of their own; what is no file as it is."""
    return os.path.abspath(text) if os.path.exists(text) else text


def left_out(config: StackConfig, policy: str, *, without_yolo: bool) -> Sequence[str]:
    """Return the perception nodes that do not run: none, or all that the policy can do without."""
    if not without_yolo:
        return ()
    needed = {"detect"} if policy == "visual_servo" else set()
    return tuple(name for name in config.run_by("yolo") if name not in needed)
