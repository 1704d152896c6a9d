# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Packages edge_stack_policy."""

import os

from setuptools import find_packages, setup

PACKAGE = "edge_stack_policy"


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
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={PACKAGE: ["py.typed", "schema/*.json", "remote/*.proto", "testing/smolvla/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + PACKAGE]),
        ("share/" + PACKAGE, ["package.xml"]),
        *share_files("contracts"),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="edge_stack maintainers",
    maintainer_email="maintainers@edge-stack.dev",
    description="Node of edge_stack that runs a robot's policy, the policies themselves, and a policy server.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "export_policy = edge_stack_policy.smolvla.export:main",
            "policy = edge_stack_policy.ros.policy:main",
            "policy_server = edge_stack_policy.remote.server:main",
            "triton_repository = edge_stack_policy.triton.repository:main",
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
