# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""SmolVLA without the hub: the real architecture's size, a tokenizer that spells anything, a checkpoint like any other."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_policy.lerobot.smolvla_offline import (
    IMAGE_TOKENS,
    INSTRUCTIONS,
    SIZES,
    build_smolvla,
    make_tokenizer,
    write_vlm_folder,
)

sys.path.insert(0, str(Path(__file__).parent))
from tiny_lerobot import needs_lerobot

pytestmark = needs_lerobot


def test_the_full_architecture_has_its_450_million_parameters(tmp_path: Path) -> None:
    import torch
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    write_vlm_folder(tmp_path, SIZES["450m"], 512, INSTRUCTIONS)
    config = SmolVLAConfig(
        vlm_model_name=str(tmp_path),
        load_vlm_weights=False,
        device="cpu",
        input_features={"observation.state": PolicyFeature(type=FeatureType.STATE, shape=(6,))},
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(6,))},
    )
    with torch.device("meta"):  # shapes alone, no memory
        policy = SmolVLAPolicy(config)
    assert sum(parameter.numel() for parameter in policy.parameters()) == 450_046_176
    assert SIZES["450m"].image_tokens == 64


def test_the_tiny_one_is_a_checkpoint_with_its_backbone_beside_it(tmp_path: Path) -> None:
    from lerobot.policies.factory import get_policy_class

    built = build_smolvla(
        tmp_path / "tiny", cameras=("table", "wrist"), chunk_size=9, state_dim=7, action_dim=3
    )
    assert sum(parameter.numel() for parameter in built.policy.parameters()) < 1_000_000
    again = get_policy_class("smolvla").from_pretrained(tmp_path / "tiny")
    assert list(again.config.image_features) == ["observation.images.table", "observation.images.wrist"]
    assert (again.config.chunk_size, again.config.action_feature.shape) == (9, (3,))
    before, after = built.policy.state_dict(), again.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


def test_the_same_seed_gives_the_same_weights_and_the_callers_randomness_stays(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    first = build_smolvla(tmp_path / "a", seed=1).policy.state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn
    second = build_smolvla(tmp_path / "b", seed=1).policy.state_dict()
    other = build_smolvla(tmp_path / "c", seed=2).policy.state_dict()
    assert all((first[name] == second[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_an_image_size_that_does_not_divide_into_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image_size 100 is no multiple of 32"):
        build_smolvla(tmp_path, image_size=100)


def test_known_words_are_one_token_and_pictures_have_their_own() -> None:
    tokenizer = make_tokenizer(512, INSTRUCTIONS)
    assert len(tokenizer.encode(INSTRUCTIONS[0]).ids) <= 10
    assert all(tokenizer.token_to_id(token) is not None for token in IMAGE_TOKENS.values())
    assert tokenizer.get_vocab_size() <= 512


@cache
def shared_tokenizer() -> Any:
    return make_tokenizer(512, INSTRUCTIONS)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40))
def test_any_instruction_can_be_spelled(text: str) -> None:
    tokenizer = shared_tokenizer()
    if not any(token in text for token in IMAGE_TOKENS.values()):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
