# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The rviz configuration is well-formed, and asks for what the nodes publish.

That rviz2 itself shows it is not tested: it needs a screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = yaml.safe_load((Path(__file__).parents[1] / "rviz" / "edge_stack.rviz").read_text(encoding="utf-8"))


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
