# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Keeps the model card's table equal to metrics.json.

Its unit of work is one folder of weights: the table in its README.md, between two marks, is written anew from its
metrics.json. It measures nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_stack_ultralytics import TASKS

BEGIN, END = "<!-- metrics -->", "<!-- end of metrics -->"


def table(metrics: dict[str, Any]) -> str:
    """Markdown of the metrics, a row a task."""
    lines = [
        "| task | metric | value | mAP50-95 | wanted | epochs | training, min (CPU min) | file, kB | ms a frame |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        if task in metrics:
            entry = metrics[task]
            tight = f"{entry['map50_95']:.3f}" if "map50_95" in entry else ""
            lines.append(
                f"| {task} | {entry['metric']} | **{entry['value']:.3f}** | {tight} | {entry['threshold']:.2f} "
                f"| {entry['epochs']} | {entry['training_minutes']} ({entry['training_cpu_minutes']}) "
                f"| {entry['bytes'] / 1000:.0f} | {entry['onnxruntime_ms_one_thread']} |"
            )
    lines += ["", "By class:", "", "| task | class | value |", "|---|---|---|"]
    for task in TASKS:
        by_class = metrics.get(task, {}).get("map50_by_class") or metrics.get(task, {}).get(
            "top1_by_class", {}
        )
        lines += [f"| {task} | {name} | {value:.3f} |" for name, value in by_class.items()]
    return "\n".join(lines)


def update(folder: Path) -> None:
    """Write the table of a folder's README.md anew."""
    path = folder / "README.md"
    before, rest = path.read_text().split(BEGIN)
    after = rest.split(END)[1]
    metrics = json.loads((folder / "metrics.json").read_text())
    path.write_text(f"{before}{BEGIN}\n{table(metrics)}\n{END}{after}")


if __name__ == "__main__":
    from edge_stack_ultralytics import weights_folder

    update(weights_folder())
