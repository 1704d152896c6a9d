# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Camera frames as topics: an ordinary sensor_msgs/Image for anybody, and shared memory between the stack's own processes.

Its unit of work is one frame. A FramePublisher writes each frame once into shared memory, which it announces on
`<topic>/shared`; the ordinary Image goes out only while somebody subscribes to it (`ros2 topic echo`, rviz2, others).
A FrameSubscription follows the memory where it is announced, and takes ordinary Images or CompressedImages where it is not:
another camera driver, another machine, another container. The user of a frame cannot tell the difference. What is wrong with
the topic and with its pictures, the subscription reports in the status of its node.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from edge_stack_msgs.msg import FrameRing as FrameRingMessage
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from edge_stack_core import compressed_image
from edge_stack_core import image_codec as codec
from edge_stack_core.frames import layout
from edge_stack_core.frames.frame_reader import (
    FrameFollower,
    FrameGoneError,
    MappedRing,
    RingError,
    StoredFrame,
)
from edge_stack_core.frames.frame_ring import FrameRing
from edge_stack_core.frames.layout import FrameInfo
from edge_stack_core.picture_watch import PictureWatch
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.frame_types import CompressedFrame, Frame, ImageFrame, SharedMemoryFrame
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.input_subscription import InputSubscription
from edge_stack_core.ros.input_watch import InputWatch

__all__ = [
    "CompressedFrame",
    "Frame",
    "FrameGoneError",
    "FramePublisher",
    "FrameSubscription",
    "ImageFrame",
    "SharedMemoryFrame",
]

LOOK_PERIOD_S = 0.25
# So many times more frames than promised are a flood: a driver gone wild, or a second camera on the topic.
FLOOD_RATES = 3.0
# Publishers of one topic that a subscription follows at a time.
MOST_FOLLOWED = 8
# Of a CompressedImage beside its picture: header and format.
_MESSAGE_BYTES = 64 * 1024


def shared_topic(topic: str) -> str:
    """Return the topic that announces the shared memory of an image topic."""
    return f"{topic}/shared"


class FramePublisher:
    """Publishes the frames of one camera; made in configure_node, closed in cleanup_node."""

    def __init__(self, node: StackNode, topic: str, rate_hz: float, slots: int = 8) -> None:
        """rate_hz: of the camera, for the QoS; 0 if unknown. slots: frames kept in shared memory."""
        self._node = node
        self._topic = topic
        self._images = node.publisher(Image, topic, qos.frame(rate_hz))
        # A remapping of the image topic moves its announcement too.
        name = shared_topic(node.resolve_topic_name(topic))
        self._shared = node.publisher(FrameRingMessage, name, qos.state())
        self._ring: FrameRing | None = FrameRing(slots)
        self._announced: str | None = None
        self._image = Image()

    def publish(self, image: NDArray[Any], encoding: str, header: Header) -> None:
        """
        Publish one frame to whoever listens.

        image: as fill_image takes it. ImageError if it does not fit the encoding.
        """
        if not self._node.is_active:
            return
        if self._shared.get_subscription_count():
            self._share(image, encoding, header)
        if self._images.get_subscription_count():
            fill_image(self._image, image, encoding)
            self._image.header = header
            self._images.publish(self._image)

    def close(self) -> None:
        """Remove the shared memory."""
        if self._ring is not None:
            self._ring.close()

    def _share(self, image: NDArray[Any], encoding: str, header: Header) -> None:
        """Write the frame, and announce the ring if it is a new one."""
        ring = ""  # nobody can open it: whoever hears of it asks for ordinary images
        if self._ring is not None:
            codec.check_array(image, encoding)
            rows, width = image.shape[:2]
            height = codec.picture_height(encoding, rows)
            stamp = header.stamp
            step = codec.row_bytes(encoding, width)
            info = FrameInfo(stamp.sec, stamp.nanosec, header.frame_id, height, width, step, encoding)
            try:
                self._ring.write(image, info)
                ring = self._ring.name
            except OSError as error:
                self._ring = None
                self._node.get_logger().warning(
                    f"{self._topic}: no shared memory for frames ({error.strerror}); they go as ordinary messages. "
                    "Give /dev/shm more room"
                )
        if ring != self._announced:
            self._announced = ring
            self._shared.publish(FrameRingMessage(ring=ring))


class FrameSubscription:
    """
    Takes every frame of one topic, from shared memory where that is announced.

    Made in configure_node, closed in cleanup_node. The callback runs while the node is active, never twice at a time, in
    a thread of the subscription (frames in shared memory) or in the executor (ordinary Images): it must only touch what
    other threads may touch, and take less than a frame period, for it is in the way of the next frame. It gets a Frame
    that may be kept and read later in any one thread. One that comes `slots - 1` frames later finds it overwritten.

    Events are counted in the node's statistics as those of a topic are: message_lost, deadline_missed, liveliness_lost, and
    flood. Of an ordinary publisher no more is requested by QoS than it offers, so that any camera driver is compatible.
    """

    def __init__(
        self,
        node: StackNode,
        topic: str,
        callback: Callable[[Frame], None],
        rate_hz: float = 0.0,
        *,
        name: str = "",
    ) -> None:
        """
        Subscribe.

        rate_hz: that the camera promises, to notice frames that are late or too many; 0: neither is looked at. name: of the
        topic in texts, if not as given.
        """
        self._node = node
        self._topic = topic
        self._callback = callback
        self._flood_hz = FLOOD_RATES * rate_hz if rate_hz > 0.0 else math.inf
        self._delivered, self._watched_s = 0, time.monotonic()
        self._delivered_s = math.inf  # of the last ordinary Image that is not reported late yet
        self._deadline_s = qos.REQUESTED_PERIODS / rate_hz if rate_hz > 0.0 else 0.0
        self._turn = threading.Lock()
        self._since_ns = time.monotonic_ns()
        self._folder = layout.FOLDER
        self._followers: dict[str, FrameFollower] = {}
        self._unreachable = False
        # Pictures of the stack's own cameras are watched for change by the node of the camera.
        self._pictures, self._own_pictures = PictureWatch(), PictureWatch(frozen_s=0.0)
        profile = qos.frame(offered=False)
        self._images = InputSubscription(
            node,
            topic,
            {Image: self._take_image, CompressedImage: self._take_compressed},
            profile,
            max_bytes={CompressedImage: compressed_image.MAX_BYTES + _MESSAGE_BYTES},
            lost=lambda count: self._input.lost(count),
            too_large=lambda text: self._input.refused(text),
        )
        # Counting publishers does not remap by itself, and a remapping of the image topic moves its announcement too.
        self._resolved = node.resolve_topic_name(topic)
        # Announced once: it may come before the node is active.
        node.subscription(
            FrameRingMessage,
            shared_topic(self._resolved),
            self._take_announcement,
            qos.state(MOST_FOLLOWED),
            always=True,
        )
        self._timer = node.steady_timer(LOOK_PERIOD_S, self._watch)
        self._input = InputWatch(
            node,
            topic,
            (Image, CompressedImage),
            profile,
            noun="image",
            name=name,
            subscription=lambda: self._images.subscription,
        )
        self._name = name or topic
        self._look()

    def close(self) -> None:
        """Stop following; no callback runs afterwards. The subscriptions end with the node's own."""
        self._node.destroy_timer(self._timer)
        self._input.close()
        self._node.report_about(f"{self._resolved} pictures", "")
        self._images.forget()
        for follower in self._followers.values():
            follower.stop()
        self._followers.clear()

    def _watch(self) -> None:
        """Notice frames that are too many, and ordinary Images that are late (a follower notices late frames itself)."""
        now_s = time.monotonic()
        # An executor that is busy comes late, and then finds the frames of more than a period.
        passed_s, self._watched_s = now_s - self._watched_s, now_s
        delivered, self._delivered = self._delivered, 0
        if delivered > self._flood_hz * passed_s + 2.0:
            self._node.stats.event(self._topic, "flood")
            self._node.publish_status()
        if 0.0 < self._deadline_s < now_s - self._delivered_s:
            self._delivered_s = math.inf
            self._node.stats.event(self._topic, "deadline_missed")
        self._tell_of_pictures(now_s)
        self._look()

    def _look(self) -> None:
        """Listen to ordinary Images exactly while frames come in no other way."""
        self._followers = {name: f for name, f in self._followers.items() if f.is_alive}
        announced = self._node.count_publishers(shared_topic(self._resolved)) > 0
        shared = announced and (bool(self._followers) or not self._unreachable)
        if shared:
            self._images.leave()
        else:
            self._images.follow()

    def _tell_of_pictures(self, now_s: float) -> None:
        if not self._node.is_active:
            self._pictures.forget()
            self._own_pictures.forget()
        problem = self._pictures.problem(now_s) or self._own_pictures.problem(now_s)
        self._node.report_about(f"{self._resolved} pictures", f"{self._name}: {problem}" if problem else "")

    def _take_announcement(self, message: FrameRingMessage) -> None:
        if message.ring in self._followers:
            return
        try:
            ring = MappedRing(message.ring, self._folder)
        except RingError:
            # Another machine or container, or one without room in its shared memory: ordinary Images can be had.
            self._node.stats.event(self._topic, "shared_memory_unreachable")
            self._unreachable = True
            self._look()
            return
        self._unreachable = False
        for follower in self._followers.values():
            if follower.ring.state()[1]:
                follower.join(LOOK_PERIOD_S)  # the frames before those of the new ring come first
        self._look()
        if len(self._followers) >= MOST_FOLLOWED:
            self._node.stats.event(self._topic, "too_many_publishers")
            return
        self._followers[message.ring] = FrameFollower(
            ring,
            self._deliver_stored,
            self._count_event,
            since_ns=self._since_ns,
            deadline_s=self._deadline_s,
        )
        self._look()

    def _count_event(self, name: str, count: int) -> None:
        """Count what went wrong with a ring (a follower's thread)."""
        self._node.stats.event(self._topic, name, count)
        if name == "message_lost":
            self._input.lost(count)
        if name == "malformed":
            self._unreachable = True  # ordinary Images can be had

    def _take_image(self, message: Image) -> None:
        self._take(ImageFrame(message))

    def _take_compressed(self, message: CompressedImage) -> None:
        self._take(CompressedFrame(message))

    def _take(self, frame: ImageFrame | CompressedFrame) -> None:
        self._delivered_s = time.monotonic()
        frame.shown_to(self._look_at)
        self._deliver(frame)

    def _deliver_stored(self, stored: StoredFrame) -> None:
        """Hand on a frame in shared memory (a follower's thread)."""
        if not self._node.is_active:
            return
        try:
            frame = SharedMemoryFrame(stored)
            frame.shown_to(self._look_at_own)
            self._deliver(frame)
        except Exception as error:  # noqa: BLE001 (nothing that arrives may end the thread)
            self._node.count_raised(self._topic, error)

    def _deliver(self, frame: Frame) -> None:
        self._input.arrived()
        with self._turn:
            self._delivered += 1
            self._callback(frame)

    def _look_at(self, picture: NDArray[np.uint8]) -> None:
        """Look at a picture of another driver (the thread that reads it)."""
        self._pictures.look(picture, time.monotonic())

    def _look_at_own(self, picture: NDArray[np.uint8]) -> None:
        """Look at a picture of a camera of the stack (the thread that reads it)."""
        self._own_pictures.look(picture, time.monotonic())
