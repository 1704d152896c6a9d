# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Packages edge_stack_inference."""

from setuptools import find_packages, setup

PACKAGE = "edge_stack_inference"


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
    description="Engines that execute models, models split into slices, and models on a Triton server.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "split_model = edge_stack_inference.splitting.__main__:main",
        ],
        "edge_stack.engines": [
            "onnxruntime = edge_stack_inference.engines.onnxruntime:OnnxEngine",
            "openvino = edge_stack_inference.engines.openvino:OpenVinoEngine",
        ],
    },
)
