# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""An input that is silent, or loses messages: the status of its node says which topic, what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from edge_stack_core.ros import input_watch, qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.input_subscription import InputSubscription
from edge_stack_core.ros.input_watch import InputWatch
from edge_stack_core.ros.testing import Peer

RELIABLE = QoSProfile(depth=10)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Listener(StackNode):
    """Takes images on `eye`, and watches them and the latched orders."""

    def configure_node(self) -> None:
        self.got: list[object] = []
        self.images = InputSubscription(
            self,
            "eye",
            {Image: self.take, CompressedImage: self.take},
            QoSProfile(depth=5),
            lost=lambda count: self.watch.lost(count),
        )
        self.watch = InputWatch(
            self,
            "eye",
            (Image, CompressedImage),
            BEST_EFFORT,
            noun="image",
            subscription=lambda: self.images.subscription,
        )
        self.subscription(String, "orders", self.take, qos.state())
        self.orders = InputWatch(self, "orders", (String,), qos.state())
        self.timer = self.steady_timer(0.05, self.images.follow)

    def cleanup_node(self) -> None:
        if hasattr(self, "watch"):
            self.watch.close()
            self.orders.close()

    def take(self, message: object) -> None:
        self.got.append(message)
        self.watch.arrived()


@pytest.fixture
def listener(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(input_watch, "SILENCE_S", 0.5)
    monkeypatch.setattr(input_watch, "LOOK_PERIOD_S", 0.05)
    node = Listener("listener", context=peer.context)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    peer.executor.add_node(node)
    yield node
    peer.executor.remove_node(node)
    node.close()
    node.destroy_node()


def says(peer: Peer, *words: str) -> str:
    """Wait until the status holds all words, and return its message."""

    def message() -> str:
        text = peer.statuses["listener"].message
        return text if all(word in text for word in words) else ""

    return peer.spin_until(message, what=str(words))


def test_a_topic_without_publisher_is_named_with_topics_that_may_be_meant(
    peer: Peer, listener: Listener
) -> None:
    says(peer, "eye: no image for", "nobody publishes /eye; start its publisher, or remap eye")
    says(peer, "orders: no message for", "nobody publishes /orders")
    other = peer.node.create_publisher(Image, "/camera/color/image_raw", RELIABLE)
    result = peer.node.create_publisher(Image, "/detect/debug_image", RELIABLE)
    text = says(peer, "images are published on /camera/color/image_raw: remap eye to the right one")
    assert result.topic_name not in text and other.topic_name in text


def test_a_publisher_of_another_type_is_named_with_its_type(peer: Peer, listener: Listener) -> None:
    peer.node.create_publisher(String, "/eye", RELIABLE)
    says(
        peer,
        "/peer publishes std_msgs/msg/String on /eye, and sensor_msgs/msg/Image or"
        " sensor_msgs/msg/CompressedImage is needed",
    )


def test_incompatible_qos_is_said_by_its_policy_and_both_values(peer: Peer, listener: Listener) -> None:
    peer.node.create_publisher(String, "/orders", RELIABLE)
    says(
        peer,
        "/peer publishes /orders with incompatible QoS: durability volatile is offered, transient local is asked for;"
        " set the durability of the publisher to transient local",
    )


def test_a_publisher_that_sends_nothing_is_named_and_what_helps_between_containers(
    peer: Peer, listener: Listener
) -> None:
    publisher = peer.node.create_publisher(Image, "/eye", RELIABLE)
    says(peer, "/peer publishes /eye and nothing comes", "--ipc=host", "FASTDDS_BUILTIN_TRANSPORTS=UDPv4")

    def over() -> bool:
        publisher.publish(Image())
        return "eye" not in peer.statuses["listener"].message

    peer.spin_until(over)
    says(peer, "/peer publishes /eye and nothing comes any more; is it running and active?")


def test_a_watch_is_silent_while_its_node_is_not_active(peer: Peer, listener: Listener) -> None:
    says(peer, "nobody publishes /eye")
    listener.trigger_deactivate()
    inactive_s = peer.now_s()
    peer.spin_until(lambda: len(peer.said("listener", inactive_s + 0.7)) >= 2)
    assert all(not s.message for s in peer.said("listener", inactive_s + 0.1))


def test_a_slow_topic_is_given_three_of_its_periods(peer: Peer, listener: Listener) -> None:
    publisher = peer.node.create_publisher(Image, "/eye", RELIABLE)
    timer = peer.node.create_timer(0.8, lambda: publisher.publish(Image()))
    peer.spin_until(lambda: len(listener.got) >= 3)
    began_s = peer.now_s()
    peer.spin_until(lambda: len(listener.got) >= 5)
    assert all("eye" not in s.message for s in peer.said("listener", began_s))
    peer.node.destroy_timer(timer)
    says(peer, "eye: no image for 3 s")


def test_reliable_is_asked_for_exactly_while_all_publishers_offer_it(peer: Peer, listener: Listener) -> None:
    def asked() -> list[ReliabilityPolicy]:
        return [one.qos_profile.reliability for one in peer.node.get_subscriptions_info_by_topic("/eye")]

    def heard_from(*publishers: object) -> bool:
        listener.got.clear()
        return bool(
            peer.spin_until(
                lambda: (
                    [p.publish(Image(width=i)) for i, p in enumerate(publishers)]
                    and {m.width for m in listener.got} == set(range(len(publishers)))
                )
            )
        )

    first = peer.node.create_publisher(Image, "/eye", RELIABLE)
    peer.spin_until(lambda: asked() == [ReliabilityPolicy.RELIABLE])
    assert heard_from(first)
    second = peer.node.create_publisher(Image, "/eye", BEST_EFFORT)
    peer.spin_until(lambda: asked() == [ReliabilityPolicy.BEST_EFFORT])
    assert heard_from(first, second)
    peer.node.destroy_publisher(second)
    peer.spin_until(lambda: asked() == [ReliabilityPolicy.RELIABLE])
    assert heard_from(first)
    assert not listener.stats.snapshot().events.get(("eye", "incompatible_qos"))


def test_a_topic_that_changes_its_type_is_followed(peer: Peer, listener: Listener) -> None:
    for kind in (Image, CompressedImage, Image):
        publisher = peer.node.create_publisher(kind, "/eye", RELIABLE)
        listener.got.clear()
        peer.spin_until(
            lambda publisher=publisher, kind=kind: (
                publisher.publish(kind()) or any(isinstance(m, kind) for m in listener.got)
            )
        )
        listener.images.leave()  # one participant, one type of a topic
        peer.node.destroy_publisher(publisher)


def test_lost_messages_are_a_problem_with_its_cure(peer: Peer, listener: Listener) -> None:
    publisher = peer.node.create_publisher(Image, "/eye", BEST_EFFORT)
    timer = peer.node.create_timer(0.02, lambda: publisher.publish(Image()))
    peer.spin_until(lambda: listener.got)
    listener.watch.lost(100)
    says(
        peer,
        "eye: images are lost on their way from /peer: it offers best effort",
        "set the reliability of the publisher",
    )
    peer.node.destroy_timer(timer)


@pytest.mark.parametrize(
    ("offered", "asked", "words"),
    [
        (BEST_EFFORT, RELIABLE, "reliability best effort is offered, reliable is asked for"),
        (qos.sensor(), qos.state(), "durability volatile is offered, transient local is asked for"),
        (RELIABLE, qos.frame(10.0), "deadline none is offered, 0.2 s is asked for"),
        (qos.frame(10.0), qos.frame(20.0), "deadline 0.2 s is offered, 0.1 s is asked for"),
        (RELIABLE, qos.command(10.0, offered=False), "deadline none is offered, 0.3 s is asked for"),
        (
            QoSProfile(depth=1, deadline=qos.sensor(10.0).deadline, liveliness=LivelinessPolicy.AUTOMATIC),
            qos.command(10.0, offered=False),
            "liveliness automatic is offered, manual by topic",
        ),
        (qos.command(10.0), qos.command(20.0, offered=False), "deadline 0.2 s is offered, 0.15 s"),
        (qos.command(10.0), qos.command(10.0, offered=False), ""),
        (RELIABLE, BEST_EFFORT, ""),
        (qos.frame(10.0), qos.frame(offered=False), ""),
        (qos.state(), RELIABLE, ""),
    ],
)
def test_conflicts_are_those_of_dds(peer: Peer, offered: QoSProfile, asked: QoSProfile, words: str) -> None:
    from rclpy.qos import QoSCompatibility, qos_check_compatible

    found = qos.conflict(offered, asked)
    assert words in found and bool(found) == bool(words)
    assert (qos_check_compatible(offered, asked)[0] == QoSCompatibility.ERROR) == bool(found)


def test_a_plain_subscriber_is_compatible_with_every_stream_that_the_stack_offers() -> None:
    plain = (RELIABLE, BEST_EFFORT, QoSProfile(depth=1, durability=DurabilityPolicy.VOLATILE))
    for offered in (
        qos.frame(15.0),
        qos.sensor(50.0),
        qos.command(24.0),
        qos.result(5.0),
        qos.chunk(),
        qos.state(),
    ):
        assert not any(qos.conflict(offered, one) for one in plain)
