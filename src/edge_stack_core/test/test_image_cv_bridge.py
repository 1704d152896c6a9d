# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The image codec against cv_bridge, encoding by encoding, where cv_bridge can be imported; no node needs it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from edge_stack_core.image_codec import COLOUR_ENCODINGS, ENCODINGS, from_rgb, row_bytes, to_array, to_rgb
from edge_stack_core.ros.image_messages import fill_image

cv_bridge = pytest.importorskip(
    "cv_bridge",
    reason="cv_bridge cannot be imported: it comes with ROS 2's vision_opencv",
    exc_type=ImportError,
)

HEIGHT, WIDTH = 12, 16
# cv_bridge rounds where it makes 8 bits of 16, the codec keeps the upper 8.
ROUNDING = 1
# Both have to know these; of the others cv_bridge knows more or fewer from version to version.
BASIC = ("rgb8", "rgba8", "bgr8", "bgra8", "mono8", "mono16", "bayer_rggb8", "yuv422")


def message_of(encoding: str) -> Image:
    """Return an image of random bytes."""
    rows = HEIGHT * 3 // 2 if encoding in ("nv12", "nv21") else HEIGHT
    step = row_bytes(encoding, WIDTH)
    data = np.random.default_rng(3).integers(0, 256, rows * step, np.uint8)
    if encoding in ("32FC1", "64FC1"):
        kind = np.float32 if encoding == "32FC1" else np.float64
        data = np.random.default_rng(3).random(rows * WIDTH).astype(kind).view(np.uint8)
    return Image(encoding=encoding, height=HEIGHT, width=WIDTH, step=step, data=data.tobytes())


def fields(message: Image) -> tuple[object, str, int, int, int]:
    return message.data, message.encoding, message.height, message.width, message.step


def agreeing(encodings: tuple[str, ...], ours: object, theirs: object) -> list[str]:
    """Return the encodings that cv_bridge knows; assert that both make the same of them."""
    known = []
    for encoding in encodings:
        message = message_of(encoding)
        try:
            expected: NDArray[np.generic] = theirs(message)  # type: ignore[operator]
        except (cv_bridge.CvBridgeError, KeyError, TypeError, ValueError):
            continue
        known.append(encoding)
        got: NDArray[np.generic] = ours(message)  # type: ignore[operator]
        assert got.shape == expected.shape, encoding
        apart = np.abs(got.astype(np.float64) - expected.astype(np.float64)).max()
        assert apart <= (ROUNDING if "16" in encoding and got.dtype == np.uint8 else 0), (encoding, apart)
    return known


def test_arrays_are_those_of_cv_bridge_in_every_encoding_that_it_knows() -> None:
    bridge = cv_bridge.CvBridge()
    whole_frames = tuple(name for name in ENCODINGS if name not in ("nv12", "nv21"))
    known = agreeing(whole_frames, lambda m: to_array(*fields(m)), bridge.imgmsg_to_cv2)
    assert set(BASIC) <= set(known)


def test_colours_are_those_of_cv_bridge_in_every_encoding_that_it_knows() -> None:
    bridge = cv_bridge.CvBridge()
    known = agreeing(
        COLOUR_ENCODINGS, lambda m: to_rgb(*fields(m)), lambda m: bridge.imgmsg_to_cv2(m, "rgb8")
    )
    assert set(BASIC) <= set(known)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_what_the_codec_writes_cv_bridge_reads_as_what_it_writes_itself(encoding: str) -> None:
    bridge = cv_bridge.CvBridge()
    rgb = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    ours = fill_image(Image(), from_rgb(rgb, encoding), encoding)
    theirs = bridge.cv2_to_imgmsg(bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(rgb, "rgb8"), encoding), encoding)
    assert (ours.height, ours.width, ours.step, bytes(ours.data)) == (
        theirs.height,
        theirs.width,
        theirs.step,
        bytes(theirs.data),
    )
