# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Camera frames as topics: an ordinary sensor_msgs/Image for anybody, and shared memory between the stack's own processes.

Its unit of work is one frame. A FramePublisher writes each frame once into shared memory and announces it on
`<topic>/shared`; the ordinary Image goes out only while somebody subscribes to it (`ros2 topic echo`, rviz2, others).
A FrameSubscription takes the announcements where they exist, and ordinary Images where they do not: another camera
driver, another machine, another container. The user of a frame cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from edge_stack_msgs.msg import SharedFrame
from numpy.typing import NDArray
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from edge_stack.nodes import qos
from edge_stack.nodes.base import StackNode
from edge_stack.nodes.image_messages import fill_image, read_rgb
from edge_stack.transport.frame_ring import FrameGoneError, FrameReader, FrameRing, SegmentError
from edge_stack.vision import image as codec

__all__ = ["Frame", "FrameGoneError", "FramePublisher", "FrameSubscription"]

LOOK_PERIOD_S = 0.25


def shared_topic(topic: str) -> str:
    """Return the topic that announces the frames of an image topic."""
    return f"{topic}/shared"


class Frame(Protocol):
    """One frame as its user sees it. header: capture time and optical frame."""

    header: Header

    def rgb(self) -> NDArray[np.uint8]:
        """
        Return the picture, uint8 [H,W,3], read-only.

        Raises ImageError if it is malformed and FrameGoneError if it was overwritten before this call.
        """


class ImageFrame:
    """A frame that came as an ordinary message."""

    def __init__(self, message: Image) -> None:
        """Keep the message; nothing is converted yet."""
        self.header = message.header
        self._message = message

    def rgb(self) -> NDArray[np.uint8]:
        """See Frame."""
        return read_rgb(self._message)


class SharedMemoryFrame:
    """A frame that lies in shared memory; copied out when its picture is asked for."""

    def __init__(self, message: SharedFrame, reader: FrameReader) -> None:
        """Keep the announcement; nothing is read yet."""
        self.header = message.header
        self._message = message
        self._reader = reader

    def rgb(self) -> NDArray[np.uint8]:
        """See Frame."""
        m = self._message
        try:
            data = self._reader.read(m.segment, m.index, m.height * m.step)
        except SegmentError as error:
            raise codec.ImageError(f"segment: {error}") from error
        return codec.to_rgb(data, m.encoding, m.height, m.width, m.step, 0)


class FramePublisher:
    """Publishes the frames of one camera; made in configure_node, closed in cleanup_node."""

    def __init__(self, node: StackNode, topic: str, rate_hz: float, slots: int = 8) -> None:
        """rate_hz: of the camera, for the QoS; 0 if unknown. slots: frames kept in shared memory."""
        profile = qos.frame(rate_hz)
        self._node = node
        self._topic = topic
        self._images = node.publisher(Image, topic, profile)
        # A remapping of the image topic moves its announcements too.
        self._shared = node.publisher(SharedFrame, shared_topic(node.resolve_topic_name(topic)), profile)
        self._ring: FrameRing | None = FrameRing(slots)
        self._image = Image()
        self._announcement = SharedFrame()

    def publish(self, image: NDArray[Any], encoding: str, header: Header) -> None:
        """
        Publish one frame to whoever listens.

        image: as fill_image takes it. ImageError if it does not fit the encoding.
        """
        if self._shared.get_subscription_count():
            if self._ring is not None:
                try:
                    self._publish_shared(self._ring, image, encoding, header)
                except OSError as error:
                    self._ring = None
                    self._node.get_logger().warning(
                        f"{self._topic}: no shared memory for frames ({error.strerror}); they go as ordinary messages. "
                        "Give /dev/shm more room"
                    )
            if self._ring is None:
                # A segment without a name cannot be opened by anybody: whoever hears of it asks for ordinary images.
                self._shared.publish(SharedFrame(header=header))
        if self._images.get_subscription_count():
            fill_image(self._image, image, encoding)
            self._image.header = header
            self._images.publish(self._image)

    def close(self) -> None:
        """Remove the shared memory."""
        if self._ring is not None:
            self._ring.close()

    def _publish_shared(self, ring: FrameRing, image: NDArray[Any], encoding: str, header: Header) -> None:
        codec.check_array(image, encoding)
        message = self._announcement
        message.index = ring.write(image)
        message.header = header
        message.segment = ring.name
        rows, message.width = image.shape[:2]
        message.height = rows * 2 // 3 if encoding in ("nv12", "nv21") else rows
        message.step = codec.row_bytes(encoding, message.width)
        message.encoding = encoding
        self._shared.publish(message)


class FrameSubscription:
    """
    Takes the frames of one topic, from shared memory where they are announced there.

    Made in configure_node, closed in cleanup_node. The callback runs in the executor while the node is active, and gets a
    Frame that may be kept and read later, in one other thread.
    """

    def __init__(
        self, node: StackNode, topic: str, callback: Callable[[Frame], None], rate_hz: float = 0.0
    ) -> None:
        """rate_hz: that the camera promises, for the deadline; 0 asks for none."""
        self._node = node
        self._topic = topic
        self._callback = callback
        self._profile = qos.frame(rate_hz, offered=False)
        self._reader = FrameReader()
        self._probe = FrameReader()
        self._unreachable: set[str] = set()
        self._images: Subscription | None = None
        # Counting publishers does not remap by itself, and a remapping of the image topic moves its announcements too.
        self._resolved = node.resolve_topic_name(topic)
        node.subscription(SharedFrame, shared_topic(self._resolved), self._take_shared, self._profile)
        self._timer = node.steady_timer(LOOK_PERIOD_S, self._look)
        self._look()

    def close(self) -> None:
        """Stop looking for publishers and let go of shared memory; the subscriptions end with the node's own."""
        self._node.destroy_timer(self._timer)
        self._images = None
        self._reader.close()
        self._probe.close()

    def _look(self) -> None:
        """Listen to ordinary Images exactly while frames come in no other way."""
        announced = self._node.count_publishers(shared_topic(self._resolved)) > 0 and not self._unreachable
        offered = self._node.count_publishers(self._resolved) > 0
        if announced and self._images is not None:
            self._node.end_subscription(self._images)
            self._images = None
        elif not announced and offered and self._images is None:
            self._images = self._node.subscription(
                Image, self._topic, lambda m: self._callback(ImageFrame(m)), self._profile
            )

    def _take_shared(self, message: SharedFrame) -> None:
        if message.segment in self._unreachable:
            return
        if not self._probe.opens(message.segment):
            # Another machine or container, or one without room in its shared memory: ordinary Images can be had.
            self._node.stats.event(self._topic, "shared_memory_unreachable")
            self._unreachable = {message.segment}
            self._look()
            return
        if self._unreachable:
            self._unreachable = set()
            self._look()
        self._callback(SharedMemoryFrame(message, self._reader))
