# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of how a policy is found by its name: ours, a stranger's, and what is said where one cannot be made."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from edge_stack_core import plugins
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy import PolicySettings, make_policy, policy_names, registry

ROBOT = load_robot(find_robot("so101_sim"))
OURS = "edge_stack_policy.visual_servo.policy:VisualServo"


def needs_grpc(settings: PolicySettings) -> None:
    raise ModuleNotFoundError("No module named 'grpc'", name="grpc._channel")


def no_policy(settings: PolicySettings) -> object:
    return object()


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    points: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    return points


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


def refusal(name: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make_policy(name, PolicySettings(ROBOT))
    return str(caught.value)


def test_the_built_workspace_offers_all_of_ours() -> None:
    ours = {"lerobot", "lerobot_server", "remote", "smolvla", "triton", "visual_servo"}
    assert ours <= set(policy_names())


def test_ours_is_taken_where_a_stranger_has_the_same_name(points: list[EntryPoint]) -> None:
    stranger = point("visual_servo", f"{__name__}:no_policy")
    points += [stranger, point("visual_servo", OURS), stranger]
    assert policy_names() == ("visual_servo",)
    assert make_policy("visual_servo", PolicySettings(ROBOT)).name == "visual_servo"


def test_an_unknown_name_is_told_the_known_ones(points: list[EntryPoint]) -> None:
    points += [point("visual_servo", OURS), point("other", f"{__name__}:no_policy")]
    assert refusal("visual_serve") == ("policy: 'visual_serve' is not known; known are: other, visual_servo")


def test_where_nothing_of_ours_is_installed_the_remedy_is_named(points: list[EntryPoint]) -> None:
    points.append(point("other", f"{__name__}:no_policy"))
    assert "./edge build" in refusal("visual_servo")


def test_what_gives_no_policy_is_refused(points: list[EntryPoint]) -> None:
    points += [point("visual_servo", OURS), point("other", f"{__name__}:no_policy")]
    assert "is not a policy" in refusal("other")


def test_a_policy_that_cannot_be_imported_says_what_to_install(points: list[EntryPoint]) -> None:
    points += [point("visual_servo", OURS), point("remote", f"{__name__}:needs_grpc")]
    points.append(point("other", "no_such_module_anywhere:Policy"))
    assert refusal("remote").startswith("policy remote needs grpcio and protobuf: ")
    assert "no_such_module_anywhere" in refusal("other")
