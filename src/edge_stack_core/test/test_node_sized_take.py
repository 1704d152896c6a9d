# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Messages with a bound, over real DDS: small ones arrive, of large ones no more than their size."""

from __future__ import annotations

import pytest
from rclpy.context import Context
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from edge_stack_core.ros import qos
from edge_stack_core.ros.sized_take import SizedTake
from edge_stack_core.ros.testing import Peer
from edge_stack_core.ros.topics import TopicNode

MOST = 1000


class Listener(TopicNode):
    """A node with one bounded topic."""

    def __init__(self, context: Context, *, polled: bool = False) -> None:
        super().__init__("listener", context=context)
        self.heard: list[str] = []
        self.refused: list[str] = []
        self.bounded = self.subscription(
            String,
            "text",
            lambda message: self.heard.append(message.data),
            qos.request(),
            always=True,
            max_bytes=MOST,
            too_large=self.refused.append,
            polled=polled,
        )


def listener(peer: Peer, *, polled: bool = False) -> Listener:
    node = Listener(peer.context, polled=polled)
    peer.executor.add_node(node)
    return node


def publish(peer: Peer, *texts: str) -> None:
    publisher = peer.node.create_publisher(String, "text", qos.request())
    peer.spin_until(lambda: publisher.get_subscription_count() == 1)
    for text in texts:
        publisher.publish(String(data=text))


def test_what_is_within_the_bound_arrives_and_of_what_is_not_its_size_is_told(peer: Peer) -> None:
    node = listener(peer)
    publish(peer, "a", "b" * 100_000, "", "c" * (MOST - 20))
    peer.spin_until(lambda: len(node.heard) == 3)
    assert node.heard == ["a", "", "c" * (MOST - 20)]
    size = len(serialize_message(String(data="b" * 100_000)))
    assert node.refused == [f"a message of {size} bytes is refused, at most {MOST} are taken"]
    node.destroy_node()


def test_a_polled_topic_is_heard_when_it_is_asked_for(peer: Peer) -> None:
    node = listener(peer, polled=True)
    publish(peer, "a", "b", "c")
    peer.spin_until(lambda: node.poll(node.bounded, 1) or node.heard)
    assert node.heard == ["a"]
    peer.spin_until(lambda: node.poll(node.bounded, 10) or len(node.heard) == 3)
    with pytest.raises(ValueError, match="text: what is polled needs max_bytes"):
        node.subscription(String, "text", print, qos.request(), polled=True)
    node.destroy_node()


def test_a_topic_that_was_ended_is_heard_no_more_and_the_others_are(peer: Peer) -> None:
    node = listener(peer)
    publish(peer, "a")
    peer.spin_until(lambda: node.heard)
    others: list[str] = []
    node.subscription(
        String, "other", lambda m: others.append(m.data), qos.request(), always=True, max_bytes=MOST
    )
    node.end_subscription(node.bounded)
    publisher = peer.node.create_publisher(String, "other", qos.request())
    peer.spin_until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data="d"))
    peer.spin_until(lambda: others)
    assert (node.heard, others) == (["a"], ["d"])
    node.destroy_node()


def test_where_nothing_has_come_nothing_is_taken(peer: Peer) -> None:
    subscription = peer.node.create_subscription(String, "text", print, qos.request(), raw=True)
    take = SizedTake(subscription.handle, MOST)
    assert take.take() is None
    take.close()
    peer.node.destroy_subscription(subscription)
