# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Packages edge_stack_ultralytics: the demo's trained weights and everything that stands on ultralytics."""

from setuptools import find_packages, setup

PACKAGE = "edge_stack_ultralytics"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={PACKAGE: ["py.typed", "weights/*.onnx", "weights/*.json", "weights/*.md"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml", "LICENSE"]),
    ],
    install_requires=["setuptools", "numpy"],
    extras_require={
        "test": ["pytest"],
        "train": [
            "ultralytics==8.4.190",
            "torch",
            "torchvision",
            "onnx",
            "onnxruntime",
            "onnxslim",
            "edge_stack_sim",
        ],
    },
    zip_safe=False,
    maintainer="edge_stack contributors",
    maintainer_email="maintainers@edge-stack.dev",
    description="Trained weights of edge_stack's demo; training, export and .pt loading through ultralytics.",
    license="AGPL-3.0-only",
    entry_points={"edge_stack.engines": ["pt = edge_stack_ultralytics.engine:PtEngine"]},
)
