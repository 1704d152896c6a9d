# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The demo's learned policy does what it is told, from the camera's pixels, in the simulator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import load_robot
from edge_stack_policy import PolicySettings, make_policy
from edge_stack_policy.contract import load_contract
from edge_stack_policy.files import DEMO, find_policy
from edge_stack_sim.learning.evaluate import evaluate, main, make_driver
from edge_stack_sim.scene import CONTRACT, HOME, OBJECTS

SHIPPED_AT_MOST = 20_000_000  # bytes


def test_it_succeeds_on_scenes_it_has_not_seen(robot_file: Path, world: object) -> None:
    robot = load_robot(robot_file)
    driver = make_driver("smolvla", robot, DEMO, CONTRACT)
    outcome = evaluate(driver, robot, range(500_000, 500_008))
    driver.close()
    assert outcome.successes >= 5, f"failed on {outcome.failed}"


def test_where_it_reaches_depends_on_the_instruction(robot_file: Path, world: object) -> None:
    robot = load_robot(robot_file)
    contract = load_contract(CONTRACT, robot)
    policy = make_policy("smolvla", PolicySettings(robot, path=DEMO, contract=contract))
    policy.load()
    places = {"red_cube": -0.6, "green_cube": -0.2, "blue_cube": 0.2, "yellow_cylinder": 0.6}
    for name, bearing in places.items():
        world.set_object(name, 0.22 * np.cos(bearing), 0.22 * np.sin(bearing))  # type: ignore[attr-defined]
    world.set_mark(0.14, 0.0)  # type: ignore[attr-defined]
    world.step(None, 1)  # type: ignore[attr-defined]
    image = contract.images[0].fit(world.render())  # type: ignore[attr-defined]
    try:
        reached = {}
        for name in OBJECTS:
            policy.reset()
            chunk = policy.predict_action_chunk(
                {
                    "observation.images.table": image,
                    "observation.state": np.array(HOME, dtype=np.float32),
                    "task": f"put the {name.replace('_', ' ')} on the mark",
                    "time_s": 0.0,
                }
            )
            reached[name] = chunk[-1, 0]  # pan
    finally:
        policy.close()
    for name in places:
        nearest = min(places, key=lambda other: abs(places[other] - reached[name]))
        assert nearest == name, reached


def test_servo_and_expert_are_measured_on_the_same_scenes_without_ros(
    world: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    wanted = ["--policy", "visual_servo", "--policy", "expert", "--episodes", "2", "--seed", "500000"]
    assert main([*wanted, "--json", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["policy"], row["successes"]) for row in rows] == [("visual_servo", 2), ("expert", 2)]
    assert "34% to 100%" in capsys.readouterr().out
    assert main(["--policy", "no_such_policy", "--episodes", "1"]) == 1
    assert "'no_such_policy' is not known" in capsys.readouterr().err


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in find_policy(DEMO).iterdir()) < SHIPPED_AT_MOST


def test_a_policy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="policy_path: is empty"):
        find_policy("")
    with pytest.raises(ConfigurationError, match="no_such_package"):
        find_policy("package://no_such_package/policy")
    assert find_policy("~/policy") == Path("~/policy").expanduser()
