# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of a package are found where it is installed, and without any ROS where its source is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.package_files import share_folder
from edge_stack_core.robot import find_robot

SOURCES = Path(__file__).parents[2]


def test_what_is_installed_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ament_index_python")
    marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "edge_stack_core"
    marker.parent.mkdir(parents=True)
    marker.touch()
    (tmp_path / "share" / "edge_stack_core").mkdir()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert share_folder("edge_stack_core") == tmp_path / "share" / "edge_stack_core"


@pytest.mark.parametrize("has_ament", [True, False])
def test_without_ros_the_source_is_found(monkeypatch: pytest.MonkeyPatch, has_ament: bool) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    if not has_ament:
        monkeypatch.setitem(sys.modules, "ament_index_python.packages", None)
    assert share_folder("edge_stack_core") == SOURCES / "edge_stack_core"
    assert find_robot("so101_sim").is_file()
    with pytest.raises(ConfigurationError, match="package no_such_package is not found; build the workspace"):
        share_folder("no_such_package")
