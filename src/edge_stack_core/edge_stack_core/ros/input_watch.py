# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reports why an input topic is silent, and that its messages are lost on their way, in the status of its node.

Its unit of work is one look at the graph, twice a second. Subscriptions to frames have one, and any node may make one for a
topic that it cannot work without. It finds: no publisher, another type, incompatible QoS, a publisher that does not connect,
and one that is connected and silent. Why messages that come are refused, their node tells it.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from edge_stack_core.loss import LossMeter
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.input_subscription import type_name

__all__ = ["InputWatch"]

LOOK_PERIOD_S = 0.5
SILENCE_S = 2.0
"""A topic is silent after this time, or after SILENT_PERIODS of its messages if those are longer."""
SILENT_PERIODS = 3.0
REFUSAL_SHOWN_S = 2.0
_LONGEST_SILENCE_S = 60.0
# Of publishers and of topics, how many a text names at most.
_NAMED = 4
_UNKNOWN = "a program without a node"
# Images that the stack's own models publish: nobody means these.
_RESULTS = ("/debug_image", "/masks")


class InputWatch:
    """The watch over one input; made in configure_node, closed in cleanup_node."""

    def __init__(
        self,
        node: StackNode,
        topic: str,
        types: Sequence[type],
        profile: QoSProfile,
        *,
        noun: str = "message",
        name: str = "",
        subscription: Callable[[], Subscription | None] = lambda: None,
    ) -> None:
        """
        Look from now on, while the node is active.

        types: that the node takes. profile: that it asks for at least. noun: what a message holds. name: of the topic in
        texts, if not as given. subscription: returns the one that there is, to see whether it is connected.
        """
        self._node, self._topic, self._name = node, topic, name or topic
        self._resolved = node.resolve_topic_name(topic)
        self._types = tuple(type_name(one) for one in types)
        self._profile, self._noun = profile, noun
        self._subscription = subscription
        self._loss = LossMeter()
        self._arrived_s, self._came = math.inf, False
        self._periods_s: deque[float] = deque(maxlen=3)
        self._refusal = ("", -math.inf)
        self._timer = node.steady_timer(LOOK_PERIOD_S, self._look)

    def close(self) -> None:
        """Look no more."""
        self._node.destroy_timer(self._timer)
        self._say("", "", "")

    def arrived(self) -> None:
        """Count a message (any thread)."""
        now_s = time.monotonic()
        if self._came:
            self._periods_s.append(now_s - self._arrived_s)
        self._arrived_s, self._came = now_s, True
        self._loss.count(now_s, arrived=1)

    def refused(self, text: str) -> None:
        """Count a message that came and is of no use, and show why for a while (any thread)."""
        self.arrived()
        self._refusal = text, time.monotonic()

    def lost(self, count: int) -> None:
        """Count messages that were lost on their way (any thread)."""
        self._loss.count(time.monotonic(), lost=count)

    def _begin(self) -> None:
        self._arrived_s, self._came = math.inf, False
        self._periods_s.clear()
        self._refusal = ("", -math.inf)
        self._loss.forget()

    def _say(self, silence: str, loss: str, refusal: str) -> None:
        self._node.report_about(f"{self._resolved} silent", silence)
        self._node.report_about(f"{self._resolved} loss", loss)
        self._node.report_about(f"{self._resolved} refused", refusal)

    def _look(self) -> None:
        now_s = time.monotonic()
        if not self._node.is_active:
            self._begin()
            self._say("", "", "")
            return
        if self._arrived_s == math.inf:
            self._arrived_s = now_s  # activated just now
        # One long pause is none of the period.
        limit_s = min(max(SILENCE_S, SILENT_PERIODS * min(self._periods_s, default=0.0)), _LONGEST_SILENCE_S)
        silence = loss = ""
        if now_s - self._arrived_s >= limit_s:
            silence = f"{self._name}: no {self._noun} for {math.ceil(limit_s)} s: {self.why_silent()}"
        elif self._loss.is_losing(now_s):
            loss = self._loss_words()
        refusal, refused_s = self._refusal
        if now_s - refused_s > REFUSAL_SHOWN_S:
            refusal = ""
        self._say(silence, loss, f"{self._name}: {self._noun}s are refused: {refusal}" if refusal else "")

    def why_silent(self) -> str:
        """Return in words what the graph says of the topic, and what to do."""
        publishers = self._node.get_publishers_info_by_topic(self._resolved)
        if not publishers:
            return f"nobody publishes {self._resolved}; {self._elsewhere()}"
        right = [one for one in publishers if one.topic_type in self._types]
        if not right:
            types = ", ".join(sorted({one.topic_type for one in publishers}))
            needed = " or ".join(self._types)
            return (
                f"{_names(publishers)} publishes {types} on {self._resolved}, and {needed} is needed;"
                f" {self._elsewhere()}"
            )
        conflicts = {_names([one]): qos.conflict(one.qos_profile, self._profile) for one in right}
        if all(conflicts.values()):
            name, conflict = next(iter(conflicts.items()))
            return f"{name} publishes {self._resolved} with incompatible QoS: {conflict}"
        connected = self._connected()
        if connected == 0:
            return (
                f"{_names(right)} publishes {self._resolved}, and no connection comes about; has it another version of the"
                " message, or a firewall before it?"
            )
        if self._came:
            return f"{_names(right)} publishes {self._resolved} and nothing comes any more; is it running and active?"
        containers = "let both share /dev/shm (docker run --ipc=host), or start it with FASTDDS_BUILTIN_TRANSPORTS=UDPv4"
        if _names(right) == _UNKNOWN:
            # Even the name of its node, which comes as a message, has not arrived.
            return (
                f"{self._resolved} has a publisher that is connected, and nothing of its process arrives; is it in another"
                f" container? Then {containers}"
            )
        return (
            f"{_names(right)} publishes {self._resolved} and nothing comes; is it running and active? If it runs in another"
            f" container, {containers}"
        )

    def _connected(self) -> int | None:
        """Return how many publishers are connected; None if that is not known."""
        subscription = self._subscription()
        count = getattr(subscription, "get_publisher_count", None)  # not in Humble
        return int(count()) if count is not None else None

    def _elsewhere(self) -> str:
        """Return in words where such messages are published."""
        node = self._node
        own = [node.get_fully_qualified_name()]
        topics = [
            name
            for name, types in node.get_topic_names_and_types()
            if name != self._resolved
            and not name.endswith(_RESULTS)
            and not set(types).isdisjoint(self._types)
            and node.publishers_of(name) not in ([], own)
        ]
        topic = self._topic
        if not topics:
            return f"start its publisher, or remap {topic} to the topic that it publishes on"
        more = "" if len(topics) <= _NAMED else " and others"
        return f"{self._noun}s are published on {', '.join(sorted(topics)[:_NAMED])}{more}: remap {topic} to the right one"

    def _loss_words(self) -> str:
        publishers = self._node.get_publishers_info_by_topic(self._resolved)
        whom = _names(publishers) if publishers else "their publisher"
        text = f"{self._name}: {self._noun}s are lost on their way from {whom}: "
        if publishers and not qos.all_reliable(publishers):
            return text + (
                "it offers best effort, by which one lost part loses the whole; set the reliability of the publisher to"
                " reliable (a QoS parameter of most drivers)"
            )
        return text + "more come than this computer takes; lower the rate or the size at the publisher"


def _names(publishers: Sequence[TopicEndpointInfo]) -> str:
    """Return who publishes."""
    names = sorted({_name(one) for one in publishers})
    return ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")


def _name(publisher: Any) -> str:
    name = str(publisher.node_name)
    if name.startswith(
        "_NODE_N"
    ):  # _NODE_NAME_UNKNOWN_: a program that is no ROS node, or not known as one yet
        return _UNKNOWN
    return f"{publisher.node_namespace.rstrip('/')}/{name}"
