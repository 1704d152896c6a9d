# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One vision model alone, which brings itself up.

    ros2 launch edge_stack yolo.launch.py task:=detect model:=/path/to/yolo26n.onnx image:=/camera/color/image_raw
"""

from edge_stack.ros.launching import Argument, part


def generate_launch_description():
    """Describe the node to launch."""
    return part(
        "yolo",
        [
            Argument(
                "task", "detect", "What the model does.", ("detect", "segment", "pose", "obb", "classify")
            ),
            Argument("model", "demo", "Model file, or demo for the demo's weights."),
            Argument("device", "cpu", "What the model runs on: cpu, cuda or cuda:N."),
            Argument(
                "admission", "auto", "Whether inferences keep clear of critical ones.", ("auto", "on", "off")
            ),
            Argument("engine", "auto", "What executes the model; auto: by the file's ending."),
            Argument("rate_hz", 5.0, "Inferences per second; 0 pauses."),
            Argument("confidence", 0.25, "Least score of a result."),
            Argument("threads", 1, "Threads of inference."),
        ],
        package="edge_stack_perception",
        name="",
        remapped={"image": "image_raw"},
    )
