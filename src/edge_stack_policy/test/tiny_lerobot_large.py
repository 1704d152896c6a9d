# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tiny vision-language-action checkpoints beside SmolVLA: pi0, pi0.5, Multi-Task DiT, X-VLA. Nothing is downloaded.

LeRobot writes the widths of PaliGemma into pi0's code. `small_paligemma` makes them small for a test, at building and at
loading, and changes nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tiny_lerobot import SIDE, save_policy

from edge_stack_policy.lerobot.smolvla_offline import INSTRUCTIONS, SPECIAL_TOKENS, VLM_FOLDER, make_tokenizer

WIDTH = 32
VOCABULARY = 512


def small_paligemma(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Make the backbone and the action expert of pi0 or pi05 one layer of 32 numbers."""
    module = import_module(f"lerobot.policies.{kind}.modeling_{kind}")
    sizes = module.GemmaConfig(width=WIDTH, depth=1, mlp_dim=64, num_heads=8, num_kv_heads=1, head_dim=8)
    monkeypatch.setattr(module, "get_gemma_config", lambda variant: sizes)
    backbone, expert = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM

    def small_backbone(config: Any) -> Any:
        config.text_config.vocab_size = VOCABULARY
        config.vision_config.hidden_size = WIDTH
        config.vision_config.intermediate_size = 64
        config.vision_config.num_hidden_layers = 1
        config.vision_config.num_attention_heads = 2
        config.vision_config.projection_dim = WIDTH
        return backbone(config=config)

    def small_expert(config: Any) -> Any:
        config.vocab_size = VOCABULARY
        return expert(config=config)

    monkeypatch.setattr(module, "PaliGemmaForConditionalGenerationWithPiGemma", small_backbone)
    monkeypatch.setattr(module, "PiGemmaForCausalLM", small_expert)


def tiny_pi(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    kind: str,
    *,
    stats: Mapping[str, Mapping[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """Save a pi0 or pi05 with its tokenizer in the subfolder `vlm`."""
    small_paligemma(monkeypatch, kind)
    return save_policy(
        folder,
        kind,
        stats=stats,
        tokenizer=write_tokenizer(folder / VLM_FOLDER),
        chunk_size=24,
        n_action_steps=24,
        max_state_dim=8,
        max_action_dim=8,
        image_resolution=(28, 28),
        **changes,
    )


def write_tokenizer(folder: Path) -> Path:
    """Write what AutoTokenizer needs in place of a name on the hub."""
    folder.mkdir(parents=True)
    make_tokenizer(VOCABULARY, INSTRUCTIONS).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 256, **SPECIAL_TOKENS}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def tiny_multi_task_dit(folder: Path, *, stats: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Save a Multi-Task DiT whose CLIP, with weights, is in the subfolder `vlm`. Its folder must have clip in its name."""
    from transformers import CLIPConfig, CLIPModel

    clip = write_tokenizer(folder / VLM_FOLDER)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": VOCABULARY, "max_position_embeddings": 77}
    vision = {**sizes, "image_size": SIDE, "patch_size": 16}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)).save_pretrained(clip)
    return save_policy(
        folder,
        "multi_task_dit",
        stats=stats,
        vision_encoder_name=str(clip),
        text_encoder_name=str(clip),
        horizon=16,
        n_action_steps=8,
        num_train_timesteps=4,
        hidden_dim=WIDTH,
        num_layers=1,
        num_heads=2,
        timestep_embed_dim=16,
        image_crop_shape=None,
    )


def tiny_xvla(folder: Path) -> Path:
    """Save an X-VLA with its tokenizer in the subfolder `vlm`."""
    sizes = {"d_model": WIDTH, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    text = {**sizes, "vocab_size": VOCABULARY, "max_position_embeddings": 512}
    vision = {
        "embed_dim": [8, 16],
        "num_heads": [1, 2],
        "num_groups": [1, 2],
        "depths": [1, 1],
        "patch_size": [7, 3],
        "patch_stride": [4, 2],
        "patch_padding": [3, 1],
        "patch_prenorm": [False, True],
        "window_size": 4,
        "projection_dim": WIDTH,
    }
    return save_policy(
        folder,
        "xvla",
        tokenizer=write_tokenizer(folder / VLM_FOLDER),
        florence_config={"vision_config": vision, "text_config": text, "image_token_id": VOCABULARY - 1},
        chunk_size=12,
        n_action_steps=12,
        num_denoising_steps=4,
        hidden_size=WIDTH,
        depth=1,
        num_heads=2,
        num_domains=2,
        len_soft_prompts=4,
        action_mode="auto",
        max_action_dim=8,
        resize_imgs_with_padding=(SIDE, SIDE),
    )
