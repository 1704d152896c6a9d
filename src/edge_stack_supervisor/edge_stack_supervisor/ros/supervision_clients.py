# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Clients of the supervised nodes' services: ask for a transition, set parameters, never wait.

A unit of work is one call; its answer goes to a callback, and one that is overdue is forgotten at the next
call. Clients are made when they are first needed and dropped a while after the last call: an executor looks
at every client at every turn, and a stack at rest needs none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future

from edge_stack_supervisor.supervision import ParameterCall, TransitionCall

LINGER_S = 10.0


@dataclass
class _Clients:
    """Clients of one node, and the calls that are not answered yet."""

    change_state: Client
    set_parameters: Client
    used_s: float
    transition: Future | None = None
    parameters: Future | None = None


class SupervisionClients:
    """Clients of all supervised nodes."""

    def __init__(self, node: Node) -> None:
        """node: makes the clients, and spins."""
        self._node = node
        self._clients: dict[str, _Clients] = {}

    def reachable(self, name: str) -> bool:
        """Whether a node's services are there. The first question makes the clients; its answer is no."""
        clients = self._of(name)
        return bool(clients.change_state.service_is_ready() and clients.set_parameters.service_is_ready())

    def ask_for(self, call: TransitionCall, answered: Callable[[TransitionCall, bool], None]) -> None:
        """Ask a node for a transition."""
        clients = self._of(call.node)
        request = ChangeState.Request()
        request.transition.id = int(call.transition)
        _forget(clients.change_state, clients.transition)
        clients.transition = clients.change_state.call_async(request)

        def take(future: Future) -> None:
            response = future.result()
            answered(call, response is not None and bool(response.success))

        clients.transition.add_done_callback(take)

    def set_parameters(
        self, call: ParameterCall, answered: Callable[[ParameterCall, Mapping[str, str]], None]
    ) -> None:
        """Set parameters of a node; the answer is why the node refuses which of them."""
        clients = self._of(call.node)
        messages, refusals = [], {}
        for name, value in call.values.items():
            try:
                messages.append(Parameter(name, value=value).to_parameter_msg())
            except TypeError:  # a list of several types, from a file
                refusals[name] = f"{value!r} is no value of a parameter"
        _forget(clients.set_parameters, clients.parameters)
        clients.parameters = clients.set_parameters.call_async(SetParameters.Request(parameters=messages))

        def take(future: Future) -> None:
            response = future.result()
            results = [] if response is None else response.results
            refused = {
                message.name: result.reason or "no reason given"
                for message, result in zip(messages, results)
                if not result.successful
            }
            answered(call, {**refusals, **refused})

        clients.parameters.add_done_callback(take)

    def drop_unused(self) -> None:
        """Drop the clients that were not used for a while."""
        now_s = time.monotonic()
        for name, clients in list(self._clients.items()):
            if now_s - clients.used_s > LINGER_S:
                self._drop(name)

    def close(self) -> None:
        """Drop all clients."""
        for name in list(self._clients):
            self._drop(name)

    def _of(self, name: str) -> _Clients:
        now_s = time.monotonic()
        clients = self._clients.get(name)
        if clients is None:
            clients = self._clients[name] = _Clients(
                self._node.create_client(ChangeState, f"{name}/change_state"),
                self._node.create_client(SetParameters, f"{name}/set_parameters"),
                now_s,
            )
        clients.used_s = now_s
        return clients

    def _drop(self, name: str) -> None:
        clients = self._clients.pop(name)
        self._node.destroy_client(clients.change_state)
        self._node.destroy_client(clients.set_parameters)


def _forget(client: Client, future: Future | None) -> None:
    """Stop waiting for an answer that is overdue."""
    if future is not None and not future.done():
        client.remove_pending_request(future)
