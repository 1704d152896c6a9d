# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
`./edge demo`: starts the stack on the simulated robot, shows what happens, and writes what happened.

A unit is one run: processes up, a live view until the duration or Ctrl-C, processes down, report. It adds nothing to the
stack: it starts what robot.yaml says and listens.
"""

from __future__ import annotations

import argparse
import copy
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from rich.console import Console
from rich.live import Live
from std_srvs.srv import SetBool

from edge_stack.runner.stack import StackProcesses
from edge_stack.shipped import shipped_config
from edge_stack_bench.benchmarks.common import machine
from edge_stack_bench.faults import KINDS, FaultRunner, ScheduledFault, load_scenario, parse_fault
from edge_stack_bench.faults.injections import own_network
from edge_stack_bench.faults.kinds import NODE
from edge_stack_bench.ros.monitor import Monitor
from edge_stack_bench.views import table
from edge_stack_bench.views.report import RunRecord, write_report
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.process_environment import process_environment
from edge_stack_core.stack_config import StackConfig, load_config

REFRESH_HZ = 4.0
SUMMARY_PERIOD_S = 5.0
PICTURE_ROWS = 27
TABLE_ROWS = 16  # the table with a remark or two, and the lines below it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 when the robot was commanded, 1 when it never was, 2 for wrong arguments."""
    options = _arguments(argv)
    console = Console(stderr=False)
    try:
        config = load_config(options.config or shipped_config(), robot=options.robot).switch_on(
            options.enable
        )
        for name, parameter, value in options.set:
            config = config.with_parameter(name, parameter, value)
        faults = [parse_fault(text) for text in options.fault]
        faults += [fault for path in options.scenario for fault in load_scenario(path)]
        config = prepare(config, faults, options.disable)
    except ConfigurationError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # `./edge` says when the user started it; what this process starts is not to take that for its own.
    record = RunRecord(started_s=float(os.environ.pop("EDGE_STARTED_S", time.monotonic())))
    os.environ.update(process_environment(os.environ))
    with tempfile.TemporaryDirectory(prefix="edge_demo_") as folder:
        run_folder = Path(options.log_dir or folder)
        try:
            return _run(options, config, faults, record, run_folder, stop, console)
        except ConfigurationError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 2


def prepare(
    config: StackConfig, faults: Sequence[ScheduledFault], disabled: Collection[str] = ()
) -> StackConfig:
    """
    Return the stack with what the faults need, and go into a network of one's own where one needs that.

    ConfigurationError if a fault names no node that runs, or cannot be done here. To be called with one thread.
    """
    for executable in sorted({need for fault in faults for need in fault.of.needs}):
        config = config.switch_on(config.run_by(executable))
    if any("clock" in fault.of.needs for fault in faults):
        for node in config.nodes:
            if node.executable != "clock":
                config = config.with_parameter(node.name, "use_sim_time", True)
    running = {node.name for node in config.select(sim=True, disabled=disabled)}
    strangers = sorted({fault.what for fault in faults if fault.of.argument == NODE} - running)
    if strangers:
        raise ConfigurationError(
            f"no node is called {', '.join(strangers)}; there are {', '.join(sorted(running))}"
        )
    if any(fault.of.own_network for fault in faults):
        try:
            own_network()
        except OSError as error:
            raise ConfigurationError(
                f"a fault of the network cannot be done here: {error.strerror}"
            ) from error
    return config


class RunningStack:
    """A running stack as faults need it."""

    def __init__(self, processes: StackProcesses, monitor: Monitor) -> None:
        """Take what runs, and who can speak to it."""
        self._processes, self._monitor = processes, monitor

    def signal(self, name: str, number: int) -> None:
        """See Stack."""
        self._processes.signal(name, number)

    def set_parameters(self, executable: str, values: Mapping[str, Any]) -> None:
        """See Stack."""
        for name in self._run_by(executable):
            self._monitor.set_parameters(name, values)

    def names(self) -> list[str]:
        """See Stack."""
        return [node.name for node in self._processes.nodes]

    def request_stop(self, stop: bool) -> None:
        """See Stack."""
        # A standby answers for the node that it stands by for.
        standbys = {node.name for node in self._processes.nodes if node.parameters.get("standby_of")}
        for name in self._run_by("fusion"):
            if name not in standbys:
                self._monitor.call(SetBool, f"{name}/stop", SetBool.Request(data=stop))

    def namespace(self) -> str:
        """See Stack."""
        return self._monitor.namespace

    def _run_by(self, executable: str) -> list[str]:
        names = [node.name for node in self._processes.nodes if node.executable == executable]
        if not names:
            raise RuntimeError(f"no node of this run has the executable {executable}")
        return names


def _run(
    options: argparse.Namespace,
    config: StackConfig,
    faults: Sequence[ScheduledFault],
    record: RunRecord,
    run_folder: Path,
    stop: threading.Event,
    console: Console,
) -> int:
    monitor: Monitor | None = None
    fault_runner: FaultRunner | None = None
    recorder: Any = None

    def ended(name: str, _returncode: int, _respawning: bool) -> None:
        lock = monitor.lock if monitor is not None else threading.Lock()
        with lock:
            if not stop.is_set():
                record.node(name).lost(time.monotonic())

    processes = StackProcesses(
        config,
        sim=True,
        disabled=options.disable,
        namespace=options.namespace,
        run_folder=run_folder,
        on_exit=ended,
    )
    try:
        processes.start()
        monitor = Monitor(record, options.namespace)
        if options.view is not None:
            from edge_stack_bench.ros.record import Recorder

            recorder = Recorder(monitor.node, Path(options.view), [n.name for n in processes.nodes], record)
        picture = None if options.headless else _Camera(monitor)
        fault_runner = FaultRunner(faults, RunningStack(processes, monitor), console.print)
        _show(options, record, monitor, fault_runner, picture, stop, console)
    finally:
        stop.set()
        if fault_runner is not None:
            fault_runner.close()
        with monitor.lock if monitor is not None else threading.Lock():
            # The run ends here: what the nodes say while they are shut down is no part of it.
            shown, final = copy.deepcopy(record), record.as_dict()
            if faults and fault_runner is not None:
                zero_s = record.first_command_s or record.started_s
                final["faults"] = [done.as_dict(zero_s) for done in fault_runner.done]
        if recorder is not None:
            recorder.close()
        processes.stop()
        if monitor is not None:
            monitor.close()
    _finish(options, shown, final, console)
    if record.first_command_s is None:
        console.print("The robot was never commanded. What the nodes said last:")
        console.print(processes.tails())
        return 1
    return 0


def _show(
    options: argparse.Namespace,
    record: RunRecord,
    monitor: Monitor,
    faults: FaultRunner,
    picture: _Camera | None,
    stop: threading.Event,
    console: Console,
) -> None:
    """Show the run until its duration is over or it is stopped; the duration counts from the first command."""
    waiting_since_s = time.monotonic()
    summary_s = 0.0
    live = None if options.headless else Live(console=console, auto_refresh=False, screen=False)
    if live is not None:
        live.start()
    try:
        # No stop.wait(): it holds a lock for a moment, which stop.set() in a signal handler would wait for forever.
        while not stop.is_set():
            time.sleep(1.0 / REFRESH_HZ)
            now_s = time.monotonic()
            with monitor.lock:
                first_s = record.first_command_s
                if live is not None:
                    view = table.render(
                        record, picture.newest(console.height - TABLE_ROWS) if picture is not None else None
                    )
                line = table.summary(record)
            if live is not None:
                live.update(view, refresh=True)
            elif now_s - summary_s >= SUMMARY_PERIOD_S:
                summary_s = now_s
                print(line, flush=True)
            begun_s = first_s if first_s is not None else waiting_since_s
            if first_s is not None and not faults.started:
                faults.start(first_s)
            limit_s = (
                options.duration if first_s is not None else max(options.duration, options.startup_limit)
            )
            if options.duration > 0.0 and now_s - begun_s >= limit_s:
                return
    finally:
        if live is not None:
            live.stop()


def _finish(options: argparse.Namespace, record: RunRecord, final: dict[str, Any], console: Console) -> None:
    console.print(table.render(record))
    if options.report is not None:
        write_report(Path(options.report), {**final, "machine": machine()})
        console.print(f"report: {options.report}")
    if options.view is not None:
        console.print(f"view: {options.view}")


class _Camera:
    """The newest camera frame, small, for the terminal."""

    def __init__(self, monitor: Monitor) -> None:
        from sensor_msgs.msg import Image

        from edge_stack_core.ros import qos

        self._image: Any = None
        monitor.node.create_subscription(Image, "image_raw", self._take, qos.frame(offered=False))

    def _take(self, image: Any) -> None:
        self._image = image

    def newest(self, rows: int) -> npt.NDArray[np.uint8] | None:
        """Return uint8 [2 * rows, W, 3] RGB for that many rows of text, or None while there is no frame or no room."""
        import cv2

        from edge_stack_core.image_codec import ImageError, to_rgb

        image = self._image
        rows = min(rows, PICTURE_ROWS)
        if image is None or rows < 4:
            return None
        try:
            rgb = to_rgb(
                image.data, image.encoding, image.height, image.width, image.step, image.is_bigendian
            )
        except ImageError:
            return None
        size = (2 * rows * rgb.shape[1] // rgb.shape[0], 2 * rows)
        return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _setting(text: str) -> tuple[str, str, Any]:
    """Parse NODE.PARAMETER=VALUE; the value is YAML, and empty text where there is none."""
    where, equals, value = text.partition("=")
    node, dot, parameter = where.partition(".")
    if not (node and dot and parameter and equals):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not NODE.PARAMETER=VALUE, for example segment.rate_hz=2.0"
        )
    parsed = yaml.safe_load(value)
    # A node would take null for a text of that name.
    return node, parameter, "" if parsed is None else parsed


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edge demo", description="Run the stack on the simulated robot.")
    parser.add_argument(
        "--duration", type=float, default=0.0, help="seconds from the first command; 0: until Ctrl-C"
    )
    parser.add_argument("--headless", action="store_true", help="a line every 5 s instead of the live view")
    parser.add_argument("--report", metavar="FILE", help="write what happened as JSON")
    parser.add_argument("--view", metavar="FILE", help="save an annotated recording, .gif or .mp4")
    parser.add_argument("--config", metavar="FILE", help="another robot.yaml")
    parser.add_argument("--robot", help="another robot: a name or a .yaml file")
    parser.add_argument("--namespace", default="", help="namespace of the whole stack")
    parser.add_argument("--disable", action="append", default=[], metavar="NODE", help="leave a node out")
    parser.add_argument(
        "--enable",
        action="append",
        default=[],
        metavar="NODE",
        help="run a node that robot.yaml switches off, such as board",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[:WHAT]@T[:DURATION]",
        help="break something T seconds after the first command: "
        + ", ".join(k.usage for k in KINDS.values()),
    )
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="FILE", help="a YAML file with a list of faults"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NODE.PARAMETER=VALUE",
        help="for example segment.rate_hz=2.0",
    )
    parser.add_argument("--log-dir", metavar="FOLDER", help="keep every node's output here")
    parser.add_argument(
        "--startup-limit", type=float, default=60.0, help="give up after this long without a command, s"
    )
    options = parser.parse_args(argv)
    if options.duration < 0.0:
        parser.error(f"--duration {options.duration:g}: cannot be negative")
    if options.view is not None and Path(options.view).suffix not in (".gif", ".mp4"):
        parser.error(f"--view {options.view}: the name must end in .gif or .mp4")
    return options


if __name__ == "__main__":
    sys.exit(main())
