# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads a Jetson through the service of jetson-stats (jtop), which runs as root and so sees what files hide from others.

That is the memory's clock and load, and what each process holds of the GPU's memory; all else is the same in the files,
and newer: the service looks once in its interval.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

from edge_stack_core.board.jetson_sysfs import JetsonSysfsReader
from edge_stack_core.errors import ConfigurationError

SOCKET = "/run/jtop.sock"
INTERVAL_S = 0.5
_SOURCE = "jetson_stats"


class JetsonStatsReader(JetsonSysfsReader):
    """A BoardReader of a real Jetson on which jtop.service runs."""

    name = _SOURCE

    def __init__(self, client: Any = None) -> None:
        """
        Connect to the service. client: a jtop object to read from, a new one by default.

        Raises ConfigurationError where the package is missing, the service does not run, or it refuses us.
        """
        super().__init__("/")
        self._held_mb: dict[int, float] | None = None
        if client is None:
            try:
                client = importlib.import_module("jtop").jtop(interval=INTERVAL_S)
            except ImportError as error:
                raise ConfigurationError("jetson_stats needs the package jetson-stats") from error
        self._client = client
        try:
            client.start()
        except Exception as error:  # its own JtopException, and what sockets raise
            raise ConfigurationError(f"jtop.service: {error}") from error

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def fields(self) -> dict[str, Any]:
        """Read the fields of BoardState that this reader knows; those of the files alone once the service is gone."""
        told = self.files.take(_SOURCE, self._ask) or {}
        self._held_mb = told.pop("held", None)
        return {**super().fields(), **{name: value for name, value in told.items() if value is not None}}

    def gpu_memory_mb(self) -> dict[int, float]:
        """Return what processes hold of the GPU's memory, by pid."""
        return super().gpu_memory_mb() if self._held_mb is None else self._held_mb

    def _ask(self) -> dict[str, Any]:
        client = self._client
        try:
            # Does not wait, and raises what ended the client's own thread.
            if not client.ok(spin=True):
                raise OSError("jtop.service does not answer any more")
            emc = client.memory.get("EMC", {})
            mode = client.nvpmodel
            return {
                "power_mode": None if mode is None else str(mode.name),
                "emc_frequency_hz": _number(emc.get("cur"), 1e3),
                "emc_frequency_max_hz": _number(emc.get("max"), 1e3),
                "emc_load": _number(emc.get("val"), 0.01),
                # [pid, user, gpu, type, priority, state, cpu, memory KB, memory of the GPU KB, name]
                "held": {int(row[0]): float(row[8]) / 1024.0 for row in client.processes},
            }
        except Exception as error:  # whatever a foreign library raises, the source is gone
            raise OSError(f"jtop.service: {error}") from error


def _number(value: Any, scale: float) -> float | None:
    if value is None:
        return None
    number = float(value) * scale
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"{value} cannot be")
    return number
