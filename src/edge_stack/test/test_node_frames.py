# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames as topics: shared memory inside the stack, ordinary Images for everybody else, over real DDS."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from edge_stack_msgs.msg import SharedFrame
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from edge_stack.nodes import frames, qos
from edge_stack.nodes.base import StackNode
from edge_stack.nodes.frames import Frame, FrameGoneError, FramePublisher, FrameSubscription
from edge_stack.testing import Peer
from edge_stack.transport import frame_ring

IMAGE = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


class Source(StackNode):
    def configure_node(self) -> None:
        self.frames = FramePublisher(self, "image_raw", 0.0)

    def cleanup_node(self) -> None:
        if hasattr(self, "frames"):
            self.frames.close()

    def send(self, image=IMAGE, encoding: str = "rgb8") -> None:
        self.frames.publish(image, encoding, Header(stamp=self.get_clock().now().to_msg(), frame_id="eye"))


class Sink(StackNode):
    def configure_node(self) -> None:
        self.got: list[Frame] = []
        self.frames = FrameSubscription(self, "image_raw", self.got.append)

    def cleanup_node(self) -> None:
        if hasattr(self, "frames"):
            self.frames.close()


class Stack:
    """A source and a sink that this process spins together with the test's peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.nodes: list[StackNode] = []

    def add(self, kind: type[StackNode], name: str, *arguments: str):
        node = kind(
            name, context=self.peer.context, cli_args=["--ros-args", *arguments] if arguments else None
        )
        assert node.trigger_configure() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS
        self.peer.executor.add_node(node)
        self.nodes.append(node)
        return node

    def remove(self, node: StackNode) -> None:
        self.peer.executor.remove_node(node)
        self.nodes.remove(node)
        node.close()
        node.destroy_node()


@pytest.fixture
def stack(peer: Peer) -> Iterator[Stack]:
    one = Stack(peer)
    yield one
    for node in list(one.nodes):
        one.remove(node)


def arrives(stack: Stack, source: Source, sink: Sink, kind: type) -> Frame:
    def sent() -> list[Frame]:
        source.send()
        return [f for f in sink.got if isinstance(f, kind)]

    return stack.peer.spin_until(sent)[-1]


def test_frames_inside_the_stack_go_through_shared_memory(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    frame = arrives(stack, source, sink, frames.SharedMemoryFrame)
    assert frame.header.frame_id == "eye"
    np.testing.assert_array_equal(frame.rgb(), IMAGE)
    assert stack.peer.node.count_subscribers("/image_raw") == 0, "the sink asks for no ordinary images"


def test_an_ordinary_subscriber_gets_ordinary_images_with_the_same_stamps(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    images = stack.peer.collect(Image, "image_raw", qos.frame(offered=False))
    arrives(stack, source, sink, frames.SharedMemoryFrame)

    def both() -> bool:
        return bool({str(i.header.stamp) for i in images} & {str(f.header.stamp) for f in sink.got})

    stack.peer.spin_until(lambda: source.frames._images.get_subscription_count())
    source.send()
    stack.peer.spin_until(both)
    assert images[0].encoding == "rgb8"
    assert bytes(images[0].data) == IMAGE.tobytes()


def test_frames_of_another_camera_driver_are_taken_as_ordinary_images(stack: Stack) -> None:
    sink = stack.add(Sink, "sink")
    publisher = stack.peer.node.create_publisher(Image, "image_raw", qos.frame())
    message = Image(height=6, width=8, step=24, encoding="rgb8", data=IMAGE.tobytes())

    def got() -> list[Frame]:
        publisher.publish(message)
        return sink.got

    np.testing.assert_array_equal(stack.peer.spin_until(got)[0].rgb(), IMAGE)


def test_a_remapping_of_the_image_topic_moves_frames_in_shared_memory_and_ordinary_images(
    stack: Stack,
) -> None:
    remapped = ("-r", "image_raw:=/left/image_raw")
    sink = stack.add(Sink, "sink", *remapped)
    publisher = stack.peer.node.create_publisher(Image, "/left/image_raw", qos.frame())
    message = Image(height=6, width=8, step=24, encoding="rgb8", data=IMAGE.tobytes())

    def got() -> list[Frame]:
        publisher.publish(message)
        return sink.got

    stack.peer.spin_until(got)
    source = stack.add(Source, "source", *remapped)
    arrives(stack, source, sink, frames.SharedMemoryFrame)
    assert stack.peer.node.count_publishers("/image_raw") == 0
    assert stack.peer.node.count_publishers("/left/image_raw/shared") == 1


def test_a_source_that_comes_later_takes_the_sink_from_ordinary_images_to_shared_memory(stack: Stack) -> None:
    sink = stack.add(Sink, "sink")
    publisher = stack.peer.node.create_publisher(Image, "image_raw", qos.frame())
    stack.peer.spin_until(lambda: publisher.get_subscription_count())
    source = stack.add(Source, "source")
    arrives(stack, source, sink, frames.SharedMemoryFrame)
    stack.peer.spin_until(lambda: not publisher.get_subscription_count())


def test_where_shared_memory_cannot_be_reached_ordinary_images_take_over(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stack.add(Source, "source")
    sink = stack.add(Sink, "sink")
    # As in another container: the same messages, another /dev/shm.
    sink.frames._probe = frame_ring.FrameReader(tmp_path)
    frame = arrives(stack, source, sink, frames.ImageFrame)
    np.testing.assert_array_equal(frame.rgb(), IMAGE)
    assert sink.stats.snapshot().events[("image_raw", "shared_memory_unreachable")] >= 1


def test_where_shared_memory_has_no_room_ordinary_images_take_over(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(self: frame_ring.FrameRing, frame_bytes: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(frame_ring.FrameRing, "_make_segment", no_room)
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    frame = arrives(stack, source, sink, frames.ImageFrame)
    np.testing.assert_array_equal(frame.rgb(), IMAGE)


def test_a_frame_that_was_overwritten_says_so(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    frame = arrives(stack, source, sink, frames.SharedMemoryFrame)
    for _ in range(10):
        source.send()
    with pytest.raises(FrameGoneError):
        frame.rgb()


def test_a_malformed_announcement_is_an_image_error_and_harms_nobody(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    frame = arrives(stack, source, sink, frames.SharedMemoryFrame)
    publisher = stack.peer.node.create_publisher(SharedFrame, "image_raw/shared", qos.frame())
    good = frame._message
    bad = [
        SharedFrame(
            header=good.header,
            segment=good.segment,
            index=good.index,
            height=2**32 - 1,
            width=8,
            step=2**32 - 1,
        ),
        SharedFrame(
            header=good.header, segment=good.segment, index=2**63, height=6, width=8, step=24, encoding="rgb8"
        ),
        SharedFrame(
            header=good.header,
            segment=good.segment,
            index=good.index,
            height=6,
            width=9,
            step=24,
            encoding="rgb8",
        ),
    ]
    for message in bad:
        with pytest.raises((frames.codec.ImageError, FrameGoneError)):
            frames.SharedMemoryFrame(message, sink.frames._reader).rgb()
    publisher.publish(SharedFrame(segment="../../etc/passwd"))
    arrives(stack, source, sink, frames.SharedMemoryFrame)


def test_a_sources_shared_memory_ends_with_it(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    segment = arrives(stack, source, sink, frames.SharedMemoryFrame)._message.segment
    assert (frame_ring.FOLDER / segment).exists()
    stack.remove(source)
    assert not (frame_ring.FOLDER / segment).exists()
