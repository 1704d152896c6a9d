# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The rviz configuration is well-formed, asks for what the nodes publish, and is made to fit a robot.

That rviz2 itself shows it is not tested: it needs a screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_stack.rviz_config import rviz_config

TEXT = (Path(__file__).parents[1] / "rviz" / "edge_stack.rviz").read_text(encoding="utf-8")
CONFIG = yaml.safe_load(TEXT)


def displays(group: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    for display in (group or CONFIG["Visualization Manager"])["Displays"]:
        yield display
        if "Displays" in display:
            yield from displays(display)


def test_topics_are_relative_so_that_a_namespace_moves_them() -> None:
    topics = [d["Topic"]["Value"] for d in displays() if "Topic" in d]
    assert {"image_raw", "detect/debug_image", "sim/markers", "fusion/markers"} <= set(topics)
    assert not [t for t in topics if t.startswith("/")]


def test_images_are_asked_for_best_effort_which_every_publisher_can_give() -> None:
    images = [d["Topic"] for d in displays() if d["Class"] == "rviz_default_plugins/Image"]
    assert images
    assert {(t["Reliability Policy"], t["Durability Policy"]) for t in images} == {
        ("Best Effort", "Volatile")
    }


@pytest.mark.parametrize("display", list(displays()), ids=lambda d: d["Name"])
def test_a_display_says_twice_whether_it_is_enabled(display: dict[str, Any]) -> None:
    assert display["Class"].split("/")[0] in ("rviz_default_plugins", "rviz_common")
    assert display.get("Value", display["Enabled"]) == display["Enabled"]


def model(config: dict[str, Any]) -> dict[str, Any]:
    (found,) = [d for d in displays(config["Visualization Manager"]) if d["Class"].endswith("/RobotModel")]
    return found


def test_as_shipped_no_display_that_is_on_needs_tf_of_the_links() -> None:
    assert (model(CONFIG)["Enabled"], model(CONFIG)["Value"]) == (False, False)
    assert model(CONFIG)["Description Topic"]["Value"] == "robot_description"
    assert model(CONFIG)["Description Topic"]["Durability Policy"] == "Transient Local"
    # The frame that everything is shown in; the static transforms of the cameras begin at it.
    assert CONFIG["Visualization Manager"]["Global Options"]["Fixed Frame"] == "base_link"


def test_frames_have_the_prefix_of_the_robot_and_all_else_is_as_shipped() -> None:
    fitted = yaml.safe_load(rviz_config(TEXT, "world", "left/", with_robot=True))
    assert fitted["Visualization Manager"]["Global Options"]["Fixed Frame"] == "left/world"
    assert model(fitted) == {**model(CONFIG), "Enabled": True, "Value": True, "TF Prefix": "left"}
    assert yaml.safe_load(rviz_config(TEXT, "base_link", "", with_robot=False)) == CONFIG
