# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""``sensor_msgs/Image`` to numpy and back, without needless copies.

Its unit of work is one message. Reading gives views of the message's data; writing costs one copy, into memory that
the message already holds where its size fits. It never allocates byte by byte: a generated message checks or converts
each value of ``data`` unless it is given an ``array.array`` (640x480x3 from a memoryview: about 20 ms; this: 0.03 ms).
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from edge_stack_core import image_codec as codec

__all__ = ["fill_image", "read_array", "read_rgb"]


def read_rgb(msg: Image) -> NDArray[np.uint8]:
    """Return the message's picture as uint8 [H, W, 3] in RGB; for rgb8 a read-only view of the message.

    Raises:
        edge_stack_core.image_codec.ImageError: the message's fields do not fit, or it has no colours.
    """
    return codec.to_rgb(msg.data, msg.encoding, msg.height, msg.width, msg.step, msg.is_bigendian)


def read_array(msg: Image) -> NDArray[Any]:
    """Return the message's values as they are ([H, W] or [H, W, C] of the encoding's dtype), as a read-only view.

    Raises:
        edge_stack_core.image_codec.ImageError: the message's fields do not fit.
    """
    return codec.to_array(msg.data, msg.encoding, msg.height, msg.width, msg.step, msg.is_bigendian)


def fill_image(msg: Image, image: NDArray[Any], encoding: str) -> Image:
    """Write an array into a message, all fields but the header, and return the message.

    The message's own memory is used again where its size fits. ``publish()`` copies the message before it returns, so
    a node may fill and publish one message over and over; whoever keeps views of it must not.

    Args:
        msg: the message to fill.
        image: [H, W] or [H, W, C] of the encoding, rows may be strided; nv12 and nv21: [H * 3 / 2, W]; nv24: [H * 3, W].
        encoding: how ``image`` is laid out; nothing is converted (see :func:`edge_stack_core.image_codec.from_rgb`).

    Raises:
        edge_stack_core.image_codec.ImageError: the array does not fit the encoding.
    """
    codec.check_array(image, encoding)
    rows, width = image.shape[:2]
    size = image.nbytes
    if not isinstance(msg.data, array.array) or len(msg.data) != size:
        data = array.array("B")
        data.frombytes(codec.as_bytes(image, encoding))
        msg.data = data
    else:
        target = np.frombuffer(msg.data, np.uint8).view(image.dtype.newbyteorder("<")).reshape(image.shape)
        np.copyto(target, image)
    msg.height = codec.picture_height(encoding, rows)
    msg.width = width
    msg.encoding = encoding
    msg.is_bigendian = 0
    msg.step = codec.row_bytes(encoding, width)
    return msg
