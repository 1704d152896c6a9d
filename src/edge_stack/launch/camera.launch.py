# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The camera alone, which brings itself up.

    ros2 launch edge_stack camera.launch.py path:=/dev/video0 width:=640 height:=480 rate_hz:=30.0
"""

from edge_stack.ros.launching import Argument, part


def generate_launch_description():
    """Describe the node to launch."""
    return part(
        "camera",
        [
            Argument(
                "source",
                "device",
                "Where frames come from.",
                ("device", "csi", "gstreamer", "video", "folder", "topic"),
            ),
            Argument(
                "path",
                "/dev/video0",
                "Device, CSI camera, pipeline, video file, stream, or folder of pictures.",
            ),
            Argument("topic", "", "Image topic to relay, with source topic."),
            Argument("rate_hz", 15.0, "Frames a second at most; 0 pauses."),
            Argument("width", 0, "Width of the published image, px; 0: as the source gives it."),
            Argument("height", 0, "Height of the published image, px; 0: as the source gives it."),
            Argument("frame_id", "", "Frame of the image; empty: the node's own choice."),
            Argument("camera_info_file", "", "Calibration file of camera_calibration."),
        ],
        package="edge_stack_perception",
        remapped={"image": "image_raw"},
    )
