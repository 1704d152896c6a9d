# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The camera node's parameters.

Its unit is one set of values. What opens the source anew is fixed at configure; the rate changes live.
"""

from __future__ import annotations

from edge_stack_core.ros.parameters import Parameter

DEFAULT_FRAME_ID = "camera_optical_frame"

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "source",
        "device",
        "Where frames come from.",
        choices=("device", "csi", "gstreamer", "video", "folder", "topic"),
    ),
    Parameter(
        "path",
        "",
        "Device (/dev/video0, /dev/v4l/by-id/..., 0), number of a CSI camera, GStreamer pipeline that ends in appsink,"
        " video file or address of a stream (rtsp://...; $NAME is taken from the environment), or folder of pictures.",
    ),
    Parameter(
        "topic",
        "",
        "Topic of Images or CompressedImages to relay, with source topic; its camera_info is relayed too.",
    ),
    Parameter(
        "rate_hz",
        15.0,
        "Frames a second at most; 0 pauses. A video keeps its speed and leaves frames out.",
        minimum=0.0,
        maximum=240.0,
        live=True,
    ),
    Parameter(
        "width",
        0,
        "Width of the published image, px; 0: as the source gives it.",
        minimum=0,
        maximum=16384,
    ),
    Parameter(
        "height",
        0,
        "Height of the published image, px; 0: as the source gives it.",
        minimum=0,
        maximum=16384,
    ),
    Parameter(
        "encoding",
        "rgb8",
        "Encoding of the published image.",
        choices=("rgb8", "bgr8", "rgba8", "bgra8", "mono8"),
    ),
    Parameter(
        "frame_id", "", f"Frame of the image; empty: {DEFAULT_FRAME_ID}, or that of the relayed image."
    ),
    Parameter("camera_info_file", "", "Calibration file (YAML of camera_calibration); empty: fovy_deg."),
    Parameter(
        "fovy_deg",
        0.0,
        "Vertical field of view of an ideal lens, deg, where there is no calibration file; 0: not calibrated.",
        minimum=0.0,
        maximum=179.0,
    ),
    Parameter("loop", True, "Start a video or folder again at its end."),
    Parameter("fps", 0.0, "Frames a second asked of a device; 0: rate_hz.", minimum=0.0, maximum=1000.0),
    Parameter("fourcc", "MJPG", "Pixel format asked of a device, four letters; empty: its own choice."),
    Parameter(
        "device_options",
        (),
        "Settings of a device, each name=number: auto_exposure=1, exposure=120, gain=0, ... (cv2.CAP_PROP_*).",
        element=str,
    ),
)
