# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Shows admission of a device: ./edge admission [cpu|cuda:0|...] [--once] [--json]."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence

from edge_stack_core.admission.choice import explain_auto
from edge_stack_core.admission.status import AdmissionStatus, devices, read_status
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.runtime.process import fifo_refusal

_CRITICAL = (
    "critical",
    "state",
    "period",
    "budget",
    "n",
    "p50",
    "p99",
    "over budget",
    "disturbed",
    "skipped",
    "late",
    "kept apart",
)
_BACKGROUND = (
    "background",
    "state",
    "takes",
    "beside others",
    "admitted",
    "at once",
    "delay p50",
    "p99",
    "max",
    "mostly for",
    "refused",
    "overran",
    "overlapped",
    "remark",
)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge admission", description="Show a device's admission.")
    parser.add_argument("device", nargs="?", help="its name; default: every device there is")
    parser.add_argument("--once", action="store_true", help="print once instead of every second")
    parser.add_argument("--json", action="store_true", help="print JSON, once")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between two looks (default: 1)")
    arguments = parser.parse_args(argv)
    names = [arguments.device] if arguments.device else devices()
    if not names:
        print("no admission: nothing has used one since the last boot", file=sys.stderr)
        return 1
    try:
        if arguments.json:
            looks = [read_status(name) for name in names]
            rows = [{**status.as_dict(), "admission_auto": auto_text(status)} for status in looks]
            print(json.dumps([_finite(row) for row in rows], indent=2))
            return 0
        while True:
            text = "\n\n".join(render(read_status(name)) for name in names)
            if arguments.once:
                print(text)
                return 0
            # Home, the text, and clear what is left of the look before.
            print(f"\x1b[H{text.replace(chr(10), chr(27) + '[K' + chr(10))}\x1b[J", flush=True)
            time.sleep(arguments.period)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def render(status: AdmissionStatus) -> str:
    """Return admission as what auto means there and two tables of plain text; times in ms."""
    slack = "all time" if math.isinf(status.slack_ms) else f"{status.slack_ms:.1f} ms"
    head = (
        f"{status.device}: {status.limit} at once, {status.guard_ms:g} ms guard, {status.co_run} co-run, "
        f"largest slack {slack} (times in ms)"
    )
    critical = [
        (
            job.name,
            job.state,
            _ms(job.period_ms),
            _ms(job.budget_ms),
            job.jobs,
            _ms(job.p50_ms),
            _ms(job.p99_ms),
            job.overruns,
            job.disturbed,
            job.skipped,
            job.late,
            ", ".join(job.apart) or "-",
        )
        for job in status.critical
    ]
    background = [
        (
            job.name,
            job.state,
            _ms(job.expected_ms),
            _ms(job.shared_ms),
            job.admitted,
            job.at_once,
            _ms(job.delay_p50_ms),
            _ms(job.delay_p99_ms),
            _ms(job.delay_max_ms),
            max(job.delayed, key=lambda reason: job.delayed[reason]) if any(job.delayed.values()) else "-",
            ", ".join(f"{count} {why}" for why, count in job.refused.items() if count) or "-",
            job.overran,
            job.overlapped,
            f"never fits: {job.policy}; would at {job.fits_ms:.1f} ms" if job.fits_ms else "",
        )
        for job in status.background
    ]
    return "\n".join(
        [head, auto_text(status), *_table(_CRITICAL, critical), *_table(_BACKGROUND, background)]
    )


def auto_text(status: AdmissionStatus) -> str:
    """Return what `admission: auto` means at admission now, and why."""
    announced = [job.name for job in status.critical if job.state != "silent"]
    return explain_auto(status.device, announced, fifo_refusal() is None)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> list[str]:
    cells = [columns, *(tuple(str(value) for value in row) for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return [
        "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _finite(value: object) -> object:
    """Replace what JSON cannot say by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
