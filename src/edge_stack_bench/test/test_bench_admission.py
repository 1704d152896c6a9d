# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks admission and contention run, and their rows have the fields that the documentation names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_stack_bench.benchmarks import admission, contention, contention_models
from edge_stack_inference.splitting.build import open_session

pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))


def test_admission_rows_say_what_asking_costs_alone_and_contended() -> None:
    rows = admission.run(seconds=0.2, count=300, processes=(2,))
    by_config = {row["config"]: row for row in rows}
    for config in (
        "critical_begin_end",
        "ask_uncontended",
        "ask_and_end_uncontended",
        "wake_up_after_critical",
    ):
        assert (
            0
            < by_config[config]["ns"]["p50"]
            <= by_config[config]["ns"]["p99"]
            <= by_config[config]["ns"]["max"]
        )
    for config in ("contended", "contended_one_at_a_time"):
        assert by_config[config]["per_s"] > 0
        assert by_config[config]["processes"] == 2
    assert by_config["waiting"]["cpu_pct"] < 50.0


def test_contention_rows_compare_the_ways_of_sharing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, figures = contention_models.long_model(tmp_path, 4.0)
    assert figures["layers"] >= 1
    target = tmp_path / "contention.json"
    code = contention.main(
        [
            "--seconds",
            "0.5",
            "--rounds",
            "1",
            "--critical-ms",
            "4",
            "--slice-ms",
            "5",
            "--json",
            str(target),
        ]
        + ["--background", str(model), "--long", str(model)]
        + ["--configs", "alone,background_alone,admission,background_alone_long,admission_sliced"]
    )
    assert code == 0
    result = json.loads(target.read_text())
    rows = {row["config"]: row for row in result["rows"]}
    assert set(rows) == {
        "alone",
        "background_alone",
        "admission",
        "background_alone_long",
        "admission_sliced",
    }
    assert set(rows["alone"]["critical"]) >= {"p50_ms", "p99_ms", "p999_ms", "max_ms", "misses", "n"}
    assert "critical" not in rows["background_alone"]
    assert rows["background_alone"]["background_per_s"] > 0
    assert {"of_slack", "background_per_s", "admission"} <= set(rows["admission"])
    assert 0.0 < result["idle_share"] < 1.0


def test_without_models_the_benchmark_says_where_to_name_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(contention_models.MODELS_VARIABLE, str(tmp_path))
    with pytest.raises(SystemExit):
        contention.main([])
    assert "--background" in capsys.readouterr().err


def test_the_policy_model_is_a_transformer_that_gives_finite_actions(tmp_path: Path) -> None:
    path, figures = contention_models.policy_model(tmp_path, 3.0)
    session = open_session(path, 1)
    (actions,) = session.run(None, contention_models.feeds_of(session))
    assert actions.shape == (1, 350)
    assert np.isfinite(actions).all()
    assert figures["ms"] > 0
