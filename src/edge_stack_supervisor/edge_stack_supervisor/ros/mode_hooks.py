# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Carries out the hooks of modes: parameters of a node, a call of a service, a text on a topic; never a shell command.

A unit of work is one hook, one at a time; its outcome goes to a callback, and one without an outcome fails after a limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rclpy.client import Client
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from edge_stack_core.ros import qos
from edge_stack_supervisor.modes import CallTrigger, Mode, PublishText, SetParameters
from edge_stack_supervisor.modes.types import Hook
from edge_stack_supervisor.ros.supervisor_part import SupervisingNode

HOOK_LIMIT_S = 5.0  # for an outcome


class ModeHooks:
    """The hooks of all modes."""

    def __init__(self, node: SupervisingNode, modes: Iterable[Mode], names: Mapping[str, str]) -> None:
        """Make what hooks need now, so that they are discovered in time. names: full node name by short one."""
        self._node = node
        self._names = names
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Client] = {}
        self._hook: Hook | None = None
        self._done: Callable[[str], None] = lambda failure: None
        self._until_s = math.inf
        self._answer: Future | None = None
        for mode in modes:
            for hook in (*mode.entry, *mode.exit):
                if isinstance(hook, PublishText) and hook.topic not in self._publishers:
                    self._publishers[hook.topic] = node.publisher(String, hook.topic, qos.state())
                elif isinstance(hook, CallTrigger) and hook.service not in self._clients:
                    self._clients[hook.service] = node.create_client(Trigger, hook.service)

    def begin(self, hook: Hook, done: Callable[[str], None], now_s: float) -> None:
        """Begin a hook. done: gets why it failed, or an empty string."""
        self._forget()
        self._hook, self._done, self._until_s = hook, done, now_s + HOOK_LIMIT_S
        if isinstance(hook, PublishText):
            self._publishers[hook.topic].publish(String(data=hook.text))
            self._end("")
        elif isinstance(hook, SetParameters):
            self._node.supervision.want_parameters(self._names[hook.node], hook.parameters)
        self.step(now_s)

    def step(self, now_s: float) -> None:
        """See how the hook that is under way fares."""
        hook = self._hook
        if isinstance(hook, SetParameters):
            self._look_at(hook)
        elif isinstance(hook, CallTrigger):
            self._call(hook)
        if self._hook is not None and now_s > self._until_s:
            self._end(f"no answer within {HOOK_LIMIT_S:g} s")

    def close(self) -> None:
        """Drop the clients; publishers go with the node's others."""
        self._forget()
        for client in self._clients.values():
            self._node.destroy_client(client)
        self._clients.clear()

    # ---- inside

    def _look_at(self, hook: SetParameters) -> None:
        settings = self._node.supervision.nodes[self._names[hook.node]].settings
        refusals = [
            f"{name} {settings.refusals[name]}" for name in hook.parameters if name in settings.refusals
        ]
        if refusals:
            self._end("; ".join(refusals))
        elif settings.settled:
            self._end("")

    def _call(self, hook: CallTrigger) -> None:
        client = self._clients[hook.service]
        if self._answer is None:
            if client.service_is_ready():
                self._answer = client.call_async(Trigger.Request())
        elif self._answer.done():
            response = self._answer.result()
            if response is None or not response.success:
                self._end(
                    "no answer" if response is None else response.message or "it answers success: false"
                )
            else:
                self._end("")

    def _end(self, failure: str) -> None:
        done = self._done
        self._forget()
        done(failure)

    def _forget(self) -> None:
        if self._answer is not None and not self._answer.done() and isinstance(self._hook, CallTrigger):
            self._clients[self._hook.service].remove_pending_request(self._answer)
        self._hook, self._answer, self._until_s = None, None, math.inf
