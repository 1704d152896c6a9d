# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""boards/*.yaml as data: what a board may do before it throttles, and what its power modes allow and draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_stack_core.board.files import BoardFiles
from edge_stack_core.board.simulated import board_folder
from edge_stack_core.package_files import share_folder
from edge_stack_core.yaml_file import load_yaml

_SCHEMA = Path(__file__).parents[1] / "schema" / "board.schema.json"


@dataclass(frozen=True, slots=True)
class PowerModeLimits:
    """One nvpmodel mode: its ID, what it is meant to draw, and what it caps."""

    index: int
    budget_w: float
    cores: int
    cpu_hz: float
    gpu_hz: float
    emc_hz: float


@dataclass(frozen=True)
class BoardLimits:
    """
    Limits of one board.

    throttle_c, shutdown_c: where the board throttles and shuts down by itself. compatible: parts of device-tree names.
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
            budget_w=float(mode["budget_w"]),
            cores=mode["cores"],
            cpu_hz=mode["cpu_mhz"] * 1e6,
            gpu_hz=mode["gpu_mhz"] * 1e6,
            emc_hz=mode["emc_mhz"] * 1e6,
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


def find_limits(sysfs_root: str = "/", folder: str | Path | None = None) -> BoardLimits | None:
    """
    Return the limits of the board below sysfs_root, by its device tree; None if no file in the folder names it.

    folder: the shipped boards by default. Raises ConfigurationError for a file that is wrong.
    """
    compatible = BoardFiles(board_folder(sysfs_root)).text("/proc/device-tree/compatible") or ""
    for path in sorted(Path(folder or share_folder("edge_stack_core") / "boards").glob("*.yaml")):
        limits = load_limits(path)
        if any(part in compatible for part in limits.compatible):
            return limits
    return None
