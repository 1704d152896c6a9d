# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Installs edge_stack_sim, the simulated robot of edge_stack."""

from setuptools import find_packages, setup

PACKAGE = "edge_stack_sim"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={PACKAGE: ["policy/*.onnx", "policy/*.json", "policy/*.md"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "mujoco", "opencv-python-headless"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="edge_stack contributors",
    maintainer_email="maintainers@edge-stack.dev",
    description="Simulated robot of edge_stack: a table-top arm with a camera in MuJoCo.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "board = edge_stack_sim.ros.board:main",
            "clock = edge_stack_sim.ros.clock:main",
            "sim = edge_stack_sim.ros.sim:main",
        ]
    },
)
