# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""modes.yaml: what it gives, and errors that name file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import NodeConfig
from edge_stack_supervisor.modes import (
    Battery,
    CallTrigger,
    Detection,
    Instruction,
    PublishText,
    SetParameters,
    TimeOut,
    load_modes,
)
from edge_stack_supervisor.supervision import NodeState


def node(
    name: str, executable: str, priority_class: str, rate_hz: float | None = None, **parameters
) -> NodeConfig:
    return NodeConfig(
        name, "edge_stack", executable, priority_class, 1, "always", True, rate_hz, parameters, {}
    )


STACK = (
    node("supervisor", "supervisor", "essential"),
    node("fusion", "fusion", "critical"),
    node("policy", "policy", "critical", device="cpu"),
    node("detect", "yolo", "essential", 5.0, device="cpu", imgsz=320),
    node("segment", "yolo", "background", 5.0, device="cpu"),
    node("speech", "speech", "background"),
)
FULL = """\
start: work
dwell_s: 3
nodes:
  segment: {memory_mb: 200, duration_ms: 20, max_rate_hz: 15}
  policy: {rate_hz: 4}
modes:
  work:
    description: all of it
  look:
    share_freed: true
    classes:
      background: {state: inactive, rate_hz: 2}
    nodes:
      segment: {state: active, class: essential, rate_hz: 10}
      detect: {parameters: {imgsz: 640}}
      camera: {rate_hz: 30}
    entry:
      - set: {fusion: {speed_scale: 0.5}, camera: {exposure: 3}}
      - call: gripper/open
      - publish: {topic: instruction, text: look around}
    exit:
      - call: gripper/close
rules:
  - {to: look, instruction: "look|see"}
  - {to: look, from: [work], detection: {class: person, score: 0.6, count: 2, for_s: 0.5}}
  - {to: work, battery: {above: 0.5}}
  - {to: work, from: [look], after_s: 60}
"""


def load(folder: Path, text: str):
    file = folder / "modes.yaml"
    file.write_text(text, encoding="utf-8")
    return load_modes(file, STACK, known=[*(n.name for n in STACK), "camera"])


def test_a_mode_says_for_every_node_what_differs_from_robot_yaml(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    assert config.modes["work"].nodes == config.base
    assert "supervisor" not in config.base
    look = config.modes["look"].nodes
    assert (look["policy"].state, look["policy"].rate_hz) == (NodeState.ACTIVE, None)
    assert (look["segment"].state, look["segment"].priority_class, look["segment"].rate_hz) == (
        NodeState.ACTIVE,
        "essential",
        10.0,
    )
    assert (look["speech"].state, look["speech"].rate_hz) == (NodeState.INACTIVE, None)
    assert look["detect"].parameters == {"imgsz": 640}
    assert "camera" not in look  # it is in robot.yaml and does not run here
    assert config.figures["segment"].duration_s == pytest.approx(0.02)
    assert config.devices == {"policy": "cpu", "detect": "cpu", "segment": "cpu"}
    assert (config.dwell_s, config.timeout_s) == (3.0, 30.0)


def test_hooks_and_rules_are_read_in_order(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    look = config.modes["look"]
    assert look.entry == (
        SetParameters("fusion", {"speed_scale": 0.5}),
        CallTrigger("gripper/open"),
        PublishText("instruction", "look around"),
    )
    assert look.exit == (CallTrigger("gripper/close"),)
    assert [(type(rule.condition), rule.target, rule.sources) for rule in config.rules] == [
        (Instruction, "look", {"work"}),
        (Detection, "look", {"work"}),
        (Battery, "work", {"look"}),
        (TimeOut, "work", {"look"}),
    ]


@pytest.mark.parametrize(
    ("before", "after", "line", "text"),
    [
        ("start: work", "start: wrok", 1, "start: there is no mode wrok; there are work, look"),
        (
            "segment: {memory",
            "segmnt: {memory",
            4,
            "nodes.segmnt: robot.yaml has no node segmnt; it has fusion",
        ),
        ("state: inactive", "state: gone", 12, "modes.look.classes.background.state: 'gone' is not one of"),
        (
            "detect: {para",
            "speech: {rate_hz: 3, para",
            15,
            "modes.look.nodes.speech.rate_hz: speech has no rate_hz",
        ),
        ("imgsz: 640", "size: 640", 15, "detect.parameters.size: detect has no size in robot.yaml"),
        ("imgsz: 640", "rate_hz: 640", 15, "parameters.rate_hz: is set by rate_hz of the node"),
        ("detect: {para", "fusion: {para", 15, "fusion has no imgsz in robot.yaml"),
        (
            "camera: {rate_hz: 30}",
            "fusion: {class: essential}",
            16,
            "fusion.class: would reload fusion, which comm",
        ),
        ("- call: gripper/open", "- shell: rm", 19, "modes.look.entry.1.shell: is not a known field"),
        ("set: {fusion", "set: {fuse", 18, "entry.0.set.fuse: robot.yaml has no node fuse"),
        ("to: look, instruction", "to: lok, instruction", 24, "rules.0.to: there is no mode lok"),
        ('"look|see"', '"look("', 24, "rules.0.instruction: 'look(' is no regular expression"),
        ("from: [work], det", "from: [wrk], det", 25, "rules.1.from.0: there is no mode wrk"),
        ("from: [work], det", "from: [look], det", 25, "rules.1.from: look is where the rule leads to"),
        ("{above: 0.5}", "{above: 0.5, below: 0.1}", 26, "rules.2.battery: wants either below or above"),
        ("from: [look], after", "after", 27, "rules.3.after_s: wants from"),
        ("from: [look], after_s: 60", "from: [look]", 27, "rules.3: wants one of instruction, detection"),
        ("after_s: 60", "after_s: 60, instruction: x", 27, "it has instruction and after_s"),
        ("policy: {rate_hz", "segment: {rate_hz", 5, "segment stands twice"),
        (
            "policy: {rate_hz",
            "detect: {rate_hz",
            5,
            "nodes.detect.rate_hz: detect has a rate_hz in robot.yaml",
        ),
        (
            "policy: {rate_hz",
            "policy: {max_rate_hz",
            5,
            "nodes.policy.max_rate_hz: policy has no rate_hz in robot.yaml",
        ),
    ],
)
def test_a_mistake_is_answered_with_file_line_and_field(
    tmp_path: Path, before: str, after: str, line: int, text: str
) -> None:
    assert before in FULL
    broken = FULL.replace(before, after, 1)
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, broken)
    assert text in str(caught.value)
    assert f"modes.yaml:{line}: " in str(caught.value)


def test_an_entry_hook_that_would_lead_straight_out_again_is_refused(tmp_path: Path) -> None:
    broken = FULL.replace(
        "  work:\n", "  work:\n    entry: [{publish: {topic: instruction, text: Look here}}]\n"
    )
    with pytest.raises(ConfigurationError, match=r"modes.work.entry: 'Look here' matches the rule to look"):
        load(tmp_path, broken)
