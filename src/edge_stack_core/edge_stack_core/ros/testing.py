# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Helpers for tests of nodes: a DDS domain of their own, real node processes, and waiting for conditions, never for time.

Used by the tests of this workspace, and usable for nodes that users add.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import domain_coordinator
import rclpy
import yaml
from edge_stack_msgs.msg import NodeStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from edge_stack_core.process_environment import process_environment
from edge_stack_core.ros import qos

DEFAULT_TIMEOUT_S = 20.0
ANSWER_S = 3.0  # silence after which a call is taken for lost


@contextlib.contextmanager
def ros_domain() -> Iterator[int]:
    """Reserve a domain id that no other test on this machine uses, and set ROS_DOMAIN_ID to it."""
    with domain_coordinator.domain_id() as domain:
        before = os.environ.get("ROS_DOMAIN_ID")
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ.update(process_environment(os.environ))
        try:
            yield int(domain)
        finally:
            if before is None:
                os.environ.pop("ROS_DOMAIN_ID", None)
            else:
                os.environ["ROS_DOMAIN_ID"] = before


class Statuses(dict[str, NodeStatus]):
    """The newest status of each node; an empty one for a node that was not heard yet, so that conditions wait for it."""

    def __missing__(self, name: str) -> NodeStatus:
        """Return an empty status, and do not keep it."""
        return NodeStatus()


class Peer:
    """
    The test's own node and executor in a context of its own.

    statuses: the newest NodeStatus of each node that is heard, by its name without namespace.
    """

    def __init__(self, name: str = "peer", namespace: str = "") -> None:
        """Join the domain that ROS_DOMAIN_ID names."""
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node(name, context=self.context, namespace=namespace or None)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.statuses = Statuses()
        self.node.create_subscription(NodeStatus, "node_status", self._take_status, qos.status())

    def __enter__(self) -> Peer:
        """Use as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the domain."""
        self.executor.remove_node(self.node)
        self.node.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)

    def _take_status(self, status: NodeStatus) -> None:
        self.statuses[status.name.rsplit("/", 1)[-1]] = status

    def spin_until(
        self, condition: Callable[[], Any], timeout_s: float = DEFAULT_TIMEOUT_S, what: str = ""
    ) -> Any:
        """Spin until the condition is true and return its value; AssertionError after the limit."""
        end_s = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end_s:
                states = {n: (s.state, s.message) for n, s in self.statuses.items()}
                raise AssertionError(f"not within {timeout_s} s: {what or condition}; nodes: {states}")
            self.executor.spin_once(timeout_sec=0.02)

    def collect(self, msg_type: type, topic: str, profile: Any) -> list[Any]:
        """Subscribe and return the list that fills while this peer spins."""
        messages: list[Any] = []
        self.node.create_subscription(msg_type, topic, messages.append, profile)
        return messages

    def call(
        self,
        srv_type: type,
        name: str,
        request: Any,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        otherwise: Callable[[], Any] = lambda: None,
    ) -> Any:
        """
        Call a service once it is there and return the response.

        The answer can be lost: DDS drops it if the server has not discovered the client yet. So the call is made again
        after ANSWER_S without one, unless otherwise() then returns what the answer must have been. It also goes before the
        answer to a repeated call, which may be refused only because the first one was carried out.
        """
        client = self.node.create_client(srv_type, name)
        try:
            self.spin_until(client.service_is_ready, timeout_s, f"service {name}")
            end_s = time.monotonic() + timeout_s
            for repeated in itertools.chain([False], itertools.repeat(True)):
                future = client.call_async(request)
                asked_s = time.monotonic()

                def answered(future: Any = future, asked_s: float = asked_s) -> bool:
                    return bool(future.done()) or time.monotonic() > asked_s + ANSWER_S

                self.spin_until(answered, timeout_s, f"answer of {name}")
                if future.done() and not repeated:
                    return future.result()
                known = otherwise()
                if known is not None:
                    return known
                if future.done():
                    return future.result()
                assert time.monotonic() < end_s, f"no answer of {name} within {timeout_s} s"
        finally:
            self.node.destroy_client(client)

    def transition(self, node: str, name: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Ask a node for a transition (configure, activate, deactivate, cleanup) and return its success."""
        ids = {
            "configure": Transition.TRANSITION_CONFIGURE,
            "activate": Transition.TRANSITION_ACTIVATE,
            "deactivate": Transition.TRANSITION_DEACTIVATE,
            "cleanup": Transition.TRANSITION_CLEANUP,
        }
        goals = {
            "configure": "inactive",
            "activate": "active",
            "deactivate": "inactive",
            "cleanup": "unconfigured",
        }

        short_name = node.rsplit("/", 1)[-1]
        before = self.statuses[short_name]

        def by_status() -> ChangeState.Response | None:
            """Tell from the node's status what came of it; only what was not so before tells anything."""
            status = self.statuses[short_name]
            if status.state == goals[name] != before.state:
                return ChangeState.Response(success=True)
            failed = status.message.startswith(f"{name} failed") and status.message != before.message
            refused = failed and not status.state.endswith("ing")
            return ChangeState.Response(success=False) if refused else None

        request = ChangeState.Request(transition=Transition(id=ids[name]))
        return bool(self.call(ChangeState, f"{node}/change_state", request, timeout_s, by_status).success)

    def bring_up(self, node: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Configure and activate a node; AssertionError with its reason if it refuses."""
        for name in ("configure", "activate"):
            if not self.transition(node, name, timeout_s):
                self.spin_until(lambda: self.statuses.get(node) and self.statuses[node].message, 2.0)
                raise AssertionError(f"{node}: {self.statuses[node].message}")

    def set_parameter(self, node: str, name: str, value: Any) -> tuple[bool, str]:
        """Set a parameter of a node; return success and the reason of a refusal."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, f"{node}/set_parameters", request).results[0]
        return bool(result.successful), str(result.reason)


class NodeProcess:
    """One node as a real process, started from its module; ended at exit, its output shown by output()."""

    def __init__(
        self,
        module: str,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        namespace: str = "",
        remappings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `python -m <module>` as the node <name>."""
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="edge_stack_test_")
        file = Path(self._folder.name) / "parameters.yaml"
        file.write_text(
            yaml.safe_dump({"/**": {"ros__parameters": dict(parameters or {})}}), encoding="utf-8"
        )
        command = [sys.executable, "-m", module, "--ros-args", "-r", f"__node:={name}"]
        if namespace:
            command += ["-r", f"__ns:={namespace}"]
        for old, new in (remappings or {}).items():
            command += ["-r", f"{old}:={new}"]
        if parameters:
            command += ["--params-file", str(file)]
        self._log = (Path(self._folder.name) / "log").open("w+b")
        self.process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**process_environment(os.environ), **(environment or {})},
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def output(self) -> str:
        """Return what the process wrote so far."""
        return (Path(self._folder.name) / "log").read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End the process at once with SIGKILL."""
        self.process.kill()
        self.process.wait(10.0)

    def stop(self, number: int = signal.SIGINT, timeout_s: float = 10.0) -> int:
        """Ask the process to end and return its exit code; killed after the limit."""
        if self.alive():
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {timeout_s} s:\n{self.output()[-2000:]}"
            ) from None

    def __enter__(self) -> NodeProcess:
        """Use as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process and remove its files."""
        if self.alive():
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5.0)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()
        self._folder.cleanup()
