# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames as topics: shared memory inside the stack, ordinary Images for everybody else, over real DDS."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from edge_stack_msgs.msg import FrameRing as FrameRingMessage
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from edge_stack_core import compressed_image
from edge_stack_core import image_codec as codec
from edge_stack_core.frames import layout
from edge_stack_core.frames.frame_ring import FrameRing
from edge_stack_core.ros import frames, qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.frames import Frame, FrameGoneError, FramePublisher, FrameSubscription
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.testing import Peer

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


class PromisedSink(Sink):
    """One that was promised frames at 10 Hz."""

    def configure_node(self) -> None:
        self.got = []
        self.frames = FrameSubscription(self, "image_raw", self.got.append, 10.0)


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


def readable(frame: Frame) -> bool:
    """Whether its picture is still there: one that is taken late may have been overwritten."""
    try:
        frame.rgb()
    except FrameGoneError:
        return False
    return True


def arrives(stack: Stack, source: Source, sink: Sink, kind: type) -> Frame:
    """Send until a frame of this kind has arrived whose picture is there; nothing is sent after it."""

    def sent() -> Frame | None:
        source.send()
        return next((f for f in reversed(sink.got) if isinstance(f, kind) and readable(f)), None)

    return stack.peer.spin_until(sent)


def events(node: StackNode, name: str) -> int:
    return node.stats.snapshot().events.get(("image_raw", name), 0)


def test_frames_inside_the_stack_go_through_shared_memory(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    frame = arrives(stack, source, sink, frames.SharedMemoryFrame)
    assert frame.header.frame_id == "eye"
    np.testing.assert_array_equal(frame.rgb(), IMAGE)
    stack.peer.spin_until(
        lambda: stack.peer.node.count_subscribers("/image_raw") == 0, what="no ordinary images asked for"
    )


def test_an_ordinary_subscriber_gets_ordinary_images_with_the_same_stamps(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    images = stack.peer.collect(Image, "image_raw", qos.frame(offered=False))
    arrives(stack, source, sink, frames.SharedMemoryFrame)

    def both() -> bool:
        source.send()
        return bool({str(i.header.stamp) for i in images} & {str(f.header.stamp) for f in sink.got})

    stack.peer.spin_until(lambda: source.frames._images.get_subscription_count())
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


def test_frames_of_a_topic_of_compressed_images_are_decoded_when_they_are_used(stack: Stack) -> None:
    sink = stack.add(Sink, "sink", "-r", "image_raw:=/left/image_raw/compressed")
    publisher = stack.peer.node.create_publisher(CompressedImage, "/left/image_raw/compressed", 10)
    picture = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    message = CompressedImage(format="rgb8; png compressed bgr8", data=data)
    message.header.frame_id = "eye"

    def got() -> list[Frame]:
        publisher.publish(message)
        return sink.got

    frame = stack.peer.spin_until(got)[0]
    assert frame.header.frame_id == "eye"
    np.testing.assert_array_equal(frame.rgb(), picture)


def test_a_compressed_message_too_large_for_a_picture_is_refused_by_its_size(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed_image, "MAX_BYTES", 1000)
    sink = stack.add(Sink, "sink")
    publisher = stack.peer.node.create_publisher(CompressedImage, "image_raw", 10)
    message = CompressedImage(format="png", data=bytes(200_000))

    def refused() -> int:
        publisher.publish(message)
        return events(sink, "too_large")

    stack.peer.spin_until(refused)
    assert not sink.got
    says = "image_raw: images are refused: a message of 200"
    stack.peer.spin_until(lambda: refused() and says in stack.peer.statuses["sink"].message)


def test_pictures_in_which_nothing_can_be_seen_are_a_problem_until_there_is_something(stack: Stack) -> None:
    sink = stack.add(Sink, "sink")
    sink.frames._callback = lambda frame: frame.rgb()
    publisher = stack.peer.node.create_publisher(Image, "image_raw", 1)
    black = np.zeros((48, 64, 3), np.uint8)
    scene = np.linspace(0, 200, black.size).reshape(black.shape).astype(np.uint8)

    def said(picture: np.ndarray) -> str:
        publisher.publish(fill_image(Image(), picture, "rgb8"))
        return stack.peer.statuses["sink"].message

    stack.peer.spin_until(lambda: "image_raw: the pictures are black all over" in said(black))
    stack.peer.spin_until(lambda: not said(scene))


def test_pictures_of_the_stacks_own_cameras_are_looked_at_too(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    sink.frames._callback = lambda frame: frame.rgb()
    white = np.full((48, 64, 3), 255, np.uint8)
    stack.peer.spin_until(
        lambda: source.send(white) or "white all over" in stack.peer.statuses["sink"].message
    )


def test_a_camera_that_promises_nothing_is_compatible_and_its_late_frames_are_noticed(stack: Stack) -> None:
    sink = stack.add(PromisedSink, "sink")
    publisher = stack.peer.node.create_publisher(Image, "image_raw", 1)
    message = Image(height=6, width=8, step=24, encoding="rgb8", data=IMAGE.tobytes())

    def got() -> list[Frame]:
        publisher.publish(message)
        return sink.got

    stack.peer.spin_until(got)
    before = events(sink, "deadline_missed")
    stack.peer.spin_until(lambda: events(sink, "deadline_missed") > before)
    assert events(sink, "incompatible_qos") == 0


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "ordinary"])
def test_more_frames_than_promised_are_noticed(stack: Stack, shared: bool) -> None:
    sink = stack.add(PromisedSink, "sink")
    if shared:
        send = stack.add(Source, "source").send
    else:
        publisher = stack.peer.node.create_publisher(Image, "image_raw", 1)
        message = Image(height=6, width=8, step=24, encoding="rgb8", data=IMAGE.tobytes())

        def send() -> None:
            publisher.publish(message)

    def flooded() -> int:
        send()
        return events(sink, "flood")

    stack.peer.spin_until(flooded)


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
    stack: Stack, tmp_path: Path
) -> None:
    source = stack.add(Source, "source")
    sink = stack.add(Sink, "sink")
    # As in another container: the same messages, another /dev/shm.
    sink.frames._folder = tmp_path
    frame = arrives(stack, source, sink, frames.ImageFrame)
    np.testing.assert_array_equal(frame.rgb(), IMAGE)
    assert sink.stats.snapshot().events[("image_raw", "shared_memory_unreachable")] >= 1


def test_where_shared_memory_has_no_room_ordinary_images_take_over(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(self: FrameRing, frame_bytes: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FrameRing, "_make_file", no_room)
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    frame = arrives(stack, source, sink, frames.ImageFrame)
    np.testing.assert_array_equal(frame.rgb(), IMAGE)


def test_after_a_ring_that_contradicts_itself_ordinary_images_take_over(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    arrives(stack, source, sink, frames.SharedMemoryFrame)
    source.frames._ring._tell(2**62)
    stack.peer.spin_until(lambda: events(sink, "malformed"))
    arrives(stack, source, sink, frames.ImageFrame)


def test_frames_that_came_while_the_executor_was_busy_are_no_flood(stack: Stack) -> None:
    sink = stack.add(PromisedSink, "sink")
    sink.frames._delivered = 20
    sink.frames._watched_s -= 2.0
    sink.frames._watch()
    assert events(sink, "flood") == 0


def test_a_frame_that_was_overwritten_says_so(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    frame = arrives(stack, source, sink, frames.SharedMemoryFrame)
    for _ in range(8):
        source.send()
    with pytest.raises(FrameGoneError):
        frame.rgb()


@pytest.mark.parametrize("name", ["../../etc/passwd", "edge_stack_frames_0123456789abcdef", "x" * 1000])
def test_a_malformed_announcement_harms_nobody(stack: Stack, name: str) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    arrives(stack, source, sink, frames.SharedMemoryFrame)
    publisher = stack.peer.node.create_publisher(FrameRingMessage, "image_raw/shared", qos.state())
    publisher.publish(FrameRingMessage(ring=name))
    stack.peer.spin_until(lambda: events(sink, "shared_memory_unreachable"))
    sink.got.clear()
    arrives(stack, source, sink, frames.SharedMemoryFrame)
    assert isinstance(sink.got[-1], frames.SharedMemoryFrame)
    # Who else is there is known a little later than what has come.
    stack.peer.spin_until(lambda: not stack.peer.node.count_subscribers("/image_raw"), what="no frame twice")


def test_a_picture_that_does_not_fit_its_fields_is_an_image_error(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    stored = arrives(stack, source, sink, frames.SharedMemoryFrame).stored
    for wrong in ({"height": 2**32 - 1}, {"width": 9}, {"step": 2**32 - 1}, {"encoding": "rgb9"}):
        with pytest.raises(codec.ImageError):
            frames.SharedMemoryFrame(replace(stored, info=stored.info._replace(**wrong))).rgb()


def test_a_sources_shared_memory_ends_with_it(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    ring = arrives(stack, source, sink, frames.SharedMemoryFrame).stored.ring.name
    assert (layout.FOLDER / ring).exists()
    stack.remove(source)
    assert not (layout.FOLDER / ring).exists()


def test_every_frame_since_the_subscription_arrives_in_order_and_once(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    stack.peer.spin_until(source.frames._shared.get_subscription_count)
    pictures = [np.full((6, 8, 3), i, np.uint8) for i in range(5)]
    # The first one makes the ring, the fourth a larger one; nobody spins meanwhile.
    for i, picture in enumerate(pictures):
        if i == 3:
            stack.peer.spin_until(lambda: len(sink.got) == 3)
        source.send(np.tile(picture, (1 if i < 3 else 4, 1, 1)))
    stack.peer.spin_until(lambda: len(sink.got) == 5)
    assert [int(frame.rgb()[0, 0, 0]) for frame in sink.got] == list(range(5))


def test_two_sources_of_one_topic_are_both_heard(stack: Stack) -> None:
    one, two = stack.add(Source, "one"), stack.add(Source, "two")
    sink = stack.add(Sink, "sink")
    seen: set[int] = set()
    sink.frames._callback = lambda frame: seen.add(int(frame.rgb()[0, 0, 0]))

    def both() -> bool:
        one.send(np.full((6, 8, 3), 1, np.uint8))
        two.send(np.full((6, 8, 3), 2, np.uint8))
        return seen == {1, 2}

    stack.peer.spin_until(both)


def test_no_frame_is_delivered_while_the_node_is_not_active_and_none_is_kept_for_later(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    arrives(stack, source, sink, frames.SharedMemoryFrame)
    sink.trigger_deactivate()
    (follower,) = sink.frames._followers.values()
    seen = threading.Event()

    def deliver(frame: frames.StoredFrame) -> None:
        sink.frames._deliver_stored(frame)
        if int(frame.copy()[0]) == 6:
            seen.set()

    follower._deliver = deliver
    sink.got.clear()
    source.send(np.full((6, 8, 3), 6, np.uint8))
    assert seen.wait(60.0)
    sink.trigger_activate()
    source.send(np.full((6, 8, 3), 7, np.uint8))
    stack.peer.spin_until(lambda: sink.got)
    assert [int(frame.rgb()[0, 0, 0]) for frame in sink.got] == [7]


def test_what_a_callback_raises_is_counted_and_the_next_frame_comes(stack: Stack) -> None:
    source, sink = stack.add(Source, "source"), stack.add(Sink, "sink")
    arrives(stack, source, sink, frames.SharedMemoryFrame)

    def fail(_frame: Frame) -> None:
        raise RuntimeError("a defect")

    sink.frames._callback = fail

    def fails() -> int:
        source.send()
        return events(sink, "raised_RuntimeError")

    stack.peer.spin_until(fails)
    sink.got.clear()
    sink.frames._callback = sink.got.append
    arrives(stack, source, sink, frames.SharedMemoryFrame)


_SOURCE = """
import sys, time, numpy as np, rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Header
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.frames import FramePublisher
rclpy.init()
node = StackNode("source")
frames = FramePublisher(node, "image_raw", 30.0)
node.trigger_configure()
node.trigger_activate()
executor = SingleThreadedExecutor()
executor.add_node(node)
picture = np.full((6, 8, 3), int(sys.argv[1]), np.uint8)
while True:
    frames.publish(picture, "rgb8", Header())
    executor.spin_once(timeout_sec=0.02)
"""


def test_a_source_that_is_killed_is_noticed_and_the_next_one_followed_at_once(stack: Stack) -> None:
    sink = stack.add(Sink, "sink")
    for number in (1, 2):
        source = subprocess.Popen([sys.executable, "-c", _SOURCE, str(number)])
        try:
            frame = stack.peer.spin_until(
                lambda n=number: next(
                    (f for f in reversed(sink.got[-8:]) if readable(f) and int(f.rgb()[0, 0, 0]) == n), None
                )
            )
            assert isinstance(frame, frames.SharedMemoryFrame)
        finally:
            source.kill()
            source.wait()
        stack.peer.spin_until(lambda n=number: events(sink, "liveliness_lost") == n)
