# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A policy's contract: units there and back, errors that name file, line and field, and what does not fit a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import Robot, find_robot, load_robot
from edge_stack_policy.contract import (
    FeatureShapes,
    ImageFeature,
    PolicyContract,
    from_units,
    load_contract,
    plain_contract,
    to_units,
)
from edge_stack_policy.contract_check import check, mismatches

CONTRACTS = Path(__file__).parents[1] / "contracts"
ROBOT = load_robot(find_robot("so101_sim"))
EXAMPLE = CONTRACTS / "so101_sim.yaml"
LEROBOT = """\
images:
  observation.images.top: {topic: top/image_raw, camera: table, resize: {height: 96, width: 128}, rate_hz: 15}
state:
  fields: [shoulder_pan, elbow_flex, gripper]
  units: [deg, normalized, percent]
  zero: {shoulder_pan: 0.5}
action:
  joints: [shoulder_pan, gripper]
  units: [normalized, percent]
  limits: {shoulder_pan: [1.0, -1.0]}
task: {topic: instruction, default: rest}
"""


def contract(tmp_path: Path, text: str = LEROBOT) -> PolicyContract:
    file = tmp_path / "arm.yaml"
    file.write_text(text, encoding="utf-8")
    return load_contract(file, ROBOT)


def shapes(**changes: object) -> FeatureShapes:
    fields: dict[str, object] = {
        "inputs": {"observation.images.top": (3, 96, 128), "observation.state": (3,)},
        "outputs": {"action": (2,)},
    }
    return FeatureShapes(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_example_fits_the_simulated_robot_and_says_the_same_as_none() -> None:
    loaded = load_contract(EXAMPLE, ROBOT)
    plain = plain_contract(ROBOT)
    assert loaded.state == plain.state
    assert loaded.action == plain.action
    assert [image.key for image in loaded.images] == [image.key for image in plain.images]


def test_a_file_gives_every_feature(tmp_path: Path) -> None:
    loaded = contract(tmp_path)
    (image,) = loaded.images
    assert image == ImageFeature("observation.images.top", "top/image_raw", "table", 96, 128, 15)
    assert loaded.state is not None
    assert loaded.state.topic == "joint_states"
    assert loaded.state.fields == ("shoulder_pan", "elbow_flex", "gripper")
    assert loaded.action.units == ("normalized", "percent")
    assert (loaded.task_topic, loaded.task_default, loaded.rate_hz) == ("instruction", "rest", 24.0)
    assert loaded.input_features == ("observation.images.top", "observation.state")


def test_units_are_those_of_lerobot(tmp_path: Path) -> None:
    loaded = contract(tmp_path)
    assert loaded.state is not None
    # The elbow goes from 0 to 2.7 rad, the gripper from 0 to 1.
    np.testing.assert_allclose(to_units(loaded.state, [0.5, 2.7, 0.25]), [0.0, 100.0, 25.0], atol=1e-9)
    np.testing.assert_allclose(to_units(loaded.state, [0.5 + np.pi, 0.0, 1.0]), [180.0, -100.0, 100.0])
    # The pan is turned round: 1 rad is -100.
    np.testing.assert_allclose(
        from_units(loaded.action, [[-100.0, 0.0], [50.0, 50.0]]), [[1, 0], [-0.5, 0.5]]
    )


positions = st.lists(st.floats(-10.0, 10.0), min_size=6, max_size=6)
units = st.lists(st.sampled_from(["rad", "deg", "normalized", "percent"]), min_size=6, max_size=6)


@given(positions=positions, units=units)
def test_units_there_and_back_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, positions: list[float], units: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "there_and_back.yaml"
    file.write_text(f"action: {{units: [{', '.join(units)}]}}\n", encoding="utf-8")
    action = load_contract(file, ROBOT).action
    np.testing.assert_allclose(from_units(action, to_units(action, positions)), positions, atol=1e-9)


@given(
    height=st.integers(1, 80), width=st.integers(1, 80), to=st.tuples(st.integers(1, 80), st.integers(1, 80))
)
def test_images_come_in_the_contracts_size(height: int, width: int, to: tuple[int, int]) -> None:
    image = np.full((height, width, 3), 77, dtype=np.uint8)
    fitted = ImageFeature("observation.image", "image_raw", height=to[0], width=to[1]).fit(image)
    assert fitted.shape == (*to, 3)
    assert fitted.dtype == np.uint8
    assert (fitted == 77).all()


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        (
            "elbow_flex",
            "elbow",
            4,
            "state.fields.1: the robot so101_sim has no joint 'elbow'; it has shoulder_pan",
        ),
        ("[deg, normalized, percent]", "[deg]", 5, "state.units: there are 1 for 3 fields"),
        ("deg, normalized", "degrees, normalized", 5, "state.units"),
        ("camera: table", "camera: wrist", 2, "no camera 'wrist'; it has table"),
        ("topic: top/image_raw", "topic: top image", 2, "is not the name of a topic"),
        ("observation.images.top", "top", 1, "is not a key of an image; write observation.images.<name>"),
        ("[1.0, -1.0]", "[1.0, 1.0]", 10, "action.limits.shoulder_pan: the two are equal"),
        ("limits: {shoulder_pan", "limits: {wrist_roll", 10, "is not among the joints"),
        (
            "zero: {shoulder_pan",
            "zero: {gripper",
            6,
            "its unit is percent, whose zero follows from the limits",
        ),
        ("task:", "tasks:", 11, "tasks: is not a known field; known are action, environment_state, images"),
        ("height: 96, ", "", 2, "images.observation.images.top.resize: 'height' is a required property"),
    ],
)
def test_an_error_names_file_line_and_field(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    assert old in LEROBOT
    with pytest.raises(ConfigurationError) as caught:
        contract(tmp_path, LEROBOT.replace(old, new))
    assert str(caught.value).startswith(f"{tmp_path / 'arm.yaml'}:{line}: ")
    assert text in str(caught.value)


def test_what_fits_is_no_error(tmp_path: Path) -> None:
    check(contract(tmp_path), shapes(), ROBOT)


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        (
            {"inputs": {"observation.images.wrist": (3, 96, 128), "observation.state": (3,)}},
            [
                "observation.images.wrist: the checkpoint wants this camera [3, 96, 128]",
                "has observation.images.top",
            ],
        ),
        (
            {"inputs": {"observation.images.top": (3, 480, 640)}},
            ["wants [3, 480, 640], resize gives 96x128", "resize: {height: 480, width: 640}"],
        ),
        (
            {"inputs": {"observation.state": (6,)}},
            [
                "observation.state: the checkpoint wants 6 values; the contract has 3 fields (shoulder_pan, elbow_flex"
            ],
        ),
        (
            {"inputs": {"observation.effort": (6,)}},
            ["observation.effort: the checkpoint wants 6 values there"],
        ),
        ({"outputs": {"action": (7,)}}, ["action: the checkpoint wants 7 values; the contract has 2 joints"]),
        ({"outputs": {"actions": (2,)}}, ["action: the checkpoint has no such output; it has actions"]),
        (
            {"names": {"action": ("gripper.pos", "shoulder_pan.pos")}},
            [
                "action: the checkpoint's joints are gripper, shoulder_pan; the contract's shoulder_pan, gripper"
            ],
        ),
        (
            {"ranges": {"action": (np.array([-1.0, 0.0]), np.array([1.5, 1.0]))}},
            [
                "action: units: the checkpoint was trained on values up to 1.5, but in normalized, percent these joints"
            ],
        ),
    ],
)
def test_each_mismatch_is_named(tmp_path: Path, changes: dict[str, object], texts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(contract(tmp_path), shapes(**changes), ROBOT)
    assert str(caught.value).startswith(f"{tmp_path / 'arm.yaml'}: does not fit the checkpoint: ")
    for text in texts:
        assert text in str(caught.value)


def test_all_mismatches_are_told_at_once(tmp_path: Path) -> None:
    wrong = shapes(
        inputs={"observation.state": (9,), "observation.images.a": (3, 9, 9)}, outputs={"action": (9,)}
    )
    assert len(mismatches(contract(tmp_path), wrong, ROBOT)) == 3


def test_names_as_lerobots_datasets_write_them_are_the_joints(tmp_path: Path) -> None:
    names = {"action": ("shoulder_pan.pos", "gripper.pos")}
    check(contract(tmp_path), shapes(names=names), ROBOT)


def test_a_checkpoint_that_scales_images_itself_takes_any_size(tmp_path: Path) -> None:
    inputs = {"observation.images.top": (3, 256, 256)}
    check(contract(tmp_path), shapes(inputs=inputs, flexible_images=True), ROBOT)


def in_degrees(robot: Robot, scale: float) -> FeatureShapes:
    ends = np.array([robot.position_min, robot.position_max]) * scale
    count = len(robot.joints)
    return FeatureShapes({}, {"action": (count,)}, ranges={"action": (ends.min(axis=0), ends.max(axis=0))})


@given(share=st.floats(0.2, 1.0))
def test_degrees_are_never_taken_for_rad_nor_rad_for_degrees(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    file = tmp_path_factory.getbasetemp() / "degrees.yaml"
    file.write_text("action: {units: deg}\n", encoding="utf-8")
    degrees = load_contract(file, ROBOT)
    rad = plain_contract(ROBOT)
    assert not mismatches(rad, in_degrees(ROBOT, share), ROBOT)
    assert not mismatches(degrees, in_degrees(ROBOT, share * 180 / np.pi), ROBOT)
    assert "units" in mismatches(rad, in_degrees(ROBOT, share * 180 / np.pi), ROBOT)[0]
    assert "units" in mismatches(degrees, in_degrees(ROBOT, share), ROBOT)[0]
