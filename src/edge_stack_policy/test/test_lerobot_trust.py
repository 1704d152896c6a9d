# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are data: nothing that comes with one, or that one names, is run or unpickled."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_stack_core.errors import ConfigurationError

sys.path.insert(0, str(Path(__file__).parent))
from test_lerobot_policy import loaded, observation
from tiny_lerobot import needs_lerobot, tiny_checkpoint

pytestmark = needs_lerobot


def add_step(folder: Path, file: str, step: dict[str, Any]) -> None:
    path = folder / file
    pipeline = json.loads(path.read_text())
    pipeline["steps"].append(step)
    path.write_text(json.dumps(pipeline), encoding="utf-8")


@pytest.mark.parametrize("file", ["policy_preprocessor.json", "policy_postprocessor.json"])
def test_a_step_that_names_any_class_is_refused_and_not_called(tmp_path: Path, file: str) -> None:
    folder, ran = tiny_checkpoint(tmp_path / "act", "act"), tmp_path / "ran"
    add_step(folder, file, {"class": "subprocess.Popen", "config": {"args": ["touch", str(ran)]}})
    with pytest.raises(ConfigurationError, match=rf"{file}: a step names the class 'subprocess.Popen'"):
        loaded(folder)
    assert not ran.exists()


@pytest.mark.parametrize("steps", ["{}", '{"steps": 3}', '{"steps": [3]}'])
def test_steps_that_are_none_are_named(tmp_path: Path, steps: str) -> None:
    folder = tiny_checkpoint(tmp_path, "act")
    (folder / "policy_postprocessor.json").write_text(steps, encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"policy_postprocessor.json: 'steps' is not a list of objects"
    ):
        loaded(folder)


def test_python_files_beside_a_tokenizer_are_not_run(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder, ran = tiny_checkpoint(tmp_path / "act", "act"), tmp_path / "ran"
    foreign = tmp_path / "tokenizer"
    foreign.mkdir()
    (foreign / "processor_config.json").write_text(
        json.dumps({"processor_class": "Foreign", "auto_map": {"AutoProcessor": "foreign.Foreign"}}),
        encoding="utf-8",
    )
    (foreign / "foreign.py").write_text(
        f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Foreign: pass\n", encoding="utf-8"
    )
    add_step(
        folder,
        "policy_preprocessor.json",
        {"registry_name": "action_tokenizer_processor", "config": {"action_tokenizer_name": str(foreign)}},
    )
    with pytest.raises(ConfigurationError, match=r"needs the class Foreign from foreign.py, Python code"):
        loaded(folder)
    assert not ran.exists()


def test_weights_of_a_backbone_are_not_downloaded_for_they_are_in_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*arguments: Any, **settings: Any) -> None:
        raise AssertionError("torchvision downloads a pickle")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", download)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    folder = tiny_checkpoint(tmp_path, "act")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["pretrained_backbone_weights"] = "ResNet18_Weights.IMAGENET1K_V1"  # as LeRobot's default is
    path.write_text(json.dumps(config), encoding="utf-8")
    assert loaded(folder).predict_action_chunk(observation(1)).shape == (12, 6)
