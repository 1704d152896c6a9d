# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the offload benchmark makes of what it saw."""

from __future__ import annotations

import math

import pytest

from edge_stack.shipped import shipped_config
from edge_stack_bench.benchmarks.offload_observe import (
    Chunk,
    OffloadObservations,
    PolicyReport,
    longest_gap_s,
    quantiles,
)
from edge_stack_bench.benchmarks.offload_plan import Subject, left_out, phases, subject_of
from edge_stack_bench.benchmarks.views import view_of
from edge_stack_bench.ros.offload_stack import JudgedEpisodes
from edge_stack_core.stack_config import load_config

PERIOD_S = 1.0 / 24.0


def test_a_gap_that_begins_before_a_stretch_or_ends_after_it_counts() -> None:
    assert longest_gap_s([0.0, 1.0, 1.5, 4.0], 1.2, 2.0) == pytest.approx(2.5)
    assert longest_gap_s([0.0, 3.0], 1.0, 2.0) == pytest.approx(3.0)
    assert longest_gap_s([], 1.0, 2.0) == pytest.approx(1.0)


def test_actions_are_late_from_the_end_of_one_chunk_to_the_arrival_of_the_next() -> None:
    chunks = [Chunk(0.1, 0.0, 1.0, 0.1), Chunk(0.9, 0.8, 1.8, 0.1), Chunk(2.05, 1.6, 2.6, 0.1)]
    seen = OffloadObservations(chunks=chunks)
    assert seen.late(0.0, 3.0) == (3, pytest.approx(0.25))
    assert seen.late(0.0, 1.0) == (0, 0.0)


def test_a_gap_far_from_any_change_is_not_the_fallbacks() -> None:
    times = [i * PERIOD_S for i in range(240) if not 168 <= i < 173]  # a gap at 7 s
    reports = [
        PolicyReport(0.2 * i, "remote" if i < 15 else "local", int(i >= 15), "cut", 0.02, 0.03)
        for i in range(45)
    ]
    figures = OffloadObservations(commands_s=times, reports=reports).figures(0.0, 9.0)
    assert figures["fallback_gap_ms"] == pytest.approx(1e3 * PERIOD_S, abs=0.1)
    assert figures["control_gap_ms"] == pytest.approx(6e3 * PERIOD_S, abs=0.1)
    assert figures["changes"] == 1 and figures["reasons"] == ["cut"]
    assert figures["endpoints"] == {"local": 0.667, "remote": 0.333}
    around_cut = OffloadObservations(commands_s=times, reports=reports).figures(0.0, 9.0, cuts_s=[6.0])
    assert around_cut["fallback_gap_ms"] == around_cut["control_gap_ms"]


def test_what_has_not_happened_yet_at_the_end_of_a_stretch_is_no_gap() -> None:
    times = [i * PERIOD_S for i in range(240)]
    figures = OffloadObservations(commands_s=times).figures(0.0, times[-1], cuts_s=[times[-1] - 0.1])
    assert figures["fallback_gap_ms"] == pytest.approx(1e3 * PERIOD_S, abs=0.1)


def test_quantiles_of_nothing_are_none() -> None:
    assert quantiles([]) == {"p50": None, "p99": None}


def test_a_run_begins_on_board_and_ends_with_cuts_in_as_many_episodes() -> None:
    first, *networks, last = phases(3, 12)
    assert first.network.cut and not first.cuts and last.cuts
    assert first.episodes == last.episodes == 12
    assert {phase.episodes for phase in networks} == {3}
    assert {phase.network.rtt_ms for phase in networks} == {1.0, 20.0, 80.0}
    assert {phase.network.loss for phase in networks} == {0.0, 0.02, 0.1}
    assert {phase.network.mbit_s for phase in networks} == {None, 5.0}


def test_another_transport_meets_cuts_and_the_networks_on_which_transports_differ() -> None:
    rows = phases(2, 12, transport_only=True)
    assert [row.name for row in rows] == ["20 ms", "20 ms, 5 Mbit/s", "20 ms, cut for 5 s"]
    assert [row.episodes for row in rows] == [12, 2, 12], "success with cuts beside success without"


def test_lerobots_server_is_measured_where_there_is_a_checkpoint_for_it() -> None:
    assert [way.name for way in Subject("visual_servo", "so101_sim").transports()] == [
        "grpc, jpeg",
        "grpc, raw",
    ]
    way = Subject("smolvla", "so101_sim", "/onnx", "so101_sim", "/checkpoint", "/other/python").transports()[
        -1
    ]
    assert way.endpoint == "lerobot://10.77.0.2:8443?path=/checkpoint"
    assert "/other/python" in way.server and "--host=10.77.0.2" in way.server


def test_the_stacks_own_policy_is_measured_unless_another_is_named() -> None:
    config = load_config(shipped_config())
    (own,) = (node.parameters for node in config.nodes if node.name == "policy")
    subject = subject_of(config, "", "", "", "", "python")
    assert (subject.policy, subject.path) == (own["policy"], own["policy_path"])
    assert subject.contract == own["policy_contract"]
    assert subject_of(config, "visual_servo", "", "", "", "python") == Subject(
        "visual_servo", str(config.robot_file), lerobot_python="python"
    )


def test_all_perception_runs_unless_it_is_left_out_and_what_the_policy_needs_always() -> None:
    config = load_config(shipped_config())
    assert left_out(config, "smolvla", without_yolo=False) == ()
    assert set(left_out(config, "smolvla", without_yolo=True)) == set(config.run_by("yolo"))
    assert "detect" not in left_out(config, "visual_servo", without_yolo=True)


def test_episodes_that_do_not_count_are_shown_beside_those_that_do() -> None:
    row = JudgedEpisodes(attempts=4, successes=3, cuts_s=[1.0, 6.0], not_cut=1).row(9, 7)
    assert (row["attempts"], row["successes"], row["success"], row["cuts"]) == (4, 3, 0.75, 1)
    assert (row["between_attempts"], row["between_successes"], row["not_cut"]) == (5, 4, 1)
    low, high = row["success_95"]
    assert low < 0.75 < high
    assert JudgedEpisodes().row(0, 0)["success"] is None and JudgedEpisodes().row(0, 0)["success_95"] is None


def test_a_result_is_shown_also_where_the_server_was_never_reached() -> None:
    figures = OffloadObservations(
        reports=[PolicyReport(0.5, "local", 0, "start", math.nan, math.nan)]
    ).figures(0.0, 1.0)
    row = {
        "bytes": 0,
        "network": "on board",
        "transport": "none",
        "models_hz": {"detect": 5.0, "pose": 4.9},
        **JudgedEpisodes(attempts=2, successes=1, not_cut=3).row(2, 1),
        **figures,
    }
    view = view_of({"bench": "offload", "device": "visual_servo", "notes": [], "rows": [row]})
    (line,) = view.lines
    assert dict(zip(view.columns, line, strict=True)).items() >= {
        ("off board %", "0"),
        ("rtt p50 ms", ""),
        ("YOLO/s", "9.9"),
        ("success", "1 of 2"),
        ("95 %", "9-91 %"),
        ("between", "0 of 0, 3 not cut"),
    }
