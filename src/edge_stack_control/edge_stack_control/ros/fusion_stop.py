# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How a stop is requested of fusion and released: the service `stop` and the topic `stop`.

Its unit is one request. It is in the shared page, where the control thread of each fusion process sees it, before it is on
disk, and on disk before the service answers. What it survives is in docs/fusion.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.service import Service
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

from edge_stack_control.controller import Command, Surroundings
from edge_stack_control.ros import fusion_bounds
from edge_stack_control.ros.fusion_standby import CommandShare
from edge_stack_control.rules import ControlState, Reason
from edge_stack_core.ros import qos
from edge_stack_core.runtime.stop_set import RULE, SERVICE, SUPERVISOR, TOPIC

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode


def live_stops(command: Command, around: Surroundings) -> set[str]:
    """Return the sources that hold the robot for as long as their reason is there, and need no release."""
    sources = set()
    if command.state is ControlState.STOP and command.reason not in (
        Reason.STOP_REQUESTED,
        Reason.STOP_UNKNOWN,
    ):
        sources.add(RULE)
    if around.stack_stopping:
        sources.add(SUPERVISOR)
    return sources


class StopRequests:
    """The two ways in. Both processes have them: a stop can be requested while the other one is away."""

    def __init__(self, node: StackNode, share: CommandShare, recover: Callable[[], None]) -> None:
        """Hear nothing yet. recover: goes on in a new page if this one was removed; the others would not see a request."""
        self._node = node
        self._share = share
        self._recover = recover
        self._service: Service | None = None

    def open(self, principal: str) -> None:
        """Listen. principal: the node whose service this is, its own or the one that it stands by for."""
        self._node.subscription(
            Bool, "stop", self._take_topic, qos.request(), always=True, max_bytes=fusion_bounds.STOP_BYTES
        )
        self._service = self._node.create_service(SetBool, f"{principal}/stop", self._take_service)

    def close(self) -> None:
        """End the service; the subscription goes with the node's others."""
        service, self._service = self._service, None
        if service is not None:
            self._node.destroy_service(service)

    def _take_service(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stop as the source "service", or release every source."""
        self._recover()
        if request.data:
            self._request(SERVICE)
            response.message = "the robot stops"
        else:
            released = ", ".join(sorted(self._share.stops.release_all()))
            if released:
                self._node.get_logger().warning(f"stop released by the service ~/stop: {released}")
            response.message = f"the stop is released ({released or 'nothing is held any more'})"
        if self._share.unsaved:
            response.message += f"; {self._share.unsaved}"
        response.success = True
        return response

    def _take_topic(self, message: Bool) -> None:
        self._recover()
        stops = self._share.stops
        if message.data:
            self._request(TOPIC)
        elif TOPIC in stops.held():
            stops.release(TOPIC)
            rest = ", ".join(sorted(stops.held()))
            self._node.get_logger().warning(f"stop released by topic{f'; {rest} still holds' * bool(rest)}")

    def _request(self, source: str) -> None:
        is_new = source not in self._share.stops.held()
        saved = self._share.stops.request(source)
        if is_new:
            self._node.get_logger().warning(f"stop requested by {source}")
            if not saved:
                self._node.get_logger().error(self._share.unsaved)
