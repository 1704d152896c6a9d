# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Packages edge_stack_core."""

import os

from setuptools import find_packages, setup

PACKAGE = "edge_stack_core"


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
    package_data={PACKAGE: ["py.typed", "schema/*.json"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + PACKAGE]),
        ("share/" + PACKAGE, ["package.xml"]),
        *share_files("boards", "dds", "robots"),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="edge_stack maintainers",
    maintainer_email="maintainers@edge-stack.dev",
    description="Base of every node: control thread, admission, shared frames, board, description of robot and stack.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "admission = edge_stack_core.admission.__main__:main",
            "board = edge_stack_core.board.__main__:main",
        ],
    },
)
