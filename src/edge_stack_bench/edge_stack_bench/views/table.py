# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Draws a RunRecord for a terminal: the nodes as a table, the control loop and the task below, the camera beside it."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from edge_stack_bench.views.report import NodeRecord, RunRecord

_CLASS_ORDER = {"critical": 0, "essential": 1, "background": 2}
_STATE_STYLES = {"active": "green", "inactive": "yellow", "unconfigured": "yellow", "missing": "bold red"}
_CONTROL_STYLES = {"run": "green", "slow": "yellow", "hold": "yellow", "stop": "bold red"}


def render(record: RunRecord, picture: npt.NDArray[np.uint8] | None = None) -> RenderableType:
    """
    Draw the whole view.

    picture: uint8 [H,W,3] RGB, drawn two pixels a character, or None for no picture.
    """
    parts: list[RenderableType] = [_nodes(record), _control(record), _policy(record), _task(record)]
    if picture is not None:
        parts.append(blocks(picture))
    return Group(*parts)


def summary(record: RunRecord) -> str:
    """Return one line for logs and headless runs."""
    active = sum(node.state == "active" for node in record.nodes.values())
    control, task = record.control, record.task
    waits = sorted(f"{node.name} ({node.state})" for node in record.nodes.values() if node.state != "active")
    waiting = (
        ""
        if record.first_command_s is not None
        else f"  no command yet; not active: {', '.join(waits) or 'none'}"
    )
    return (
        f"{time.monotonic() - record.started_s:6.1f} s  {active}/{len(record.nodes)} active  "
        f"control {control.rate_hz:.2f} Hz {control.state or '-'} ({control.reason or '-'}) "
        f"late p99 {control.lateness_ms.get('p99', math.nan):.2f} ms, {control.total('deadline_misses')} missed  "
        f"task {task.successes}/{task.attempts}{waiting}"
    )


def blocks(picture: npt.NDArray[np.uint8]) -> Text:
    """Draw an image, uint8 [H,W,3] RGB with even H, with half blocks: two pixels a character."""
    text = Text()
    for top, bottom in zip(picture[0::2], picture[1::2], strict=False):
        for (r1, g1, b1), (r2, g2, b2) in zip(top.tolist(), bottom.tolist(), strict=True):
            text.append("▀", Style(color=f"#{r1:02x}{g1:02x}{b1:02x}", bgcolor=f"#{r2:02x}{g2:02x}{b2:02x}"))
        text.append("\n")
    return text


def _nodes(record: RunRecord) -> RenderableType:
    title = f"stack {record.stack_state or 'starting'}"
    table = Table(
        title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim"
    )
    table.add_column("node", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("Hz", "of", "p50 ms", "p99 ms", "drops", "misses", "MB", "CPU%"):
        table.add_column(name, justify="right", no_wrap=True)
    remarks = Text()
    for node in sorted(record.nodes.values(), key=lambda n: (_CLASS_ORDER.get(n.priority_class, 3), n.name)):
        table.add_row(
            node.name,
            node.priority_class,
            Text(node.state, _STATE_STYLES.get(node.state, "")),
            f"{node.rate_hz:.1f}" if node.rate_hz > 0.0 or node.target_hz > 0.0 else "",
            f"{node.target_hz:g}" if node.target_hz > 0.0 else "",
            _number(node.latency_p50_ms),
            _number(node.latency_p99_ms),
            str(node.dropped),
            str(node.deadline_misses),
            f"{node.rss_mb:.0f}",
            f"{node.cpu_pct:.0f}",
        )
        remark = _remark(node)
        if remark:
            remarks.append(f"  {node.name}: {remark}\n", "yellow")
    return Group(table, remarks) if remarks else table


def _remark(node: NodeRecord) -> str:
    if node.message:
        return node.message
    if node.recoveries_s:
        return f"restarted {node.restarts} times, back after {node.recoveries_s[-1]:.1f} s"
    return ""


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


def _control(record: RunRecord) -> Text:
    control = record.control
    text = Text("control  ")
    text.append(control.state or "-", _CONTROL_STYLES.get(control.state, ""))
    text.append(
        f" ({control.reason or '-'})  {control.rate_hz:.2f} Hz  lateness p50 "
        f"{control.lateness_ms.get('p50', math.nan):.2f} p99 {control.lateness_ms.get('p99', math.nan):.2f} "
        f"max {control.lateness_ms.get('max', math.nan):.2f} ms  commands {control.total('commands')}  "
        f"missed {control.total('deadline_misses')}  action age {control.action_age_s * 1e3:.0f} ms"
        f"  underruns {control.total('underruns')}"
    )
    return text


def _policy(record: RunRecord) -> Text:
    return Text(f"policy  {record.policy.text() if record.policy.policy else '-'}")


def _task(record: RunRecord) -> Text:
    task = record.task
    if not task.instruction:
        return Text("task  -")
    return Text(f"task  {task.instruction}   {task.successes} of {task.attempts} attempts succeeded")
