# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Packages edge_stack: the nodes, the logic they stand on, launch files and configuration."""

import os

from setuptools import find_packages, setup

PACKAGE = "edge_stack"


def share_files(*folders):
    """List (install folder, files) pairs for every file below the given folders."""
    pairs = []
    for folder in folders:
        for path, _, names in os.walk(folder):
            files = [os.path.join(path, name) for name in names if not name.endswith(".pyc")]
            if files:
                pairs.append((os.path.join("share", PACKAGE, path), files))
    return pairs


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={PACKAGE: ["py.typed", "schema/*.json", "offboard/*.proto"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + PACKAGE]),
        ("share/" + PACKAGE, ["package.xml"]),
        *share_files("launch", "config", "rviz"),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="edge_stack maintainers",
    maintainer_email="maintainers@edge-stack.dev",
    description="Runs a robot's control policy on time beside perception models on one small computer.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "camera = edge_stack_perception.ros.camera:main",
            "yolo = edge_stack_perception.ros.yolo:main",
            "vla = edge_stack_policy.ros.policy:main",
            "fusion = edge_stack_control.ros.fusion:main",
            "policy_server = edge_stack_policy.remote.server:main",
            "supervisor = edge_stack_supervisor.ros.supervisor:main",
        ],
        "edge_stack.backends": [
            "onnxruntime = edge_stack_inference.engines.onnxruntime:OnnxBackend",
            "openvino = edge_stack_inference.engines.openvino:OpenVinoBackend",
        ],
        "edge_stack.policies": [
            "lerobot = edge_stack_policy.lerobot.policy:LeRobotPolicy",
            "lerobot_server = edge_stack_policy.remote.lerobot_server:LeRobotServerPolicy",
            "remote = edge_stack_policy.remote.policy:RemotePolicy",
            "smolvla = edge_stack_policy.smolvla.policy:SmolVLAPolicy",
            "triton = edge_stack_policy.triton.policy:TritonPolicy",
            "visual_servo = edge_stack_policy.visual_servo.policy:VisualServo",
        ],
    },
)
