# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot checkpoints as policies: as LeRobot itself runs them, units, look back, chunks that go on, clear errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, STATE, TASK, TIME_S, Policy
from edge_stack_policy.contract import ImageFeature, load_contract, plain_contract
from edge_stack_policy.lerobot.history import History
from edge_stack_policy.lerobot.installed import lerobot_version, require_lerobot
from edge_stack_policy.registry import make_policy
from edge_stack_policy.settings import PolicySettings

sys.path.insert(0, str(Path(__file__).parent))
from tiny_lerobot import SIDE, needs_lerobot, tiny_checkpoint

ROBOT_FILE = find_robot("so101_sim")
ROBOT = load_robot(ROBOT_FILE)
IMAGE = "observation.images.table"
SQUARE = replace(plain_contract(ROBOT), images=(ImageFeature(IMAGE, "image_raw", "table", SIDE, SIDE),))
STEP_S = 1.0 / 24.0


def settings(folder: Path | str, **changes: Any) -> PolicySettings:
    return replace(PolicySettings(ROBOT, path=str(folder), contract=SQUARE, device="cpu"), **changes)


def loaded(folder: Path | str, **changes: Any) -> Policy:
    policy = make_policy("lerobot", settings(folder, **changes))
    policy.load()
    return policy


def observation(seed: int = 0, time_s: float = 0.0, side: int = SIDE, task: str = "") -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        IMAGE: random.integers(0, 256, (side, side, 3), dtype=np.uint8),
        STATE: random.uniform(-1.0, 1.0, 6).astype(np.float32),
        TASK: task,
        TIME_S: time_s,
    }


class ByLeRobotItself:
    """The checkpoint as LeRobot's own `select_action` runs it: one observation, one action."""

    def __init__(self, folder: Path) -> None:
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        config = PreTrainedConfig.from_pretrained(folder)
        self.policy = get_policy_class(config.type).from_pretrained(folder, config=config)
        overrides = {"tokenizer_processor": {"tokenizer_name": str(folder / "vlm")}}
        self.before, self.after = make_pre_post_processors(
            config,
            pretrained_path=str(folder),
            preprocessor_overrides=overrides if (folder / "vlm").is_dir() else {},
        )

    def act(self, seen: dict[str, Any]) -> np.ndarray:
        import torch

        batch = {
            key: torch.from_numpy(value).permute(2, 0, 1).float() / 255.0
            for key, value in seen.items()
            if key.startswith("observation.image")
        }
        batch.update({STATE: torch.from_numpy(seen[STATE]), TASK: seen[TASK]})
        with torch.no_grad():
            return self.after(self.policy.select_action(self.before(batch)))[0].numpy()


def chunk_by_lerobot_itself(folder: Path, past: list[dict[str, Any]], seed: int) -> np.ndarray:
    """The chunk that a policy with a past predicts at the last of the observations."""
    import torch

    itself = ByLeRobotItself(folder)
    for one in past:
        itself.policy._queues["action"].clear()  # another prediction at each
        torch.manual_seed(seed)
        first = itself.act(one)
    rest = [itself.after(action)[0].numpy() for action in itself.policy._queues["action"]]
    return np.array([first, *rest])


@pytest.fixture(scope="module")
def smolvla(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edge_stack_policy.lerobot.smolvla_offline import build_smolvla

    stats = {
        key: {"mean": np.linspace(-0.3, 0.4, 6), "std": np.linspace(0.2, 0.9, 6)} for key in (STATE, "action")
    }
    return build_smolvla(
        tmp_path_factory.mktemp("smolvla"), camera_shape=(SIDE, SIDE), image_size=64, dataset_stats=stats
    ).folder


# ---- without lerobot


def test_without_lerobot_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edge_stack_policy.lerobot.installed.lerobot_version", lambda: None)
    with pytest.raises(ConfigurationError, match=r"LeRobot is not installed.*\./edge setup --with lerobot"):
        make_policy("lerobot", settings(tmp_path)).load()


def test_making_the_policy_imports_neither_lerobot_nor_torch() -> None:
    code = (
        "import sys; from edge_stack_policy import make_policy, PolicySettings;"
        "from edge_stack_core.robot import load_robot;"
        f"make_policy('lerobot', PolicySettings(load_robot({str(ROBOT_FILE)!r})));"
        "sys.exit(bool({'torch', 'lerobot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


class Vector:
    """A stand-in for a tensor [1, N]."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.ndim = 2

    def is_floating_point(self) -> bool:
        return True

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.value + other.value)

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.value - other.value)

    def __rmul__(self, share: float) -> Vector:
        return Vector(share * self.value)


def test_looking_back_interpolates_vectors_and_takes_the_nearest_of_the_rest() -> None:
    history = History(3, 0.1)
    history.add(1.0, {"v": Vector(10.0), "image": "old"})
    assert [past["v"].value for past in history.look_back()] == [10.0, 10.0, 10.0]
    history.add(1.4, {"v": Vector(14.0), "image": "new"})
    past = history.look_back()
    assert [round(one["v"].value, 6) for one in past] == [12.0, 13.0, 14.0]
    assert [one["image"] for one in past][1:] == ["new", "new"]
    history.add(0.5, {"v": Vector(0.0), "image": "later"})  # the clock went back
    assert [one["v"].value for one in history.look_back()] == [0.0, 0.0, 0.0]


def test_the_past_does_not_grow() -> None:
    history = History(2, 0.1)
    for index in range(1000):
        history.add(index * 0.01, {})
    assert len(history._times) < 30


# ---- each kind as LeRobot runs it


@needs_lerobot
def test_act_gives_the_actions_that_lerobot_gives(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, "act")
    policy = loaded(folder)
    chunk = policy.predict_action_chunk(observation(1))
    assert chunk.shape == (12, 6)
    assert chunk.dtype == np.float64
    assert not policy.guides_chunks
    assert policy.input_features == (IMAGE, STATE)
    itself = ByLeRobotItself(folder)
    np.testing.assert_allclose(chunk, [itself.act(observation(1)) for _ in range(12)], atol=1e-5)


@needs_lerobot
@pytest.mark.parametrize("kind", ["diffusion", "vqbet"])
def test_a_policy_that_looks_back_sees_its_past(tmp_path: Path, kind: str) -> None:
    import torch

    pytest.importorskip("diffusers")
    folder = tiny_checkpoint(tmp_path, kind)
    policy = loaded(folder)
    past = [observation(seed, time_s=seed * STEP_S) for seed in range(4)]
    for one in past[:-1]:
        policy.predict_action_chunk(one)
    torch.manual_seed(7)
    chunk = policy.predict_action_chunk(past[-1])
    wanted = chunk_by_lerobot_itself(folder, past, seed=7)
    np.testing.assert_allclose(chunk, wanted, atol=1e-5)
    policy.reset()
    torch.manual_seed(7)
    assert not np.allclose(policy.predict_action_chunk(past[-1]), wanted, atol=1e-5)


@needs_lerobot
def test_tdmpc_gives_the_action_that_lerobot_gives(tmp_path: Path) -> None:
    key = "observation.image"  # the only one that it takes
    folder = tiny_checkpoint(tmp_path, "tdmpc", image=key)
    seen = observation(3)
    seen[key] = seen.pop(IMAGE)
    contract = replace(SQUARE, images=(replace(SQUARE.images[0], key=key),))
    chunk = loaded(folder, contract=contract).predict_action_chunk(seen)
    np.testing.assert_allclose(chunk, [ByLeRobotItself(folder).act(seen)], atol=1e-5)


@needs_lerobot
def test_a_policy_without_chunks_gives_one_action_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot.policies.act.modeling_act import ACTPolicy

    folder = tiny_checkpoint(tmp_path, "act", n_action_steps=1)
    wanted = ByLeRobotItself(folder).act(observation(5))
    chunks = ACTPolicy.predict_action_chunk

    def no_chunks(self: Any, batch: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(ACTPolicy, "predict_action_chunk", no_chunks)
    monkeypatch.setattr(ACTPolicy, "select_action", lambda self, batch: chunks(self, batch)[:, 0])
    chunk = loaded(folder).predict_action_chunk(observation(5))
    np.testing.assert_allclose(chunk, [wanted], atol=1e-5)


@needs_lerobot
def test_smolvla_follows_the_words_it_is_given(smolvla: Path) -> None:
    import torch

    policy = loaded(smolvla)

    def chunk(task: str) -> np.ndarray:
        torch.manual_seed(3)
        return policy.predict_action_chunk(observation(2, task=task))

    red = chunk("put the red cube in the bin")
    assert red.shape == (50, 6)
    np.testing.assert_array_equal(red, chunk("put the red cube in the bin"))
    assert not np.allclose(red, chunk("open the drawer, then close it"))


@needs_lerobot
def test_smolvla_gives_the_actions_that_lerobot_gives(smolvla: Path) -> None:
    import torch

    policy = loaded(smolvla)
    seen = observation(6, task="put the red cube in the bin")
    torch.manual_seed(9)
    chunk = policy.predict_action_chunk(seen)
    np.testing.assert_allclose(chunk, chunk_by_lerobot_itself(smolvla, [seen], seed=9), atol=1e-5)


@needs_lerobot
def test_smolvla_takes_images_of_any_size(smolvla: Path) -> None:
    policy = loaded(smolvla)
    assert policy.predict_action_chunk(observation(1, side=200)).shape == (50, 6)


# ---- units


@needs_lerobot
def test_actions_in_degrees_come_out_in_rad(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "act", "act")
    file = tmp_path / "degrees.yaml"
    file.write_text(
        f"images: {{{IMAGE}: {{topic: image_raw, resize: {{height: {SIDE}, width: {SIDE}}}}}}}\n"
        "state: {units: deg}\naction: {units: [deg, deg, deg, deg, deg, percent]}\nrate_hz: 30\n",
        encoding="utf-8",
    )
    contract = load_contract(file, ROBOT)
    policy = loaded(folder, contract=contract)
    assert policy.step_s == pytest.approx(1.0 / 30.0)
    raw = loaded(folder).predict_action_chunk(observation(1))
    converted = policy.predict_action_chunk(
        observation(1)
    )  # the caller gives the state in the contract's units
    np.testing.assert_allclose(converted[:, :5], np.radians(raw[:, :5]), atol=1e-9)
    np.testing.assert_allclose(converted[:, 5], raw[:, 5] / 100.0, atol=1e-9)


@needs_lerobot
def test_a_checkpoint_trained_in_degrees_is_refused_under_a_contract_in_rad(tmp_path: Path) -> None:
    spread = {"min": np.full(6, -90.0), "max": np.full(6, 90.0), "mean": np.zeros(6), "std": np.full(6, 30.0)}
    folder = tiny_checkpoint(tmp_path, "act", stats={STATE: spread, "action": spread})
    with pytest.raises(
        ConfigurationError, match="action: units: the checkpoint was trained on values up to 90"
    ):
        loaded(folder)


# ---- chunks that go on


def seams(policy: Policy) -> tuple[float, float]:
    """How far a new chunk is from the running one where it takes over, left free and guided; rad."""
    import torch

    torch.manual_seed(0)
    leftover = policy.predict_action_chunk(observation(1, task="wait"))[10:]
    chunks = []
    for guidance in ({}, {LEFTOVER: leftover, DELAY_STEPS: 6}):
        torch.manual_seed(1)
        chunks.append(policy.predict_action_chunk({**observation(4, task="wait"), **guidance}))
    free, guided = (float(np.abs(chunk[:6] - leftover[:6]).max()) for chunk in chunks)
    return free, guided


@needs_lerobot
def test_a_new_chunk_goes_on_where_the_old_one_is(smolvla: Path) -> None:
    policy = loaded(smolvla)
    assert policy.guides_chunks
    free, guided = seams(policy)
    assert guided < 0.1 * free


@needs_lerobot
def test_a_chunk_of_actions_relative_to_the_state_goes_on_too(smolvla: Path, tmp_path: Path) -> None:
    if lerobot_version() < (0, 6):
        pytest.skip("LeRobot has relative actions since 0.6")
    folder = Path(shutil.copytree(smolvla, tmp_path / "relative"))
    for file, name, place in (
        ("pre", "relative_actions_processor", -1),
        ("post", "absolute_actions_processor", 1),
    ):
        path = folder / f"policy_{file}processor.json"
        data = json.loads(path.read_text())
        data["steps"].insert(place, {"registry_name": name, "config": {"enabled": True}})
        path.write_text(json.dumps(data), encoding="utf-8")
    policy = loaded(folder)
    free, guided = seams(policy)
    assert guided < 0.1 * free


@needs_lerobot
@pytest.mark.parametrize(("length", "delay"), [(0, 0), (1, 5), (3, 3), (50, 49), (80, 4)])
def test_any_leftover_is_taken(smolvla: Path, length: int, delay: int) -> None:
    policy = loaded(smolvla)
    left = np.tile(ROBOT.home, (length, 1))
    chunk = policy.predict_action_chunk({**observation(1), LEFTOVER: left, DELAY_STEPS: delay})
    assert chunk.shape == (50, 6)
    assert np.isfinite(chunk).all()


# ---- what is wrong is said


@needs_lerobot
def test_a_checkpoint_that_was_moved_finds_its_own_backbone(smolvla: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(smolvla, tmp_path / "moved"))
    for name in ("config.json", "policy_preprocessor.json"):
        path = moved / name
        path.write_text(path.read_text().replace(str(smolvla), "/nowhere"), encoding="utf-8")
    assert loaded(moved).predict_action_chunk(observation(1)).shape == (50, 6)


@needs_lerobot
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "policy_path: name a LeRobot checkpoint"),
        ("./not/here", "there is no folder ./not/here, and it is no name on the hub"),
        (
            "someone/policy",
            "there is no folder someone/policy, and the hub gives nothing (HF_HUB_OFFLINE is set)",
        ),
    ],
)
def test_a_checkpoint_that_is_not_there(path: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError) as caught:
        make_policy("lerobot", settings(path)).load()
    assert text in str(caught.value)


@needs_lerobot
@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        (
            "config.json",
            None,
            "config.json: cannot be read: No such file or directory; is it a LeRobot checkpoint?",
        ),
        ("config.json", "{", "config.json: is not valid JSON"),
        ("config.json", "{}", "has no field 'type'"),
        ("config.json", '{"type": "nonsense"}', "cannot load this nonsense policy: "),
        ("model.safetensors", None, "has no model.safetensors"),
        ("model.safetensors", "junk", "cannot load this act policy"),
        ("policy_preprocessor.json", None, "older than LeRobot 0.4"),
        ("policy_preprocessor.json", '{"steps": [{"registry_name": "who"}]}', "cannot load this act policy"),
    ],
)
def test_a_broken_checkpoint_is_a_clear_error(
    tmp_path: Path, file: str, content: str | None, text: str
) -> None:
    folder = tiny_checkpoint(tmp_path, "act")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder)
    assert str(folder) in str(caught.value)
    assert text in str(caught.value)


@needs_lerobot
def test_a_backbone_that_is_neither_here_nor_on_the_hub_is_named(smolvla: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(smolvla, tmp_path / "bare", ignore=shutil.ignore_patterns("vlm")))
    for name in ("config.json", "policy_preprocessor.json"):
        path = bare / name
        path.write_text(path.read_text().replace(str(smolvla / "vlm"), "someone/backbone"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"someone/backbone|folder vlm of the checkpoint"):
        loaded(bare)


@needs_lerobot
def test_a_camera_that_the_contract_lacks_is_named(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, "act")
    with pytest.raises(
        ConfigurationError, match=r"observation.images.table: the checkpoint wants this camera"
    ):
        loaded(folder, contract=replace(SQUARE, images=()))


@needs_lerobot
def test_keys_that_the_checkpoint_renames_are_those_before(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, "act")
    path = folder / "policy_preprocessor.json"
    data = json.loads(path.read_text())
    data["steps"][0]["config"]["rename_map"] = {"observation.images.front": IMAGE}
    path.write_text(json.dumps(data), encoding="utf-8")
    contract = replace(SQUARE, images=(replace(SQUARE.images[0], key="observation.images.front"),))
    policy = loaded(folder, contract=contract)
    assert policy.input_features == ("observation.images.front", STATE)
    seen = observation(1)
    seen["observation.images.front"] = seen.pop(IMAGE)
    assert policy.predict_action_chunk(seen).shape == (12, 6)


@needs_lerobot
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({IMAGE: None}, "observation.images.table: is object"),
        ({IMAGE: np.zeros((SIDE, SIDE), np.uint8)}, "uint8 [H, W, 3] is needed"),
        ({IMAGE: np.zeros((48, SIDE, 3), np.uint8)}, "is 48x64, the checkpoint wants 64x64"),
        ({STATE: np.zeros(5, np.float32)}, "observation.state: has shape [5]; [6] is needed"),
    ],
)
def test_a_wrong_observation_is_named(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    policy = loaded(tiny_checkpoint(tmp_path, "act"))
    with pytest.raises(ValueError, match=re.escape(text)):
        policy.predict_action_chunk({**observation(1), **change})


@needs_lerobot
def test_closed_and_loaded_again_it_says_the_same(tmp_path: Path) -> None:
    policy = loaded(tiny_checkpoint(tmp_path, "act"))
    before = policy.predict_action_chunk(observation(1))
    policy.close()
    policy.close()
    with pytest.raises(RuntimeError, match="not loaded"):
        policy.predict_action_chunk(observation(1))
    policy.load()
    np.testing.assert_array_equal(policy.predict_action_chunk(observation(1)), before)


@needs_lerobot
def test_requirements_of_a_kind_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_stack_policy.lerobot.installed.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="LeRobot's smolvla needs transformers"):
        require_lerobot("smolvla")
