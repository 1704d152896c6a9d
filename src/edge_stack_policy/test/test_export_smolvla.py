# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The export of SmolVLA beside LeRobot itself: graphs, real-time chunking, images and tokens are equal; what it refuses."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.smolvla.description import load
from edge_stack_policy.smolvla.flow import SCHEDULES
from edge_stack_policy.smolvla.images import prepare
from edge_stack_policy.smolvla.runtime import SmolVLARuntime
from edge_stack_policy.smolvla.tokenizer import Tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from tiny_lerobot import needs_lerobot

from edge_stack_policy.testing.micro_smolvla import (
    FOLDER,
    IMAGE,
    STATISTICS,
    TASK,
    TEXTS,
    build,
    lerobot_chunk,
    lerobot_pixels,
    make_case,
)

pytestmark = needs_lerobot


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The checkpoint that data/smolvla was exported from: its weights come from a seed."""
    import torch

    torch.set_num_threads(1)
    return build(tmp_path_factory.mktemp("micro") / "checkpoint")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_real_time_chunking_is_lerobots(built: Any, schedule: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "policy"))
    data = json.loads((folder / "policy.json").read_text())
    (folder / "policy.json").write_text(json.dumps({**data, "rtc_schedule": schedule}))
    runtime = SmolVLARuntime(folder)
    for delay, left in ((0, 1), (0, 6), (3, 10), (7, 8)):
        case = make_case(seed=delay + left, delay=delay, left=left)
        mine = runtime.predict({IMAGE: case.image}, case.state, TASK, case.leftover, delay, case.noise)
        np.testing.assert_allclose(
            mine, lerobot_chunk(built, case, guided=True, schedule=schedule), atol=5e-5
        )


@given(st.integers(2, 90), st.integers(2, 90), st.sampled_from([(32, 32), (48, 32)]))
@settings(max_examples=40, deadline=None)
@example(32, 32, (32, 32))
def test_any_image_is_scaled_as_by_lerobot(height: int, width: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if min(int(height / (ratio := max(width / size[1], height / size[0]))), int(width / ratio)) < 1:
        return  # LeRobot itself cannot scale so flat an image
    np.testing.assert_allclose(prepare(image, *size), lerobot_pixels(image, *size), atol=2e-5)


@given(st.text(max_size=60) | st.text("a '\n\tst1é中🤖.,-", max_size=60))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("it's I'LL 'tis '' 12 ab12cd")
@example("\x1c x \x85 y  z ")
@example("<image><|im_end|> <image")
def test_any_text_is_tokenized_as_by_its_library(text: str) -> None:
    from tokenizers import Tokenizer as Original

    path = FOLDER / "tokenizer.json"
    assert Tokenizer(path).encode(text) == Original.from_file(str(path)).encode(text).ids


@pytest.mark.parametrize(
    "config",
    [
        {
            "empty_cameras": 1,
            "add_image_special_tokens": True,
            "prefix_length": 40,
            "pad_language_to": "longest",
        },
        {
            "attention_mode": "self_attn",
            "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "MIN_MAX", "ACTION": "MIN_MAX"},
        },
    ],
    ids=["special tokens, an empty camera, padding", "self-attention, min and max"],
)
def test_other_configurations_are_exported_as_lerobot_runs_them(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    from lerobot.configs.types import NormalizationMode

    from edge_stack_policy.smolvla.export import export

    if "normalization_mapping" in config:
        modes = {kind: NormalizationMode[mode] for kind, mode in config["normalization_mapping"].items()}
        config = {**config, "normalization_mapping": modes}
    build(tmp_path / "checkpoint", **config)
    exported = export(tmp_path / "checkpoint", tmp_path / "out", language_tokens=12, units="rad")
    assert exported.description.parity_max_abs < 1e-5
    assert load(tmp_path / "out") == exported.description
    assert str(tmp_path).encode() not in b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_half_precision_is_checked_against_full_and_nothing_is_written_beyond_the_bound(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_stack_policy.smolvla import export as module

    monkeypatch.setitem(module.BOUNDS, "fp16", 1e-9)
    with pytest.raises(ConfigurationError, match=r"differ from LeRobot by .* for fp16; nothing was written"):
        module.export(built.folder, tmp_path / "out", precision="fp16", runs=1)
    assert list(tmp_path.iterdir()) == []


def on_the_cpu(stages: Any, example: Any) -> Any:
    """Run stages one after the other as the graphs do, and with the shapes that they were captured with."""

    import torch

    def run(feeds: Any) -> Any:
        assert {name: (x.shape, x.dtype) for name, x in feeds.items()} == {
            name: (x.shape, x.dtype) for name, x in example.items()
        }
        with torch.inference_mode():
            tensors = tuple(torch.from_numpy(feeds[name]) for name in example)
            for stage in stages:
                tensors = stage(*tensors)
        return [tensors.numpy()]

    return run


@pytest.mark.parametrize("guided", [False, True])
def test_the_stages_that_are_captured_on_a_gpu_give_what_sample_actions_gives(
    built: Any, guided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_stack_policy.smolvla.capture import captured_sampler

    case = make_case(seed=5, delay=3, left=9)
    eager = lerobot_chunk(built, case, guided=guided)
    monkeypatch.setattr(built.policy.model, "sample_actions", captured_sampler(built.policy, 16, on_the_cpu))
    np.testing.assert_allclose(lerobot_chunk(built, case, guided=guided), eager, atol=2e-5)


def test_on_a_gpu_the_stages_would_neither_leave_it_nor_wait_for_it(built: Any) -> None:
    """What a capture forbids, seen without a GPU: torch's fake tensors have shape and device, and no values to wait for."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from edge_stack_policy.smolvla.capture import captured_sampler

    fake = FakeTensorMode()
    places: set[str] = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            result = call(*args, **kwargs)
            values = tree_leaves((args, kwargs, result))
            places.update(value.device.type for value in values if isinstance(value, torch.Tensor))
            places.update(value.type for value in values if isinstance(value, torch.device))
            return result

    def on_a_gpu(tensor: torch.Tensor) -> torch.Tensor:
        with fake:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda:0")

    def capture(stages: Any, example: Any) -> Any:
        stages = copy.deepcopy(stages)
        for module in (module for stage in stages for module in stage.modules()):
            for name, weight in module.named_parameters(recurse=False):
                setattr(module, name, torch.nn.Parameter(on_a_gpu(weight), requires_grad=False))
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, on_a_gpu(buffer))
        tensors = tuple(on_a_gpu(torch.from_numpy(value)) for value in example.values())
        with fake, Watch(), torch.no_grad():
            for stage in stages:
                tensors = stage(*tensors)
        assert tensors.shape == example["noise"].shape
        return lambda feeds: [feeds["noise"]]

    captured_sampler(built.policy, 16, capture)
    assert places == {"cuda"}


def test_a_captured_inference_is_used_only_if_it_gives_what_eager_torch_gives(built: Any) -> None:
    import torch

    from edge_stack_policy.smolvla.capture import use_captured

    policy = built.policy
    case = make_case()
    image = torch.from_numpy(case.image).permute(2, 0, 1).float() / 255.0
    batch = built.preprocessor(
        {IMAGE: image, "observation.state": torch.from_numpy(case.state), "task": TASK}
    )
    own = policy.model.sample_actions

    def broken(stages: Any, example: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    assert use_captured(policy, batch, broken) == "operation not permitted when stream is capturing"
    assert "differs from eager torch by" in use_captured(
        policy, batch, lambda stages, example: lambda feeds: [feeds["noise"] + 1.0]
    )
    assert policy.model.sample_actions == own
    assert use_captured(policy, batch, on_the_cpu) == ""
    assert policy.model.sample_actions != own
    policy.model.sample_actions = own


def test_another_policy_and_what_is_no_checkpoint_are_refused(tmp_path: Path) -> None:
    from edge_stack_policy.smolvla.export import export

    with pytest.raises(ConfigurationError, match=r"config\.json: cannot be read"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "config.json").write_text('{"type": "act"}')
    with pytest.raises(ConfigurationError, match="policy of type 'act'; smolvla can be exported"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(ConfigurationError, match="no LeRobot configuration"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "config.json").write_text('{"type": "smolvla"}')
    with pytest.raises(ConfigurationError, match=r"model\.safetensors"):
        export(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_to_write_onnx_is_named(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_stack_policy.lerobot import installed
    from edge_stack_policy.smolvla.export import export

    find = installed.find_spec
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(
        ConfigurationError, match=r"needs onnxscript; install it by \./edge setup --with lerobot"
    ):
        export(built.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_not_replaced(built: Any, tmp_path: Path) -> None:
    from edge_stack_policy.smolvla.export import export

    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(ConfigurationError, match="holds something else than an export"):
        export(built.folder, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


def test_the_command_says_what_is_wrong_and_returns_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from edge_stack_policy.smolvla.export import main

    assert main([str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_the_fixtures_texts_and_statistics_are_those_of_its_golden_values() -> None:
    description = load(FOLDER)
    np.testing.assert_allclose(description.action.offset, STATISTICS["action"]["mean"], atol=1e-6)
    assert len(np.load(FOLDER / "golden.npz")["tokens"]) == len(TEXTS)
