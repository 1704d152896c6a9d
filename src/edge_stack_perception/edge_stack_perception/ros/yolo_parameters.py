# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The yolo node's parameters.

Its unit is one set of values. What needs the model or a topic anew is fixed at configure; the rest changes live.
"""

from __future__ import annotations

from edge_stack_core.ros.parameters import ADMISSION, STAMP_TOLERANCE, Parameter
from edge_stack_inference.ros.tls_parameters import TLS_PARAMETERS
from edge_stack_perception.vision.types import TASKS

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("task", "detect", "What the model does; it must be a model of this task.", choices=TASKS),
    Parameter(
        "model",
        "demo",
        "Model file: a path, a name in share/edge_stack/models or package://<package>/<path>; demo: the demo's own. Or one"
        " on a Triton server: triton://host:port/name, or triton://host:port/name/version; tritons:// with TLS.",
    ),
    Parameter(
        "engine",
        "auto",
        "What executes the model: onnxruntime, openvino, pt or that of another package; auto: by the file's ending.",
    ),
    Parameter(
        "server_timeout_s",
        0.0,
        "How long the answer of a Triton server is waited for, s; 0: one period of rate_hz.",
        minimum=0.0,
        maximum=10.0,
        live=True,
    ),
    *TLS_PARAMETERS,
    Parameter("threads", 1, "Threads of inference and of image preparation.", minimum=1, maximum=256),
    Parameter("device", "cpu", "What the model runs on: cpu, cuda or cuda:N; cuda is cuda:0."),
    ADMISSION,
    Parameter(
        "when_too_long",
        "lower_rate",
        "If an inference is longer than any slack: run it now and then, or not at all, or (split) cut the model into"
        " slices of split_ms at configure and have each admitted. Counts while admission is asked for.",
        choices=("lower_rate", "refuse", "split"),
    ),
    Parameter(
        "split_ms",
        6.0,
        "Longest slice of a model that is split, in processor time, ms.",
        minimum=0.5,
        maximum=1000.0,
    ),
    Parameter("rate_hz", 5.0, "Inferences per second; 0 pauses.", minimum=0.0, maximum=120.0, live=True),
    Parameter("confidence", 0.25, "Least score of a result.", minimum=0.0, maximum=1.0, live=True),
    Parameter(
        "iou",
        0.7,
        "Most overlap of two results of one class; models with an NMS-free head need none.",
        minimum=0.0,
        maximum=1.0,
        live=True,
    ),
    Parameter(
        "class_agnostic",
        False,
        "Whether results of different classes suppress each other too.",
        live=True,
    ),
    Parameter(
        "max_detections",
        100,
        "Most results of one frame, best first.",
        minimum=1,
        maximum=1000,
        live=True,
    ),
    Parameter("top_classes", 5, "Most classes in a classification.", minimum=1, maximum=1000, live=True),
    Parameter(
        "publish_debug_image",
        True,
        "Draw results into ~/debug_image while somebody subscribes.",
        live=True,
    ),
    Parameter(
        "image_rate_hz",
        0.0,
        "Rate that the camera promises, for the deadline of its topic; 0: none is asked for.",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter(
        "max_frame_age_s",
        1.0,
        "A frame older than this gives no result, s.",
        minimum=0.001,
        maximum=3600.0,
        live=True,
    ),
    STAMP_TOLERANCE,
    Parameter(
        "max_noise",
        25.0,
        "Noise of a picture from which it counts as noisy, grey levels (standard deviation); 0: none is measured.",
        minimum=0.0,
        maximum=255.0,
        live=True,
    ),
    Parameter(
        "board",
        "",
        "Simulated board whose clocks inferences feel: its folder, or simulated; empty: none.",
    ),
)
