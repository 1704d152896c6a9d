# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Vision-language-action checkpoints of LeRobot beside SmolVLA: as LeRobot itself runs them, guided, whole or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, STATE
from edge_stack_policy.lerobot.installed import lerobot_version, require_lerobot

sys.path.insert(0, str(Path(__file__).parent))
from test_lerobot_policy import STEP_S, ByLeRobotItself, chunk_by_lerobot_itself, loaded, observation, seams
from tiny_lerobot import needs_lerobot, save_policy
from tiny_lerobot_large import tiny_multi_task_dit, tiny_pi, tiny_xvla

STATS = {
    key: {
        "mean": np.linspace(-0.3, 0.4, 6),
        "std": np.linspace(0.2, 0.9, 6),
        "q01": np.linspace(-1.3, -0.8, 6),
        "q99": np.linspace(0.7, 1.2, 6),
        "min": np.linspace(-1.5, -1.0, 6),
        "max": np.linspace(1.0, 1.5, 6),
    }
    for key in (STATE, "action")
}
TASK = "put the red cube in the bin"
pytestmark = [
    needs_lerobot,
    pytest.mark.skipif((lerobot_version() or ()) < (0, 6), reason="of LeRobot 0.6"),
]


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_pi_gives_the_actions_that_lerobot_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import torch

    folder = tiny_pi(monkeypatch, tmp_path, kind, stats=STATS)
    policy = loaded(folder)
    seen = observation(6, task=TASK)
    torch.manual_seed(9)
    chunk = policy.predict_action_chunk(seen)
    assert chunk.shape == (24, 6)
    itself = ByLeRobotItself(folder)
    torch.manual_seed(9)
    np.testing.assert_allclose(chunk, [itself.act(seen) for _ in range(24)], atol=1e-5)
    torch.manual_seed(9)
    assert not np.allclose(policy.predict_action_chunk({**seen, "task": "open the drawer"}), chunk, atol=1e-5)


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_a_new_chunk_of_pi_goes_on_where_the_old_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    policy = loaded(tiny_pi(monkeypatch, tmp_path, kind, stats=STATS))
    assert policy.guides_chunks
    free, guided = seams(policy)
    assert guided < 0.1 * free


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_pi_on_relative_actions_goes_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    policy = loaded(tiny_pi(monkeypatch, tmp_path, kind, stats=STATS, use_relative_actions=True))
    free, guided = seams(policy)
    assert guided < 0.1 * free


def test_xvla_gives_the_actions_that_lerobot_gives(tmp_path: Path) -> None:
    import torch

    folder = tiny_xvla(tmp_path)
    seen = observation(6, task=TASK)
    policy = loaded(folder)
    torch.manual_seed(9)
    chunk = policy.predict_action_chunk(seen)
    np.testing.assert_allclose(chunk, chunk_by_lerobot_itself(folder, [seen], seed=9), atol=1e-5)
    assert chunk.shape == (12, 6)


def test_multi_task_dit_sees_its_past_and_finds_its_backbone_beside_it(tmp_path: Path) -> None:
    import torch

    pytest.importorskip("diffusers")
    folder = tiny_multi_task_dit(tmp_path / "clip", stats=STATS)
    past = [observation(seed, time_s=seed * STEP_S, task=TASK) for seed in range(3)]
    wanted = chunk_by_lerobot_itself(folder, past, seed=7)
    for name in ("config.json", "policy_preprocessor.json"):
        path = folder / name
        path.write_text(
            path.read_text().replace(str(folder / "vlm"), "openai/clip-nowhere"), encoding="utf-8"
        )
    policy = loaded(folder)
    for one in past[:-1]:
        policy.predict_action_chunk(one)
    torch.manual_seed(7)
    np.testing.assert_allclose(policy.predict_action_chunk(past[-1]), wanted, atol=1e-5)


def test_gaussian_actor_gives_the_action_that_lerobot_gives(tmp_path: Path) -> None:
    import torch

    folder = save_policy(tmp_path, "gaussian_actor", stats=STATS)
    policy = loaded(folder)
    torch.manual_seed(9)
    chunk = policy.predict_action_chunk(observation(6))
    itself = ByLeRobotItself(folder)
    torch.manual_seed(9)
    np.testing.assert_allclose(chunk, [itself.act(observation(6))], atol=1e-5)


def test_pi_in_bfloat16_runs_and_is_guided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = loaded(tiny_pi(monkeypatch, tmp_path, "pi0", stats=STATS, dtype="bfloat16", compile_model=False))
    free, guided = seams(policy)
    assert guided < 0.1 * free
    left = np.zeros((50, 6))
    chunk = policy.predict_action_chunk({**observation(1), LEFTOVER: left, DELAY_STEPS: 3})
    assert chunk.shape == (24, 6)
    assert np.isfinite(chunk).all()


@pytest.mark.parametrize("damage", ["junk", "short", "other"])
def test_pi_with_weights_that_do_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_pi(monkeypatch, tmp_path, "pi0", stats=STATS)
    file = folder / "model.safetensors"
    if damage == "junk":
        file.write_bytes(file.read_bytes()[:-100])
        wanted = "model.safetensors cannot be read"
    else:
        tensors = load_file(file)
        taken = tensors.pop("model.action_out_proj.weight")
        wanted = "model.safetensors lacks model.action_out_proj.weight"
        if damage == "other":
            tensors["model.action_out_proj.weight"] = taken[:3].clone()
            wanted = "does not fit: size mismatch for model.action_out_proj.weight"
        save_file(tensors, file)
    with pytest.raises(ConfigurationError, match=f"cannot load this pi0 policy: .*{wanted}"):
        loaded(folder)


def test_a_tokenizer_that_is_neither_here_nor_on_the_hub_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = tiny_pi(monkeypatch, tmp_path, "pi0", stats=STATS)
    (folder / "vlm").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"put them into the folder vlm of the checkpoint"):
        loaded(folder)


def test_requirements_that_the_extra_lacks_are_named_with_their_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "edge_stack_policy.lerobot.installed.find_spec", lambda name: None if name == "tree" else object()
    )
    require_lerobot("pi0")
    with pytest.raises(
        ConfigurationError, match=r"groot needs dm-tree; install it by .* pip install dm-tree"
    ):
        require_lerobot("groot")
