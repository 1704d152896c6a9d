# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Packages edge_stack_perception."""

from setuptools import find_packages, setup

PACKAGE = "edge_stack_perception"


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={PACKAGE: ["py.typed", "schema/*.json"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + PACKAGE]),
        ("share/" + PACKAGE, ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="edge_stack maintainers",
    maintainer_email="maintainers@edge-stack.dev",
    description="Nodes of edge_stack that see: camera and yolo, with capture sources and decoding of vision models.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "camera = edge_stack_perception.ros.camera:main",
            "yolo = edge_stack_perception.ros.yolo:main",
        ],
    },
)
