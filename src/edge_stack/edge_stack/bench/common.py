# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What every benchmark shares: the machine in words, a load on every core, a table on the terminal, and the JSON file.

Its unit is one benchmark's list of rows. The load is made by this module's own child processes, which end with the
benchmark whatever happens to it. Nothing here measures.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_stack.runtime import process

# A busy Python process. PR_SET_PDEATHSIG (1): the kernel ends it when the benchmark ends, however that happens.
_BUSY = "import ctypes, os\nctypes.CDLL(None).prctl(1, 9)\nif os.getppid() != {parent}: raise SystemExit\nwhile True: pass"


def machine() -> dict[str, Any]:
    """Describe machine, kernel, rights and versions for a benchmark's JSON."""
    packages = ("rclpy", "numpy", "onnxruntime", "openvino", "mujoco", "torch")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024),
        "system": _os_release(),
        "kernel": platform.release(),
        "preemption": _preemption(),
        "virtual": "hypervisor" in _cpu_flags(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "rights": process.rights().as_dict(),
        "rt_runtime_us": _read("/proc/sys/kernel/sched_rt_runtime_us"),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "ros_distro": os.environ.get("ROS_DISTRO", ""),
        "rmw": os.environ.get("RMW_IMPLEMENTATION", "default"),
        "versions": {name: version for name in packages if (version := _version(name))},
    }


@contextlib.contextmanager
def busy_cores(per_core: int = 1) -> Iterator[int]:
    """Keep every core busy with nice-0 Python processes until the end of the block; yields how many run."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        for core in sorted(os.sched_getaffinity(0)):
            for _ in range(per_core):
                child = subprocess.Popen([sys.executable, "-S", "-c", _BUSY.format(parent=os.getpid())])
                children.append(child)
                os.sched_setaffinity(child.pid, {core})
        yield len(children)
    finally:
        for child in children:
            child.send_signal(signal.SIGKILL)
        for child in children:
            child.wait()


def write_json(
    path: str | Path | None,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    **extra: Any,
) -> dict[str, Any]:
    """
    Write a benchmark's result and return it.

    notes: what could not be measured here, and what else a reader must know. extra: further top-level fields.
    """
    result = {
        "bench": name,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        **extra,
        "notes": list(notes),
        "rows": list(rows),
    }
    if path is not None:
        Path(path).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], notes: Sequence[str] = ()
) -> None:
    """Print rows as a table, numbers to the right; plain text where rich is not installed."""
    cells = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row] for row in rows]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(title, *("  ".join(line) for line in (list(columns), *cells)), *notes, sep="\n")
        return
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(rows) and isinstance(rows[0][index], (int, float))
        table.add_column(column, justify="right" if numeric else "left")
    for line in cells:
        table.add_row(*line)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for note in notes:
        console.print(note, style="dim", markup=False)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _cpu_field(name: str) -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _cpu_model() -> str:
    return _cpu_field("model name") or _cpu_field("Model") or platform.machine()


def _cpu_flags() -> str:
    return _cpu_field("flags")


def _os_release() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return platform.system()


def _preemption() -> str:
    words = platform.version().split()
    return next((word for word in words if word.startswith("PREEMPT")), "none")
