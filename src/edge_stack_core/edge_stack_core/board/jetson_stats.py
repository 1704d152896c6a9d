# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads a Jetson through the service of jetson-stats (jtop), which runs as root and so sees what files hide from others.

That is the memory's clock and load, and what each process holds of the GPU's memory; all else is the same in the files,
and newer: the service looks once in its interval. It adds to the files: while it is gone, nothing of the board is lost.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import threading
from collections.abc import Mapping
from typing import Any

from edge_stack_core.board.jetson_sysfs import JetsonSysfsReader
from edge_stack_core.board.limits import BoardLimits
from edge_stack_core.errors import ConfigurationError

SOCKET = "/run/jtop.sock"
# The service starts nvpmodel and reads the cores' true clocks, which logs a line, once in it.
INTERVAL_S = 1.0
CONNECT_S = 5.0  # a service that accepts and stays silent would hold start() for ever
RETRY_S, MOST_RETRY_S = 5.0, 30.0
_SOURCE = "jetson_stats"


class JetsonStatsReader(JetsonSysfsReader):
    """A BoardReader of a real Jetson on which jtop.service runs."""

    name = _SOURCE

    def __init__(self, client: Any = None, limits: BoardLimits | None = None) -> None:
        """
        Connect to the service. client: a jtop object to read from, a new one by default.

        Raises ConfigurationError where the package is missing, the service does not run, or it refuses us.
        """
        super().__init__("/", limits)
        self._told: Mapping[str, Any] = {}
        self._connection = _Connection()
        self._connection.begin(client)
        self._connection.wait(CONNECT_S)
        if self._connection.client is None:
            reason = self._connection.error or f"the service does not answer within {CONNECT_S:g} s"
            raise ConfigurationError(reason)
        self._retry_s = RETRY_S
        self._retry_at_s = math.inf

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def fields(self, now_s: float) -> dict[str, Any]:
        """Read the fields of BoardState that this reader knows; those of the files alone while the service is gone."""
        self._told = self._ask(now_s)
        self.name = _SOURCE if self._told else JetsonSysfsReader.name
        fields = super().fields(now_s)
        emc = {name: value for name, value in self._told.items() if name in fields and value is not None}
        return {**fields, **emc}

    def power_mode(self) -> str | None:
        """Return the mode that the service tells, which asks nvpmodel itself, else the files'."""
        return self._told.get("power_mode") or super().power_mode()

    def gpu_memory_mb(self) -> dict[int, float]:
        """Return what processes hold of the GPU's memory, by pid."""
        held: dict[int, float] | None = self._told.get("held")
        return super().gpu_memory_mb() if held is None else held

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _ask(self, now_s: float) -> Mapping[str, Any]:
        """Return what the service tells, nothing while it is gone; a client that ended cannot go on, a new one may."""
        connection = self._connection
        if connection.client is None:
            if now_s >= self._retry_at_s and not connection.busy:
                self._retry_at_s = now_s + self._retry_s
                self._retry_s = min(MOST_RETRY_S, 2.0 * self._retry_s)
                connection.begin()
            return {}
        try:
            told = _answer(connection.client)
        except Exception:  # noqa: BLE001 (whatever a foreign library raises, the service is gone)
            connection.close()
            self._retry_at_s = now_s + self._retry_s
            return {}
        self._retry_s = RETRY_S
        return told


class _Connection:
    """One client of the service at a time; it is started, which may hang, in a thread of its own."""

    def __init__(self) -> None:
        self.client: Any = None
        self.error = ""
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether one is being started."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, client: Any = None) -> None:
        """Start a client, a new one by default; client is set once it is there, error if it is refused."""
        self._thread = threading.Thread(target=self._start, args=(client,), name="jtop", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until it is started or refused, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def close(self) -> None:
        """Let go of the client."""
        client, self.client = self.client, None
        if client is not None:
            with contextlib.suppress(Exception):  # what it raises because its own thread has ended
                client.close()

    def _start(self, client: Any) -> None:
        try:
            if client is None:
                client = importlib.import_module("jtop").jtop(interval=INTERVAL_S)
            client.start()
        except ImportError:
            self.error = "jetson_stats needs the package jetson-stats"
        except Exception as error:  # noqa: BLE001 (its own JtopException, and what sockets raise)
            self.error = f"jtop.service: {error}"
        else:
            self.client = client


def _answer(client: Any) -> dict[str, Any]:
    """Return what a client tells. Raises anything for one that has ended, or tells nonsense."""
    # Does not wait, and raises what ended the client's own thread.
    if not client.ok(spin=True):
        raise OSError("jtop.service does not answer any more")
    emc = client.memory.get("EMC", {})
    mode = client.nvpmodel
    return {
        "power_mode": None if mode is None else str(mode.name),
        "emc_frequency_hz": _number(emc.get("cur"), 1e3),
        "emc_frequency_cap_hz": _number(emc.get("max"), 1e3),  # of the mode, not of the hardware
        "emc_load": _number(emc.get("val"), 0.01),
        # [pid, user, gpu, type, priority, state, cpu, memory KB, memory of the GPU KB, name]
        "held": {int(row[0]): float(row[8]) / 1024.0 for row in client.processes},
    }


def _number(value: Any, scale: float) -> float | None:
    if value is None:
        return None
    number = float(value) * scale
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"{value} cannot be")
    return number
