# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What every benchmark shares: the machine in words, a load on every core, a table on the terminal, and the JSON file.

Its unit is one benchmark's list of rows. The load is made by this module's own child processes, which end with the
benchmark whatever happens to it. Nothing here measures.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
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

from edge_stack_bench.benchmarks.view import TableView
from edge_stack_bench.benchmarks.views import view_of
from edge_stack_core.runtime import process

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
    """
    Keep every core busy with other programs until the end of the block; yields how many run.

    Each is a Python program of nice 0 that never waits, bound to a core, in a session of its own: where the kernel shares
    the processor between sessions (autogroup), each weighs as much as a whole program of the user.
    """
    children: list[subprocess.Popen[bytes]] = []
    command = [sys.executable, "-S", "-c", _BUSY.format(parent=os.getpid())]
    try:
        for core in sorted(os.sched_getaffinity(0)):
            for _ in range(per_core):
                child = subprocess.Popen(command, start_new_session=True)
                children.append(child)
                os.sched_setaffinity(child.pid, {core})
        yield len(children)
    finally:
        for child in children:
            child.send_signal(signal.SIGKILL)
        for child in children:
            child.wait()


def stolen_s() -> float:
    """Return the processor time since boot that a virtual machine's host gave to others, of all cores, s; 0 on hardware."""
    fields = _read("/proc/stat").partition("\n")[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK") if len(fields) > 8 else 0.0


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


def add_output_options(parser: argparse.ArgumentParser, *, saved: bool = False) -> None:
    """Add the options that all benchmarks have for what they found; saved: the result comes from a file."""
    if not saved:
        parser.add_argument("--json", metavar="FILE", help="write the result to this file")
    parser.add_argument(
        "--plot", metavar="FILE.png", type=_picture, help="draw the result into this file (.png, .svg, .pdf)"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")


def report(
    options: argparse.Namespace,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    **extra: Any,
) -> int:
    """Write a fresh result as the options of :func:`add_output_options` say and show it; returns 0."""
    return show(write_json(options.json, name, rows, notes, **extra), options)


def show(result: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Print a result's table and draw its plot, as the options say; returns 0."""
    view = view_of(result)
    if options.markdown:
        print(markdown(view))
    else:
        print_table(view.title, view.columns, view.lines, view.notes)
    if options.plot is not None:
        from edge_stack_bench.benchmarks import plot

        plot.draw(view, options.plot, describe(result))
        print(f"plot: {options.plot}", file=sys.stderr)
    return 0


def describe(result: Mapping[str, Any]) -> str:
    """Return machine and day of a result in one line."""
    machine_ = result["machine"]
    virtual = "virtual, " if machine_["virtual"] else ""
    rights = "real-time rights" if machine_["rights"]["max_rt_priority"] else "no real-time rights"
    kernel, day = str(machine_["kernel"]).partition("-")[0], str(result["time"]).partition("T")[0]
    return f"{machine_['cpu']}, {virtual}{machine_['cores']} cores, Linux {kernel}, {rights}, {day}"


def markdown(view: TableView) -> str:
    """Return a table in Markdown, numbers to the right."""
    cells = [[_cell(value) for value in line] for line in view.lines]
    rules = ["--:" if _is_number_column(cells, i) else "---" for i in range(len(view.columns))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (view.columns, rules, *cells))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], notes: Sequence[str] = ()
) -> None:
    """Print rows as a table, numbers to the right; plain text where rich is not installed."""
    cells = [[_cell(value) for value in row] for row in rows]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(title, *("  ".join(line) for line in (list(columns), *cells)), *notes, sep="\n")
        return
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if _is_number_column(cells, index) else "left")
    for line in cells:
        table.add_row(*line)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for note in notes:
        console.print(note, style="dim", markup=False)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number_column(cells: Sequence[Sequence[str]], index: int) -> bool:
    """Whether every cell that is not empty begins with a digit and is no size such as 640x480."""
    words = [line[index] for line in cells if line[index]]
    return bool(words) and all(word[0].isdigit() and "x" not in word for word in words)


def _picture(text: str) -> Path:
    """Check before anything is measured that a plot can be drawn."""
    path = Path(text)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text}: the name must end in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent}: no such folder")
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError(
            "a plot needs matplotlib, which is not installed: pip install matplotlib, or run ./edge setup"
        )
    return path


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
