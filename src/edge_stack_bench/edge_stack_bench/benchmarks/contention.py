# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Benchmark `contention`: a critical inference at 24 Hz against saturating background inferences in other processes.

Its unit of work is one row: one way of sharing the device. The critical model is a transformer of about a third of the
period, the background real YOLO models; for the rows named long, one model longer than the slack. All rows are measured in
turn, several rounds, so that what else happens on the machine meets them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from edge_stack_bench.benchmarks import common, contention_models
from edge_stack_bench.benchmarks.contention_rows import PERIOD_S, Bench, Config
from edge_stack_core.device import CPU, KNOWN_DEVICES, is_cuda, parse_device
from edge_stack_core.errors import ConfigurationError

CPU_CONFIGS = (
    Config("alone", background="", priority="fifo", times=2),
    Config("alone_without_rights", background="", extra=True),
    Config("background_alone", critical=False),
    Config("uncoordinated"),
    Config("priority_nice", priority="nice"),
    Config("priority", priority="fifo"),
    Config("partition", partition=True),
    Config("admission_without_rights", admission="whole", extra=True),
    Config("admission", priority="fifo", admission="whole", times=2),
    Config("admission_apart", priority="fifo", admission="whole", co_run=0),
    Config("background_alone_long", critical=False, background="long"),
    Config("uncoordinated_long", background="long"),
    Config("admission_whole_long", background="long", priority="fifo", admission="whole", extra=True),
    Config("admission_sliced", background="long", priority="fifo", admission="sliced", times=2),
)
_EXTRA = ", ".join(config.name for config in CPU_CONFIGS if config.extra)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench contention", description=__doc__)
    parser.add_argument("--device", default=CPU, help=f"one of {KNOWN_DEVICES} (default: cpu)")
    common.add_output_options(parser)
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="measured time of a row in each round (default: 8)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="how often each row is measured (default: 2)")
    parser.add_argument("--configs", help=f"only these, separated by commas; not by default: {_EXTRA}")
    parser.add_argument("--background", nargs="+", type=Path, help="models, .onnx (default: the demo's)")
    parser.add_argument("--long", type=Path, help="a model longer than the slack (default: one is made)")
    parser.add_argument(
        "--critical-ms", type=float, default=1e3 * PERIOD_S / 3, help="duration of the critical model"
    )
    parser.add_argument(
        "--slice-ms", type=float, default=6.0, help="longest slice of the long model (default: 6)"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        from edge_stack_bench.benchmarks import contention_child

        return contention_child.main(json.loads(arguments.child))
    try:
        arguments.device = parse_device(arguments.device)
    except ConfigurationError as error:
        parser.error(str(error))
    if is_cuda(arguments.device):
        # Its module needs what a machine without a GPU lacks.
        from edge_stack_bench.benchmarks import contention_cuda

        rows, notes, figures = contention_cuda.run(arguments)
        return common.report(arguments, "contention", rows, notes, device="cuda", **figures)
    names = [config.name for config in CPU_CONFIGS if not config.extra]
    if arguments.configs:
        names = arguments.configs.split(",")
    unknown = set(names) - {config.name for config in CPU_CONFIGS}
    if unknown:
        parser.error(f"no such configuration: {', '.join(sorted(unknown))}")
    short = arguments.background or contention_models.yolo_models()
    if not short:
        parser.error(
            f"no YOLO models found; name them with --background or in {contention_models.MODELS_VARIABLE}"
        )
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        bench = Bench(arguments, short, Path(folder))
        rows = bench.rows([config for config in CPU_CONFIGS if config.name in names])
    return common.report(arguments, "contention", rows, bench.notes, device="cpu", **bench.figures)


if __name__ == "__main__":
    sys.exit(main())
