# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The shipped RViz configuration, made to fit a robot: its frames' prefix, and its model where TF of every link is published.

Its unit is one text. As shipped, the model is off: without TF of the links its display is nothing but errors.
"""

from __future__ import annotations

import yaml


def rviz_config(text: str, base_frame: str, prefix: str, *, with_robot: bool) -> str:
    """
    Return the configuration for a robot whose frames have a prefix.

    text: the shipped file. base_frame: of the robot, without the prefix. with_robot: whether its model is shown.
    """
    config = yaml.safe_load(text)
    manager = config["Visualization Manager"]
    manager["Global Options"]["Fixed Frame"] = prefix + base_frame
    for display in manager["Displays"]:
        if display["Class"] == "rviz_default_plugins/RobotModel":
            # RViz puts a slash of its own between prefix and link.
            display.update({"Enabled": with_robot, "Value": with_robot, "TF Prefix": prefix.rstrip("/")})
    return str(yaml.safe_dump(config, sort_keys=False))
