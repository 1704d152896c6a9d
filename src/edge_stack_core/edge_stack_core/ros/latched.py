# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Hears a state from everybody: from publishers that latch it (transient local), and from ordinary ones, as people write them.

A transient-local reader does not match a volatile publisher, and a volatile one does not hear what was latched before it
came. So there are two, and what comes by both is taken once. The unit is one message.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from edge_stack_core.ros import qos
from edge_stack_core.ros.topics import TopicNode

BOTH_WITHIN_S = 2.0
"""A message that comes by two ways comes by the second within this time."""
_MOST_UNMATCHED = 16


class TakenOnce:
    """A callback for two subscriptions of one topic that passes on each message once. Called from one thread."""

    def __init__(
        self, callback: Callable[[Any], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """clock_s: returns monotonic time, s."""
        self._callback, self._clock_s = callback, clock_s
        self._unmatched: tuple[deque[tuple[float, Any]], ...] = (
            deque(maxlen=_MOST_UNMATCHED),
            deque(maxlen=_MOST_UNMATCHED),
        )

    def latched(self, message: Any) -> None:
        """Take what the transient-local subscription hears."""
        self._take(0, message)

    def plain(self, message: Any) -> None:
        """Take what the volatile subscription hears."""
        self._take(1, message)

    def _take(self, way: int, message: Any) -> None:
        now_s = self._clock_s()
        other = self._unmatched[1 - way]
        while other and now_s - other[0][0] > BOTH_WITHIN_S:
            other.popleft()
        for entry in other:
            if entry[1] == message:
                other.remove(entry)
                return
        self._unmatched[way].append((now_s, message))
        self._callback(message)


def subscribe_to_state(
    node: TopicNode, msg_type: type, topic: str, callback: Callable[[Any], None], **options: Any
) -> None:
    """Subscribe to a state of any publisher, in every state of the node. options: of TopicNode.subscription."""
    once = TakenOnce(callback)
    # Ordinary publishers are the other one's: that they do not match this one is no trouble.
    latched = {"always": True, "incompatible": lambda: None, **options}
    node.subscription(msg_type, topic, once.latched, qos.state(), **latched)
    node.subscription(msg_type, topic, once.plain, qos.request(), always=True, **options)
