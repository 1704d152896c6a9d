# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Board readers that talk to a driver or a service: what they make of its answers, and of its end.

Stand-ins answer in place of NVML's driver and of jtop.service, which need a GPU and a Jetson; they answer as the
libraries' own documentation says.
"""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from edge_stack_core.board import jetson_stats
from edge_stack_core.board.jetson_stats import JetsonStatsReader
from edge_stack_core.board.nvml import NvmlReader
from edge_stack_core.errors import ConfigurationError


class Nvml:
    """Answers of an RTX 4090; refuses all once the driver is gone."""

    NVMLError = type("NVMLError", (Exception,), {})
    NVML_TEMPERATURE_GPU = NVML_CLOCK_GRAPHICS = 0
    NVML_CLOCK_MEM = 2
    nvmlClocksThrottleReasonSwThermalSlowdown = 0x20  # noqa: N815
    nvmlClocksThrottleReasonHwThermalSlowdown = 0x40  # noqa: N815

    def __init__(self) -> None:
        self.gone = False
        self.reasons = 0x4

    def __getattr__(self, name: str) -> Any:
        answers = {
            "nvmlDeviceGetTemperature": 71,
            "nvmlDeviceGetPowerUsage": 215_300,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=87, memory=41),
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=24564 << 20, free=2048 << 20),
            "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=1, usedGpuMemory=512 << 20)],
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.reasons,
        }
        clocks = {
            "nvmlDeviceGetClockInfo": {0: 2100, 2: 10501},
            "nvmlDeviceGetMaxClockInfo": {0: 3105, 2: 10501},
        }

        def ask(*arguments: Any) -> Any:
            if self.gone:
                raise self.NVMLError("GPU is lost")
            return clocks[name][arguments[1]] if name in clocks else answers.get(name)

        return ask


def test_a_gpu_is_read_through_nvml() -> None:
    nvml = Nvml()
    reader = NvmlReader(nvml=nvml)
    reader.watch([1])
    state = reader.read(1.0)
    assert (state.source, state.temperatures_c["gpu"], state.total_power_w) == ("nvml", 71.0, 215.3)
    assert state.max_temperature_c is not None
    assert state.max_temperature_c >= 71.0
    assert (state.gpu_load, state.emc_load) == (0.87, 0.41)
    assert (state.gpu_frequency_hz, state.gpu_frequency_max_hz) == (2.1e9, 3.105e9)
    assert state.throttling is False
    assert state.largest_allocation_mb == pytest.approx(2048.0 - 0.04 * 24564.0)
    assert state.memory_by_pid_mb[1] > 512.0
    nvml.reasons = 0x40
    assert reader.read(2.0).throttling is True


def test_a_gpu_that_is_gone_is_lost() -> None:
    nvml = Nvml()
    reader = NvmlReader(nvml=nvml)
    reader.read(0.0)
    nvml.gone = True
    state = reader.read(1.0)
    assert (state.gpu_load, state.total_power_w) == (None, None)
    assert "nvml temperature" in state.lost
    reader.close()


def test_a_machine_without_a_gpu_is_refused() -> None:
    nvml = Nvml()
    nvml.gone = True
    with pytest.raises(ConfigurationError, match="NVML tells of no NVIDIA GPU: GPU is lost"):
        NvmlReader(nvml=nvml)


class Jtop:
    """A jtop client of an Orin Nano."""

    def __init__(self) -> None:
        self.memory: Any = {"EMC": {"cur": 2133000, "max": 3199000, "val": 12, "online": True}}
        self.nvpmodel: Any = SimpleNamespace(name="25W")
        self.processes: Any = [[1, "root", "I", "Graphic", 20, "S", 3.0, 90000, 409600, "python3"]]
        self.error: Exception | None = None
        self.started = self.closed = False

    def start(self) -> None:
        if self.error is not None:
            raise self.error
        self.started = True

    def ok(self, spin: bool = False) -> bool:
        assert spin, "without spin it would wait"
        if self.error is not None:
            raise self.error
        return self.started

    def close(self) -> None:
        self.closed = True


def test_the_service_of_jetson_stats_tells_what_files_hide() -> None:
    client = Jtop()
    reader = JetsonStatsReader(client)
    reader.watch([1])
    state = reader.read(1.0)
    assert (state.source, state.power_mode, state.lost) == ("jetson_stats", "25W", ())
    # What the service calls the highest is the mode's cap.
    assert (state.emc_frequency_hz, state.emc_frequency_cap_hz) == (2.133e9, 3.199e9)
    assert state.power_budget_w == 25.0
    assert state.emc_load == pytest.approx(0.12)
    assert state.memory_by_pid_mb[1] > 400.0
    assert state.memory_available_mb is not None
    reader.close()
    assert client.closed


@pytest.mark.parametrize("what", ["error", "memory", "processes", "nvpmodel", "started"])
def test_a_service_that_ends_or_tells_nonsense_is_left_and_the_files_remain(what: str) -> None:
    client = Jtop()
    reader = JetsonStatsReader(client)
    reader.read(0.0)
    broken: dict[str, Any] = {
        "error": EOFError("Lost connection with jtop server"),
        "memory": {"EMC": {"cur": "fast"}},
        "processes": [["one"]],
        "nvpmodel": object(),
        "started": False,
    }
    setattr(client, what, broken[what])
    state = reader.read(1.0)
    # What the service adds is extra: that it is gone is no loss of the board, which the files tell.
    assert (state.lost, state.source) == ((), "jetson_sysfs")
    assert state.emc_load is None
    assert state.memory_available_mb is not None
    assert client.closed


def wait_for_client(reader: JetsonStatsReader) -> None:
    reader._connection.wait(10.0)


def test_a_service_that_comes_back_is_heard_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Jtop] = []
    down = False

    def jtop(interval: float) -> Jtop:
        assert interval >= 1.0, "the service would start nvpmodel more than once a second"
        made.append(Jtop())
        if down:
            made[-1].error = RuntimeError("The jtop.service is not active")
        return made[-1]

    monkeypatch.setitem(sys.modules, "jtop", SimpleNamespace(jtop=jtop))
    reader = JetsonStatsReader()
    assert reader.read(0.0).emc_load == pytest.approx(0.12)
    made[0].error, down = EOFError("Lost connection with jtop server"), True
    for second in range(1, 60):
        assert reader.read(float(second)).lost == ()
        wait_for_client(reader)
    assert 2 < len(made) < 8, "asked again and again, less and less often"
    down = False
    for second in range(60, 120):
        state = reader.read(float(second))
        wait_for_client(reader)
        if state.emc_load is not None:
            break
    assert (state.source, state.emc_load) == ("jetson_stats", pytest.approx(0.12))
    assert second < 95
    reader.close()
    assert made[-1].closed


def test_a_service_that_accepts_and_stays_silent_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetson_stats, "CONNECT_S", 0.05)
    ended = threading.Event()

    class Silent(Jtop):
        def start(self) -> None:
            ended.wait(60.0)

    with pytest.raises(ConfigurationError, match=r"the service does not answer within 0\.05 s"):
        JetsonStatsReader(Silent())
    ended.set()


def test_a_service_that_does_not_run_is_refused() -> None:
    client = Jtop()
    client.error = RuntimeError("The jtop.service is not active")
    with pytest.raises(ConfigurationError, match=r"jtop\.service: The jtop\.service is not active"):
        JetsonStatsReader(client)
