# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark `policy` measures an exported policy in a process of its own, part by part, and says what it lacks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edge_stack_bench.benchmarks import policy
from edge_stack_bench.benchmarks.policy_child import PARTS
from edge_stack_bench.benchmarks.view import Chart
from edge_stack_bench.benchmarks.views import view_of
from edge_stack_core.errors import ConfigurationError

sys.path.insert(0, str(Path(__file__).parent))
from edge_stack_policy.testing.micro_smolvla import FOLDER


def test_an_exported_policy_gives_a_row_for_each_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, Any]] = []
    child = policy._child
    monkeypatch.setattr(policy, "_child", lambda *a, **b: found.append(child(*a, **b)) or found[-1])
    rows = policy.run({}, [FOLDER], tmp_path, lambda _: None)
    assert [row["part"] for row in rows] == list(PARTS)
    assert all(row["engine"] == policy.ONNX and row["ms"]["count"] == policy.SIZES["tiny"] for row in rows)
    (ms,) = (one["ms"] for one in found)
    # Of each run by itself: medians of parts do not add up where a busy machine holds up another part each time.
    for *parts, whole in zip(*(ms[part] for part in PARTS), strict=True):
        assert 0.0 < sum(parts) <= whole
    assert 20 < rows[0]["peak_mb"] < 300 and rows[0]["parity_max_abs"] < 1e-5
    view = view_of({"bench": "policy", "rows": rows, "notes": []})
    assert len(view.lines) == len(PARTS) and all(len(line) == len(view.columns) for line in view.lines)


def test_a_row_is_compared_with_torch_in_the_same_run() -> None:
    found = {"ms": {part: [2.0, 2.0] for part in PARTS}, "peak_mb": 100.4, "parity_max_abs": None}
    torch = policy._rows("smolvla tiny", policy.TORCH, found, [])
    half = {**found, "ms": {part: [1.0, 1.0] for part in PARTS}, "parity_max_abs": 1e-6}
    onnx = policy._rows("smolvla tiny", policy.ONNX, half, torch)
    assert {row["times_torch"] for row in torch} == {None} and {row["times_torch"] for row in onnx} == {2.0}
    assert policy._rows("another", policy.ONNX, half, torch)[0]["times_torch"] is None
    chart = view_of({"bench": "policy", "rows": torch + onnx, "notes": []}).chart
    assert isinstance(chart, Chart)
    assert [bar.label for bar in chart.bars] == [
        f"{part}: {engine}" for part in PARTS for engine in (policy.TORCH, policy.ONNX)
    ]
    assert [bar.throughput for bar in chart.bars[-3:]] == [None, 100, 100]


def test_a_policy_that_cannot_be_measured_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"onnx {tmp_path}: .*policy\.json: is missing"):
        policy.run({}, [tmp_path], tmp_path, lambda _: None)


def test_without_lerobot_and_without_a_policy_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise policy.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(policy.importlib.metadata, "version", missing)
    assert policy.main([]) == 2
    assert "./edge setup --with lerobot" in capsys.readouterr().err
