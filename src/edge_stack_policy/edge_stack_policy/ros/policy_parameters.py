# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The policy node's parameters.

Its unit is one set of values. What needs the policy or a topic anew is fixed at configure; the rest changes live.
"""

from __future__ import annotations

from dataclasses import asdict

from edge_stack_core.ros.parameters import ADMISSION, STAMP_TOLERANCE, Parameter, ParameterValues
from edge_stack_inference.ros.tls_parameters import TLS_PARAMETERS, tls_files
from edge_stack_policy.chunking.merging import BLEND, MERGES
from edge_stack_policy.remote.settings import IMAGE_ENCODINGS, RemoteSettings
from edge_stack_policy.settings import NO_CONTRACT

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("policy", "visual_servo", "Name of the policy."),
    Parameter("policy_path", "", "Weights of the policy, for those that have some."),
    Parameter(
        "policy_address", "", "Server of a policy that is computed elsewhere, such as grpc://HOST:PORT."
    ),
    Parameter(
        "server_timeout_s",
        2.0,
        "Time for a chunk on a server, where the running chunk sets no limit, s.",
        minimum=0.01,
        maximum=600.0,
    ),
    Parameter(
        "server_load_timeout_s",
        10.0,
        "Time for a server to say what its policy is, s.",
        minimum=0.1,
        maximum=3600.0,
    ),
    Parameter(
        "server_weights_timeout_s",
        120.0,
        "Time until LeRobot's server has loaded the weights, s.",
        minimum=0.1,
        maximum=3600.0,
    ),
    Parameter(
        "server_images", "jpeg", "How images travel to the stack's own server.", choices=IMAGE_ENCODINGS
    ),
    Parameter("server_jpeg_quality", 90, "Quality of these images as JPEG.", minimum=1, maximum=100),
    *TLS_PARAMETERS,
    Parameter("server_policy_type", "", "For LeRobot's server: act, smolvla, ...; empty: the checkpoint's."),
    Parameter(
        "policy_contract",
        "",
        "What the policy's features are on this robot: a file, a shipped contract's name, or none.",
        give=f"a contract (a .yaml file, or a shipped one's name), or {NO_CONTRACT} for the robot's own names and rad",
    ),
    Parameter(
        "endpoints",
        (),
        "Where the policy may be computed, best first, such as grpc://192.168.1.10:8443 and local; empty: here only.",
        element=str,
    ),
    Parameter(
        "endpoint_age_max_s",
        0.5,
        "An endpoint that takes longer for a chunk is left: its observation would be too old.",
        minimum=0.01,
        maximum=60.0,
    ),
    Parameter(
        "merge",
        BLEND,
        "How overlapping chunks join where the policy does not guide them; blend: fusion's blend_s alone.",
        choices=MERGES,
    ),
    Parameter(
        "device",
        "",
        "What the policy runs on: cpu, cuda or cuda:N; cuda is cuda:0. Empty: the CPU; for a torch policy a GPU if there is"
        " one.",
    ),
    ADMISSION,
    Parameter(
        "inference_priority",
        10,
        "SCHED_FIFO priority of the threads that compute the policy on a CPU, where it is not announced for admission; below"
        " those of fusion. 0: none.",
        minimum=0,
        maximum=79,
    ),
    Parameter("threads", 1, "Threads of one inference on the CPU.", minimum=1, maximum=64),
    Parameter(
        "robot_file",
        "",
        "Robot description (YAML).",
        give="the robot's description, a .yaml file such as robots/so101_sim.yaml of edge_stack_core",
    ),
    Parameter("control_rate_hz", 24.0, "Rate of the actions in a chunk.", minimum=1.0, maximum=1000.0),
    Parameter(
        "chunk_rate_hz",
        5.0,
        "Rate of chunks; higher where actions would run out otherwise, lower where the policy is slower; 0 pauses.",
        minimum=0.0,
        maximum=100.0,
        live=True,
    ),
    Parameter(
        "horizon", 30, "Actions in a chunk, for policies that let one choose.", minimum=2, maximum=1000
    ),
    Parameter("camera", "", "Camera whose pixels the detections are in; empty: the robot's first."),
    Parameter("detections_topics", ("detect/detections",), "Topics of vision_msgs/Detection2DArray."),
    Parameter(
        "image_topics",
        ("image_raw",),
        "Topics of the cameras in `cameras`, for policies that see images.",
    ),
    Parameter("cameras", (), "Their names in the observation; empty: the robot's, in order.", element=str),
    Parameter(
        "fault",
        "none",
        "Fault on demand: actions that are not finite, or 3 s for each chunk.",
        choices=("none", "nan", "slow"),
        live=True,
    ),
    Parameter(
        "joint_state_age_max_s", 0.5, "Older joint states stop the chunks.", minimum=0.01, maximum=10.0
    ),
    Parameter("detection_age_max_s", 1.0, "Older detections are left out.", minimum=0.01, maximum=60.0),
    Parameter("image_age_max_s", 0.5, "Older images stop the chunks.", minimum=0.01, maximum=10.0),
    STAMP_TOLERANCE,
    Parameter(
        "board",
        "",
        "Simulated board whose clocks inferences feel: its folder, or simulated; empty: none.",
    ),
)


def remote_settings(p: ParameterValues) -> RemoteSettings:
    """Return how policies reach their servers."""
    return RemoteSettings(
        **asdict(tls_files(p)),
        timeout_s=p.server_timeout_s,
        load_timeout_s=p.server_load_timeout_s,
        server_load_timeout_s=p.server_weights_timeout_s,
        images=p.server_images,
        jpeg_quality=p.server_jpeg_quality,
        policy_type=p.server_policy_type,
    )
