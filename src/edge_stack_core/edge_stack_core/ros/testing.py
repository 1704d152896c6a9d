# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Helpers for tests of nodes: a DDS domain of their own, real node processes, and waiting for conditions, never for time.

Used by the tests of this workspace, and usable for nodes that users add.
"""

from __future__ import annotations

import contextlib
import copy
import functools
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
from builtin_interfaces.msg import Time
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
from edge_stack_core.runtime.run_state import STATE_VARIABLE

# A wait ends when its condition holds: only a machine that stands still, or a failure, reaches the limit.
DEFAULT_TIMEOUT_S = 60.0
ANSWER_S = 3.0  # silence after which a call is taken for lost
TRANSITION_ANSWER_S = 30.0  # the same of a transition, which is answered once it is over
UNMOVED_S = 1.0  # a node that says so long after a request that it rests where it was has not heard it
HISTORY_DEPTH = 300  # messages that may wait for a peer that gets little processor time


@contextlib.contextmanager
def ros_domain() -> Iterator[int]:
    """
    Reserve a domain id that no other test on this machine uses, and set ROS_DOMAIN_ID to it.

    The state of runs goes into a folder of its own: a stop of one test is none of the next.
    """
    with (
        domain_coordinator.domain_id() as domain,
        tempfile.TemporaryDirectory(prefix="edge_stack_state_") as state,
        _environment(ROS_DOMAIN_ID=str(domain), **{STATE_VARIABLE: state}),
    ):
        os.environ.update(process_environment(os.environ))
        yield int(domain)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set variables, and put back what they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Statuses(dict[str, NodeStatus]):
    """The newest status of each node; an empty one for a node that was not heard yet, so that conditions wait for it."""

    def __missing__(self, name: str) -> NodeStatus:
        """Return an empty status, and do not keep it."""
        return NodeStatus()


def _any(*conditions: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: any(condition() for condition in conditions)


def stamp_s(message: Any) -> float:
    """Return the time at which a message with a header was stamped, s."""
    return float(message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)


class History(list[Any]):
    """
    Every message of a topic that was heard, in order.

    The newest message alone does not tell what was there for a moment: conditions look through all of them.
    """

    def since(self, time_s: float) -> list[Any]:
        """Return those stamped later: what was under way before does not count."""
        return [message for message in self if stamp_s(message) > time_s]


class Peer:
    """
    The test's own node and executor in a context of its own.

    statuses: the newest NodeStatus of each node that is heard, by its name without namespace. heard: all of them.
    """

    def __init__(self, name: str = "peer", namespace: str = "") -> None:
        """Join the domain that ROS_DOMAIN_ID names."""
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node(name, context=self.context, namespace=namespace or None)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.statuses = Statuses()
        self.heard = History()
        profile = qos.status()
        profile.depth = HISTORY_DEPTH
        self.node.create_subscription(NodeStatus, "node_status", self._take_status, profile)

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
        self.heard.append(status)
        self.statuses[status.name.rsplit("/", 1)[-1]] = status

    def now(self) -> Time:
        """Return the time by this peer's clock, which other nodes of this machine share."""
        return self.node.get_clock().now().to_msg()

    def now_s(self) -> float:
        """Return the time by this peer's clock, s."""
        return float(self.node.get_clock().now().nanoseconds * 1e-9)

    def said(self, node: str, since_s: float = 0.0) -> list[NodeStatus]:
        """Return every status of a node (its name without namespace) that was stamped after a time."""
        return [s for s in self.heard.since(since_s) if s.name.rsplit("/", 1)[-1] == node]

    def spin_until(
        self, condition: Callable[[], Any], timeout_s: float = DEFAULT_TIMEOUT_S, what: str = ""
    ) -> Any:
        """Spin until the condition is true and return its value; AssertionError after the limit."""
        value = self._spin(condition, timeout_s)
        if not value:
            states = {n: (s.state, s.message) for n, s in self.statuses.items()}
            raise AssertionError(f"not within {timeout_s} s: {what or condition}; nodes: {states}")
        return value

    def _spin(self, condition: Callable[[], Any], limit_s: float) -> Any:
        """Spin until the condition is true, or until the limit; return its last value."""
        end_s = time.monotonic() + limit_s
        while not (value := condition()) and time.monotonic() <= end_s:
            self.executor.spin_once(timeout_sec=0.02)
        return value

    def collect(self, msg_type: type, topic: str, profile: Any) -> History:
        """Subscribe and return the list that fills while this peer spins."""
        messages = History()
        self.node.create_subscription(msg_type, topic, messages.append, profile)
        return messages

    def record(self, msg_type: type, topic: str, profile: Any) -> History:
        """Collect every message: none is replaced by the next one while it waits for this peer."""
        deep = copy.copy(profile)
        deep.depth = HISTORY_DEPTH
        return self.collect(msg_type, topic, deep)

    def call(
        self,
        srv_type: type,
        name: str,
        request: Any,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        otherwise: Callable[[], Any] = lambda: None,
        answer_s: float | None = None,
        unheard: Callable[[float], bool] = lambda _: False,
    ) -> Any:
        """
        Call a service once it is there and return the response.

        The answer can be lost: DDS drops it if the server has not discovered the client yet. So the call is made again
        after answer_s without one (None: ANSWER_S; more where the server answers only once something is done), unless
        otherwise() then returns what the answer must have been. It also goes before the answer to a repeated call, which
        may be refused only because the first one is being carried out; so the first one's answer is waited for, too. It is
        made again sooner where unheard(time of the call, s) tells that it did not arrive: the service that was found first
        may be that of a process that was killed.
        """
        client = self.node.create_client(srv_type, name)
        silence_s = ANSWER_S if answer_s is None else answer_s
        calls: list[Any] = []
        try:
            self.spin_until(client.service_is_ready, timeout_s, f"service {name}")
            end_s = time.monotonic() + timeout_s
            while True:
                lost = functools.partial(unheard, self.now_s())
                calls.append(client.call_async(request))
                self._spin(
                    _any(lambda: any(c.done() for c in calls), lambda: otherwise() is not None, lost),
                    silence_s,
                )
                if lost():
                    continue
                self._spin(calls[0].done, ANSWER_S)
                if calls[0].done():
                    return calls[0].result()
                known = otherwise()
                if known is not None:
                    return known
                for call in calls:
                    if call.done():
                        return call.result()
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

        def unheard(called_s: float) -> bool:
            status = self.statuses[short_name]
            rests = status.state != goals[name] and not status.state.endswith("ing")
            failed = status.message.startswith(f"{name} failed")
            return rests and not failed and stamp_s(status) > called_s + UNMOVED_S

        request = ChangeState.Request(transition=Transition(id=ids[name]))
        # A transition may take long, and one that is asked for twice is carried out twice: its status tells the outcome.
        change = self.call(
            ChangeState, f"{node}/change_state", request, timeout_s, by_status, TRANSITION_ANSWER_S, unheard
        )
        return bool(change.success)

    def bring_up(self, node: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Configure and activate a node; AssertionError with its reason if it refuses."""
        for name in ("configure", "activate"):
            if not self.transition(node, name, timeout_s):
                self.spin_until(lambda: self.statuses.get(node) and self.statuses[node].message)
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
        self.process.wait(DEFAULT_TIMEOUT_S)

    def stop(self, number: int = signal.SIGINT, timeout_s: float = DEFAULT_TIMEOUT_S) -> int:
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
