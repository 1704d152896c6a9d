# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Packages edge_stack_control."""

from setuptools import find_packages, setup

PACKAGE = "edge_stack_control"


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + PACKAGE]),
        ("share/" + PACKAGE, ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="edge_stack maintainers",
    maintainer_email="maintainers@edge-stack.dev",
    description="Node of edge_stack that commands the robot at the control rate: action chunks, limits, safety rules.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "fusion = edge_stack_control.ros.fusion:main",
        ],
    },
)
