# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""boards/*.yaml as data: what a board may do before it throttles, and what its power modes allow and draw."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_stack_core.board.files import BoardFiles, board_folder
from edge_stack_core.package_files import find_yaml, share_folder
from edge_stack_core.yaml_file import load_yaml

UNKNOWN = "no file of boards/ names this board"
_SCHEMA = Path(__file__).parents[1] / "schema" / "board.schema.json"


@dataclass(frozen=True, slots=True)
class PowerModeLimits:
    """One nvpmodel mode: its ID, and where known what it is meant to draw and what it caps (None: not published)."""

    index: int
    budget_w: float | None = None
    cores: int | None = None
    cpu_hz: float | None = None
    gpu_hz: float | None = None
    emc_hz: float | None = None


@dataclass(frozen=True)
class BoardLimits:
    """
    Limits of one board.

    throttle_c, shutdown_c: where the board throttles and shuts down by itself. compatible: parts of device-tree names; of
    two files that name parts of one board the longer part decides.
    file: which the limits are from.
    """

    name: str
    compatible: tuple[str, ...]
    throttle_c: float
    shutdown_c: float
    power_modes: Mapping[str, PowerModeLimits]
    file: Path


def load_limits(path: str | Path) -> BoardLimits:
    """Load one file; ConfigurationError names file, line and field."""
    file = load_yaml(path, _SCHEMA)
    data = file.data
    if data["throttle_c"] >= data["shutdown_c"]:
        raise file.error(("throttle_c",), f"is not below shutdown_c, {data['shutdown_c']}")
    modes = {
        name: PowerModeLimits(
            index=mode["id"],
            budget_w=mode.get("budget_w"),
            cores=mode.get("cores"),
            cpu_hz=_hz(mode, "cpu_mhz"),
            gpu_hz=_hz(mode, "gpu_mhz"),
            emc_hz=_hz(mode, "emc_mhz"),
        )
        for name, mode in data.get("power_modes", {}).items()
    }
    return BoardLimits(
        data["name"],
        tuple(data["compatible"]),
        float(data["throttle_c"]),
        float(data["shutdown_c"]),
        modes,
        Path(path),
    )


def find_board(name: str) -> Path:
    """
    Return a board's file: a .yaml file itself, or a shipped one by its name.

    ConfigurationError names the known ones if there is none.
    """
    return find_yaml("board", name, share_folder("edge_stack_core") / "boards")


def find_limits(sysfs_root: str = "/", folder: str | Path | None = None) -> BoardLimits | None:
    """
    Return the limits of the board below sysfs_root, by its device tree; None if no file in the folder names it.

    folder: the shipped boards by default. Raises ConfigurationError for a file that is wrong.
    """
    compatible = BoardFiles(board_folder(sysfs_root)).text("/proc/device-tree/compatible") or ""
    found: tuple[int, BoardLimits | None] = (0, None)
    for path in sorted(Path(folder or share_folder("edge_stack_core") / "boards").glob("*.yaml")):
        limits = load_limits(path)
        length = max((len(part) for part in limits.compatible if part in compatible), default=0)
        if length > found[0]:
            found = length, limits
    return found[1]


_WATTS = re.compile(r"(?<![0-9.])(\d+(?:\.\d+)?)\s*W(?![A-Za-z])")


def mode_budget_w(power_mode: str | None, limits: BoardLimits | None = None) -> float | None:
    """Return what a power mode is meant to draw: by its name ("25W", "MODE_15W_6CORE"), else as the board's file says."""
    match = _WATTS.search(power_mode or "")
    if match is not None:
        return float(match[1])
    mode = None if limits is None or power_mode is None else limits.power_modes.get(power_mode)
    return None if mode is None else mode.budget_w


def _hz(mode: Mapping[str, Any], name: str) -> float | None:
    return mode[name] * 1e6 if name in mode else None
