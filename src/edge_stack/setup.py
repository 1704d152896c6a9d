# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Packages edge_stack."""

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
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + PACKAGE]),
        ("share/" + PACKAGE, ["package.xml"]),
        *share_files("launch", "config", "rviz"),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="edge_stack maintainers",
    maintainer_email="maintainers@edge-stack.dev",
    description="Bring-up of edge_stack: a robot's policy on time beside perception models on one small computer.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "doctor = edge_stack.doctor.__main__:main",
            "run = edge_stack.runner.__main__:main",
        ],
    },
)
