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
from tiny_lerobot import save_policy

from edge_stack.policies.lerobot.smolvla_offline import (
    INSTRUCTIONS,
    SPECIAL_TOKENS,
    VLM_FOLDER,
    make_tokenizer,
)

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
