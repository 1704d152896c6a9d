# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""An exported SmolVLA without torch: what LeRobot gave for the same inputs, what is not computed twice, broken folders."""

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
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, STATE, Policy
from edge_stack_policy.base import TASK as TASK_KEY
from edge_stack_policy.contract import ImageFeature, plain_contract
from edge_stack_policy.registry import make_policy
from edge_stack_policy.settings import PolicySettings
from edge_stack_policy.smolvla.description import GRAPHS, sha256_of
from edge_stack_policy.smolvla.flow import (
    SCHEDULES,
    Guidance,
    Leftover,
    guidance_weight,
    integrate,
    prefix_weights,
)
from edge_stack_policy.smolvla.images import prepare
from edge_stack_policy.smolvla.runtime import SmolVLARuntime
from edge_stack_policy.smolvla.tokenizer import Tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from edge_stack_policy.testing.micro_smolvla import FOLDER, GOLDEN, IMAGE, TASK, TEXTS, make_case

ROBOT = load_robot(find_robot("so101_sim"))
CLOSE = 2e-5


@pytest.fixture(scope="module")
def golden() -> Any:
    return np.load(FOLDER / GOLDEN)


@pytest.fixture
def runtime() -> Any:
    one = SmolVLARuntime(FOLDER)
    yield one
    one.close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "policy"))


def settings(path: Path = FOLDER, **contract: Any) -> PolicySettings:
    plain = plain_contract(ROBOT)
    images = (ImageFeature(IMAGE, "image_raw"),)
    return PolicySettings(ROBOT, path=str(path), contract=replace(plain, **{"images": images, **contract}))


# ---- what LeRobot gives


def test_a_chunk_is_the_one_that_lerobot_makes_of_the_same_noise(
    runtime: SmolVLARuntime, golden: Any
) -> None:
    case = make_case()
    chunk = runtime.predict({IMAGE: case.image}, case.state, TASK, noise=case.noise)
    np.testing.assert_allclose(chunk, golden["chunk"], atol=CLOSE)


def test_a_chunk_that_goes_on_is_the_one_of_lerobots_real_time_chunking(
    runtime: SmolVLARuntime, golden: Any
) -> None:
    case = make_case()
    chunk = runtime.predict({IMAGE: case.image}, case.state, TASK, case.leftover, case.delay, case.noise)
    np.testing.assert_allclose(chunk, golden["guided"], atol=CLOSE)
    assert np.max(np.abs(golden["guided"] - golden["chunk"])) > 0.1, "the guidance does something"


def test_images_are_scaled_and_padded_as_by_lerobot(golden: Any) -> None:
    np.testing.assert_allclose(prepare(make_case().image, 40, 32), golden["pixels"], atol=CLOSE)


def test_instructions_become_the_tokens_that_lerobots_tokenizer_gives(golden: Any) -> None:
    tokenizer = Tokenizer(FOLDER / "tokenizer.json")
    assert [str(tokenizer.encode(text)) for text in TEXTS] == list(golden["tokens"])


@given(st.text(max_size=40))
def test_any_text_can_be_said(text: str) -> None:
    assert all(0 <= number < 512 for number in Tokenizer(FOLDER / "tokenizer.json").encode(text))


# ---- flow and guidance


@given(st.sampled_from(SCHEDULES), st.integers(0, 60), st.integers(0, 60), st.integers(1, 50))
def test_the_hold_is_whole_up_to_the_delay_and_fades_to_nothing(
    schedule: str, start: int, end: int, total: int
) -> None:
    weights = prefix_weights(schedule, start, end, total)
    assert weights.shape == (total,)
    assert np.all(weights[: min(start, end)] == 1.0) and np.all(weights[end:] == 0.0)
    assert np.all(np.diff(weights) <= 0.0)


def test_the_correction_is_bounded_and_weakest_half_way() -> None:
    weights = [guidance_weight(1.0 - step / 10.0, 5.0) for step in range(11)]
    assert weights[0] == weights[9] == 5.0 and weights[5] == pytest.approx(2.0)
    assert min(weights[:10]) == weights[5]


def test_where_it_is_held_a_chunk_becomes_the_leftover() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 6, 2)).astype(np.float32)
    wish = np.ones((1, 6, 2), dtype=np.float32)
    leftover = Leftover(np.full((6, 2), 3.0, dtype=np.float32), delay=3, horizon=3)

    def towards_wish(chunk: Any, step: int) -> Any:
        return (chunk - wish) / np.float32(1.0 - step / 10.0)

    chunk = integrate(towards_wish, noise, 10, Guidance(max_weight=10.0), leftover)
    free = integrate(towards_wish, noise, 10)
    np.testing.assert_allclose(free, wish, atol=1e-5)
    np.testing.assert_allclose(chunk[0, 3:], wish[0, 3:], atol=1e-5)
    assert np.all(np.abs(chunk[0, :3] - 3.0) < np.abs(free[0, :3] - 3.0))


# ---- what is not computed twice


def test_a_camera_that_shows_the_same_again_is_not_looked_at_again(runtime: SmolVLARuntime) -> None:
    case = make_case()
    first = runtime.predict({IMAGE: case.image}, case.state, TASK)
    assert runtime.ms["vision"] > 0.0
    again = runtime.predict({IMAGE: case.image.copy()}, case.state, TASK)
    assert runtime.ms["vision"] == 0.0
    np.testing.assert_array_equal(first, again)


def test_an_image_whose_memory_is_used_again_is_seen_anew(runtime: SmolVLARuntime) -> None:
    case = make_case()
    first = runtime.predict({IMAGE: case.image}, case.state, TASK)
    case.image[:] = 255 - case.image
    second = runtime.predict({IMAGE: case.image}, case.state, TASK)
    assert runtime.ms["vision"] > 0.0
    assert not np.array_equal(first, second)


def test_another_instruction_or_state_makes_another_chunk(runtime: SmolVLARuntime) -> None:
    case = make_case()
    chunks = [
        runtime.predict({IMAGE: case.image}, case.state + moved, task)
        for moved, task in ((0.0, TASK), (0.0, "wait"), (1.0, TASK))
    ]
    assert not np.array_equal(chunks[0], chunks[1]) and not np.array_equal(chunks[0], chunks[2])


def test_a_seed_repeats_and_fresh_noise_differs_from_chunk_to_chunk() -> None:
    case = make_case()

    def two(**options: Any) -> list[Any]:
        runtime = SmolVLARuntime(FOLDER, **options)
        return [runtime.predict({IMAGE: case.image}, case.state, TASK) for _ in range(2)]

    fixed, fresh = two(seed=3), two(seed=3, fresh_noise=True)
    np.testing.assert_array_equal(fixed[0], fixed[1])
    np.testing.assert_array_equal(fixed, two(seed=3))
    np.testing.assert_array_equal(fresh, two(seed=3, fresh_noise=True))
    assert not np.array_equal(fresh[0], fresh[1])


# ---- the policy


def test_the_policy_gives_rad_for_a_contract_in_degrees(copy: Path, golden: Any) -> None:
    edit(copy, lambda data: [data[part].update(units="", low=[], high=[]) for part in ("state", "action")])
    plain = plain_contract(ROBOT)
    assert plain.state is not None
    degrees = 180.0 / np.pi
    scale = replace(plain.state.scale, units=("deg",) * 6, scale=(degrees,) * 6)
    policy = make_policy(
        "smolvla",
        settings(copy, state=replace(plain.state, scale=scale), action=replace(plain.action, scale=scale)),
    )
    policy.load()
    case = make_case()
    observation = {IMAGE: case.image, STATE: case.state, TASK_KEY: TASK}
    chunk = policy.predict_action_chunk(observation)
    held = policy.predict_action_chunk(
        {**observation, LEFTOVER: case.leftover / degrees, DELAY_STEPS: case.delay}
    )
    runtime = SmolVLARuntime(copy)
    np.testing.assert_allclose(
        chunk * degrees, runtime.predict({IMAGE: case.image}, case.state, TASK), atol=1e-9
    )
    np.testing.assert_allclose(
        held * degrees,
        runtime.predict({IMAGE: case.image}, case.state, TASK, case.leftover, case.delay),
        atol=1e-4,
    )
    assert isinstance(policy, Policy) and policy.guides_chunks and chunk.shape == (10, 6)
    assert policy.input_features == (IMAGE, STATE)


def test_what_is_missing_or_misshapen_in_an_observation_is_named() -> None:
    policy = make_policy("smolvla", settings())
    policy.load()
    case = make_case()
    good = {IMAGE: case.image, STATE: case.state, TASK_KEY: ""}
    for change, said in (
        ({IMAGE: case.image[..., :2]}, IMAGE),
        ({IMAGE: case.image.astype(np.float32)}, "uint8"),
        ({STATE: case.state[:5]}, r"\[6\] is needed"),
    ):
        with pytest.raises(ValueError, match=said):
            policy.predict_action_chunk({**good, **change})
    for key in (IMAGE, STATE):
        with pytest.raises(ValueError, match=re.escape(key)):
            policy.predict_action_chunk({name: value for name, value in good.items() if name != key})


def test_it_is_freed_by_close_and_usable_after_load() -> None:
    policy = make_policy("smolvla", settings())
    policy.load()
    policy.close()
    policy.close()
    with pytest.raises(RuntimeError, match="not loaded"):
        policy.predict_action_chunk({})
    policy.load()
    case = make_case()
    policy.predict_action_chunk({IMAGE: case.image, STATE: case.state})


def test_a_contract_in_other_units_than_the_exports_is_refused() -> None:
    plain = plain_contract(ROBOT)
    scale = replace(plain.action.scale, units=("deg",) * 6)
    with pytest.raises(ConfigurationError, match=r"action: units: deg; the policy was exported for rad"):
        make_policy("smolvla", settings(action=replace(plain.action, scale=scale))).load()


def test_it_runs_without_torch_and_transformers() -> None:
    code = (
        "import sys; from edge_stack_policy.smolvla.runtime import SmolVLARuntime;"
        f"SmolVLARuntime({str(FOLDER)!r});"
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'lerobot', 'onnx') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "[]"


# ---- broken folders


def edit(folder: Path, change: Any) -> None:
    """Change policy.json."""
    path = folder / "policy.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def refused(folder: Path, *said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_policy("smolvla", settings(folder)).load()
    for text in said:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    "file", ["vision.onnx", "prefix.onnx", "denoise.onnx", "tokenizer.json", "policy.json"]
)
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    refused(copy, file)


@pytest.mark.parametrize("file", ["vision.onnx", "tokenizer.json"])
def test_a_file_that_was_not_exported_with_the_others_is_named(copy: Path, file: str) -> None:
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    refused(copy, file, "sha256")


def test_a_graph_that_does_not_load_is_named(copy: Path) -> None:
    (copy / "denoise.onnx").write_bytes(b"no graph")
    edit(copy, lambda data: data["graphs"]["denoise"].update(sha256=sha256_of(copy / "denoise.onnx")))
    refused(copy, "denoise.onnx", "no loadable ONNX model")


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_of_other_shapes_is_named(copy: Path, name: str) -> None:
    sizes = {"vision": "pixels_height", "prefix": "language_tokens", "denoise": "chunk_size"}
    edit(copy, lambda data: data.update({sizes[name]: data[sizes[name]] + 8}))
    refused(copy, f"{name}.onnx", "does not fit policy.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(format="another"), "format"),
        (lambda data: data.update(format_version=99), "format_version"),
        (lambda data: data.update(chunk_size="ten"), "chunk_size"),
        (lambda data: data.update(chunk_size=True), "chunk_size"),
        (lambda data: data.pop("flow_steps"), "flow_steps"),
        (lambda data: data.update(flow_steps=0), "flow_steps"),
        (lambda data: data.update(surprise=1), "surprise"),
        (lambda data: data.update(images=[]), "images"),
        (lambda data: data.update(state=None), "state"),
        (lambda data: data["action"].update(divisor=[0.0] * 6), "action"),
        (lambda data: data["action"].update(scale=[1.0]), "action.scale"),
        (lambda data: data["action"].update(offset=["x"] * 6), "action: offset"),
        (lambda data: data["graphs"].pop("prefix"), "graphs"),
        (lambda data: data["graphs"]["prefix"].update(file="../../prefix.onnx"), "graphs.prefix.file"),
        (lambda data: data.update(rtc_schedule="COSINE"), "rtc_schedule"),
    ],
)
def test_a_wrong_field_is_named(copy: Path, change: Any, said: str) -> None:
    edit(copy, change)
    refused(copy, "policy.json", said)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\x01"])
def test_a_damaged_description_is_named(copy: Path, text: str) -> None:
    (copy / "policy.json").write_text(text)
    refused(copy, "policy.json")


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    data = json.loads((FOLDER / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "NFC"}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json: has a normalizer"):
        Tokenizer(path)


def test_a_lerobot_checkpoint_in_its_place_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    refused(tmp_path, "policy.json", "./edge export-policy")
    refused(tmp_path / "nowhere", "there is no folder")
