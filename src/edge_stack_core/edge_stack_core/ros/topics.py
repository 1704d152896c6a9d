# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A lifecycle node whose topics are guarded: what arrives only reaches it while it is active, and what goes wrong is counted.

Its unit is one message. What a callback raises is counted and logged, never passed on to the executor; QoS events of every
topic are counted too. A subscription with a bound looks at the size of what comes before it makes anything of it
(sized_take.py): making a message keeps the interpreter from every other thread for as long as it takes, a control thread
among them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.timer import Timer

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble has them in another place
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

from edge_stack_core.node_statistics import NodeStatistics
from edge_stack_core.ros import qos
from edge_stack_core.ros.sized_take import SizedSubscription, SizedTake

EVENTS_PERIOD_S = 0.05
"""Between two passes of an executor that look at QoS events, at least."""
_PASS_S = 0.005  # in which an executor has asked for all entities
# Of publishers, how many a text names at most.
_NAMED = 8


class _PolledGroup(CallbackGroup):
    """A callback group that no executor may run anything of."""

    def can_execute(self, entity: Any) -> bool:
        """Return that nothing of it may be run, nor waited for."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Return that nothing of it is run."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


class _NowAndThenGroup(CallbackGroup):
    """
    A callback group whose entities are waited for in one of many passes of an executor.

    A node has three or four QoS events for each topic, and rclpy touches every one of them whenever anything wakes it: for
    fusion that was most of what its executor did. The first pass that begins EVENTS_PERIOD_S after the last one with them
    has them: an event is told at the latest after that time and one wait of the executor (0.1 s in main.py).
    """

    def __init__(self) -> None:
        super().__init__()
        self._open_until_s = self._opens_s = 0.0

    def can_execute(self, entity: Any) -> bool:
        """Return whether it is a pass with events."""
        now_s = time.monotonic()
        if now_s >= self._open_until_s:
            if now_s < self._opens_s:
                return False
            self._open_until_s, self._opens_s = now_s + _PASS_S, now_s + EVENTS_PERIOD_S
        return True

    def beginning_execution(self, entity: Any) -> bool:
        """Return that any of them may be run."""
        return True

    def ending_execution(self, entity: Any) -> None:
        """Nothing is to be done."""


class TopicNode(LifecycleNode):
    """A node with guarded topics. stats: what it counts about itself."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Have no topics yet."""
        super().__init__(name, **kwargs)
        self.stats = NodeStatistics()
        self._active = threading.Event()
        self._raised: set[tuple[str, str]] = set()
        self._refused_sizes: set[str] = set()
        self._own_subscriptions: list[Subscription] = []
        # Of those that have a bound.
        self._takes: dict[Subscription, tuple[SizedTake, Callable[[bytes | int], None]]] = {}
        self._sized_waitables: dict[Subscription, SizedSubscription] = {}
        self._own_publishers: list[LifecyclePublisher] = []
        self._events = _NowAndThenGroup()
        # On a steady clock: a node lives on, and says so, while simulated time stands still or runs slowly.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)

    @property
    def is_active(self) -> bool:
        """Whether the node is active. Readable from any thread."""
        return self._active.is_set()

    def publisher(self, msg_type: type, topic: str, profile: QoSProfile) -> LifecyclePublisher:
        """Create a publisher that is silent unless the node is active; its QoS events are counted. Ends at cleanup."""
        publisher = self.create_lifecycle_publisher(
            msg_type,
            topic,
            profile,
            callback_group=self._events,
            event_callbacks=PublisherEventCallbacks(
                deadline=lambda e: self._count_event(topic, "deadline_missed", e.total_count_change),
                liveliness=lambda e: self._count_event(topic, "liveliness_lost", e.total_count_change),
                incompatible_qos=lambda e: self._incompatible(topic, e, "subscriber"),
            ),
        )
        self._own_publishers.append(publisher)
        return publisher

    def subscription(
        self,
        msg_type: type,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        *,
        raw: bool = False,
        always: bool = False,
        max_bytes: int = 0,
        too_large: Callable[[str], None] | None = None,
        polled: bool = False,
        lost: Callable[[int], None] | None = None,
        incompatible: Callable[[], None] | None = None,
    ) -> Subscription:
        """
        Create a subscription with a guarded callback; its QoS events are counted. Ends at cleanup.

        raw: give the callback the bytes. always: run the callback in every state, not only while active (for latched states
        that arrive once). max_bytes: a message that is larger when serialized is refused by its size alone and counted as
        too_large; 0: none is. too_large: called in place of the callback then, with what is wrong in words. polled: no
        executor runs it, and no message wakes one; poll() does; only with max_bytes. lost: called with how many messages
        were lost on their way. incompatible: called in place of a warning if a publisher offers less than is asked for.
        """
        if polled and not max_bytes:
            raise ValueError(f"{topic}: what is polled needs max_bytes")

        def take(message: Any) -> None:
            if not max_bytes:
                callback(message)
            elif isinstance(message, int):
                text = self._refuse_size(topic, message, max_bytes)
                if too_large is not None:
                    too_large(text)
            else:
                callback(message if raw else deserialize_message(message, msg_type))

        def guarded(message: Any) -> None:
            if not always and not self.is_active:
                return
            try:
                take(message)
            except Exception as error:  # noqa: BLE001 (nothing that arrives on a topic may end the node)
                self.count_raised(topic, error)

        def missed(event: Any) -> None:
            self._count_event(topic, "message_lost", event.total_count_change)
            if lost is not None and event.total_count_change > 0:
                lost(event.total_count_change)

        def unmatched(event: Any) -> None:
            if incompatible is None:
                self._incompatible(topic, event, "publisher")
            else:
                incompatible()

        subscription = self.create_subscription(
            msg_type,
            topic,
            guarded,
            profile,
            raw=raw or max_bytes > 0,
            event_callbacks=SubscriptionEventCallbacks(
                deadline=lambda e: self._count_event(topic, "deadline_missed", e.total_count_change),
                liveliness=lambda e: self._liveliness_changed(topic, e),
                incompatible_qos=unmatched,
                message_lost=missed,
            ),
            # With its QoS events: one that is waited for wakes the executor for data that nobody takes, again and again.
            callback_group=_PolledGroup() if polled else self._events,
        )
        self._own_subscriptions.append(subscription)
        if max_bytes:
            sized = SizedTake(subscription.handle, max_bytes)
            self._takes[subscription] = sized, guarded
            if not polled:
                subscription.callback_group = _PolledGroup()
                waitable = SizedSubscription(subscription, self.default_callback_group, sized, guarded)
                self._sized_waitables[subscription] = waitable
                self.add_waitable(waitable)
        else:
            subscription.callback_group = self.default_callback_group
            self.default_callback_group.add_entity(subscription)
        return subscription

    def poll(self, subscription: Subscription, limit: int) -> None:
        """Run the callback of a polled subscription for what has come, at most so many messages; from one thread only."""
        sized, callback = self._takes[subscription]
        for _ in range(limit):
            taken = sized.take()
            if taken is None:
                return
            callback(taken)

    def end_subscription(self, subscription: Subscription) -> None:
        """End a subscription made by subscription() before cleanup does."""
        self._own_subscriptions.remove(subscription)
        self._destroy(subscription)

    def _destroy(self, subscription: Subscription) -> None:
        waitable = self._sized_waitables.pop(subscription, None)
        if waitable is not None:
            self.remove_waitable(waitable)
        self.destroy_subscription(subscription)
        sized, _ = self._takes.pop(subscription, (None, None))
        if sized is not None:
            sized.close()

    def publishers_of(self, topic: str) -> list[str]:
        """Return the full names of the nodes that publish on a topic, as the graph knows them; in order, each once."""
        names = {
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self.get_publishers_info_by_topic(topic)
        }
        return sorted(names)

    def steady_timer(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Create a timer on a clock that simulated time neither stops nor slows."""
        return self.create_timer(period_s, callback, clock=self._steady_clock)

    def count_raised(self, where: str, error: Exception) -> None:
        """Count an exception that a callback or worker caught at its edge; each kind is logged once."""
        kind = type(error).__name__
        self.stats.event(where, f"raised_{kind}")
        if (where, kind) not in self._raised:
            self._raised.add((where, kind))
            self.get_logger().error(f"{where}: {kind}: {error} (counted from now on, not logged again)")

    def _refuse_size(self, topic: str, size: int, max_bytes: int) -> str:
        """Count a message that is too large, and return what is wrong; the first one of a topic is logged."""
        self.stats.event(topic, "too_large")
        text = f"a message of {size} bytes is refused, at most {max_bytes} are taken"
        if topic not in self._refused_sizes:
            self._refused_sizes.add(topic)
            publishers = ", ".join(self.publishers_of(topic)[:_NAMED]) or "nobody that is still there"
            self.get_logger().warning(
                f"{topic}: {text}; published by {publishers} (counted from now on, not logged again)"
            )
        return text

    def _end_subscriptions(self) -> None:
        for subscription in self._own_subscriptions:
            self._destroy(subscription)
        self._own_subscriptions.clear()

    def _end_publishers(self) -> None:
        for publisher in self._own_publishers:
            self.destroy_lifecycle_publisher(publisher)
        self._own_publishers.clear()

    def _count_event(self, topic: str, name: str, change: int) -> None:
        if change > 0:
            self.stats.event(topic, name, change)

    def _liveliness_changed(self, topic: str, event: Any) -> None:
        if event.not_alive_count_change > 0 or event.alive_count_change < 0:
            self.stats.event(topic, "liveliness_lost")

    def _incompatible(self, topic: str, event: Any, other: str) -> None:
        self.stats.event(topic, "incompatible_qos", max(1, event.total_count_change))
        policy = qos.policy_words(event.last_policy_kind)
        if (topic, f"{other} {policy}") not in self._raised:
            self._raised.add((topic, f"{other} {policy}"))
            self.get_logger().warning(
                f"{topic}: a {other} has incompatible QoS ({policy}): they do not talk; `ros2 topic info -v"
                f" {self.resolve_topic_name(topic)}` shows both (counted from now on, not logged again)"
            )
