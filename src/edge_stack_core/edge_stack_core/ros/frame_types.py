# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One camera frame as its user sees it, however it came: an ordinary message, a compressed one, or a place in shared memory.

Its unit of work is one frame. A FrameSubscription makes them; yolo, policy and the camera node read them. Nothing is
converted or decoded before the picture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from edge_stack_core import compressed_image
from edge_stack_core import image_codec as codec
from edge_stack_core.frames.frame_reader import StoredFrame
from edge_stack_core.ros.image_messages import read_array, read_rgb

__all__ = ["CompressedFrame", "Frame", "ImageFrame", "SharedMemoryFrame"]


class Frame(Protocol):
    """
    One frame as its user sees it.

    header: capture time and optical frame. lasting: whether its picture is there for as long as the frame is kept.
    """

    header: Header
    lasting: bool

    def check(self) -> None:
        """Look at its fields alone; ImageError if they do not fit."""

    def rgb(self) -> NDArray[np.uint8]:
        """
        Return the picture, uint8 [H,W,3], read-only.

        Raises ImageError if it is malformed and FrameGoneError if it was overwritten before this call.
        """


class _ReadFrame:
    """A frame whose picture, once it is read, is shown to whoever looks for what is wrong with pictures."""

    lasting = True

    def __init__(self, header: Header) -> None:
        self.header = header
        self._look: Callable[[NDArray[np.uint8]], None] | None = None

    def shown_to(self, look: Callable[[NDArray[np.uint8]], None]) -> None:
        """Show the picture to look() the first time that it is read."""
        self._look = look

    def rgb(self) -> NDArray[np.uint8]:
        """See Frame."""
        picture = self._read()
        look, self._look = self._look, None
        if look is not None:
            look(picture)
        return picture

    def _read(self) -> NDArray[np.uint8]:
        raise NotImplementedError


class ImageFrame(_ReadFrame):
    """A frame that came as an ordinary message."""

    def __init__(self, message: Image) -> None:
        """Keep the message; nothing is converted yet."""
        super().__init__(message.header)
        self._message = message

    def check(self) -> None:
        """See Frame."""
        codec.check_colours(self._message.encoding)
        read_array(self._message)

    def _read(self) -> NDArray[np.uint8]:
        return read_rgb(self._message)


class CompressedFrame(_ReadFrame):
    """A frame that came as a compressed message."""

    def __init__(self, message: CompressedImage) -> None:
        """Keep the message; nothing is decoded yet."""
        super().__init__(message.header)
        self._message = message

    def check(self) -> None:
        """See Frame."""
        compressed_image.check(self._message.data, self._message.format)

    def _read(self) -> NDArray[np.uint8]:
        return compressed_image.decode_rgb(self._message.data, self._message.format)


class SharedMemoryFrame(_ReadFrame):
    """A frame that lies in shared memory; copied out when its picture is asked for."""

    lasting = False

    def __init__(self, stored: StoredFrame) -> None:
        """Keep where it lies; no pixel is read yet."""
        info = stored.info
        super().__init__(Header(stamp=Time(sec=info.stamp_s, nanosec=info.stamp_ns), frame_id=info.frame_id))
        self.stored = stored

    def check(self) -> None:
        """See Frame."""
        codec.check_colours(self.stored.info.encoding)

    def _read(self) -> NDArray[np.uint8]:
        info = self.stored.info
        data = self.stored.copy()
        return codec.to_rgb(data, info.encoding, info.height, info.width, info.step, 0)
