# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tiny LeRobot checkpoints with random weights, for tests; nothing is downloaded. Needs lerobot."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from edge_stack_policy.lerobot.installed import lerobot_version

needs_lerobot = pytest.mark.skipif(
    lerobot_version() is None, reason="lerobot is not installed (./edge setup --with lerobot)"
)
SIDE = 64
# Small enough for one core, complete enough to be of their kind.
CONFIGS: dict[str, dict[str, Any]] = {
    "act": {
        "chunk_size": 12,
        "n_action_steps": 12,
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 32,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
        "latent_dim": 8,
        "pretrained_backbone_weights": None,
    },
    "diffusion": {
        "n_obs_steps": 2,
        "horizon": 16,
        "n_action_steps": 8,
        "down_dims": (16, 32),
        "diffusion_step_embed_dim": 16,
        "spatial_softmax_num_keypoints": 4,
        "crop_shape": None,
        "num_train_timesteps": 4,
        "pretrained_backbone_weights": None,
    },
    "vqbet": {
        "n_obs_steps": 3,
        "n_action_pred_token": 2,
        "action_chunk_size": 5,
        "gpt_n_layer": 1,
        "gpt_n_head": 2,
        "gpt_hidden_dim": 32,
        "gpt_input_dim": 32,
        "gpt_output_dim": 32,
        "vqvae_n_embed": 4,
        "vqvae_embedding_dim": 8,
        "vqvae_enc_hidden_dim": 8,
        "spatial_softmax_num_keypoints": 4,
        "crop_shape": (60, 60),
        "pretrained_backbone_weights": None,
    },
    "tdmpc": {"horizon": 3, "latent_dim": 8, "mlp_dim": 16, "image_encoder_hidden_dim": 8, "use_mpc": False},
}


def tiny_checkpoint(folder: Path, kind: str, **changes: Any) -> Path:
    """Save a policy of one of CONFIGS, with other fields or arguments of `save_policy`."""
    return save_policy(folder, kind, **{**CONFIGS[kind], **changes})


def save_policy(
    folder: Path,
    kind: str,
    *,
    joints: int = 6,
    image: str = "observation.images.table",
    stats: Mapping[str, Mapping[str, Any]] | None = None,
    tokenizer: Path | None = None,
    **fields: Any,
) -> Path:
    """
    Save a policy with random weights that sees one square camera and the joints.

    tokenizer: folder of the one that stands for that on the hub, whose name is saved. fields: of its configuration.
    """
    import torch
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors

    config = make_policy_config(
        kind,
        input_features={
            image: PolicyFeature(type=FeatureType.VISUAL, shape=(3, SIDE, SIDE)),
            "observation.state": PolicyFeature(type=FeatureType.STATE, shape=(joints,)),
        },
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(joints,))},
        device="cpu",
        push_to_hub=False,
        **fields,
    )
    torch.manual_seed(0)
    policy = get_policy_class(kind)(config)
    if kind == "vqbet":
        policy.vqbet.action_head.vqvae_model.discretized.fill_(True)
    with _in_place_of_the_hub(tokenizer):
        processors = make_pre_post_processors(config, dataset_stats=stats)
    for part in (policy, *processors):
        part.save_pretrained(folder)
    return folder


def _in_place_of_the_hub(tokenizer: Path | None) -> AbstractContextManager[Any]:
    """Let every tokenizer be this one, whatever its name."""
    if tokenizer is None:
        return nullcontext()
    from transformers import AutoTokenizer

    local = AutoTokenizer.from_pretrained(tokenizer)
    return patch.object(AutoTokenizer, "from_pretrained", lambda name, **settings: local)


def obedient_smolvla(folder: Path, steps: int = 75) -> Path:
    """Save a SmolVLA that was taught two orders: "turn to the left" (first joint to 1 rad) and "to the right" (-1 rad)."""
    import torch

    from edge_stack_policy.lerobot.smolvla_offline import SIZES, build_smolvla

    small = replace(SIZES["tiny"], layers=2, vision_layers=1)
    built = build_smolvla(folder, small, camera_shape=(SIDE, SIDE), image_size=SIDE, chunk_size=12)
    orders = ["turn to the left", "turn to the right"] * 8
    actions = torch.zeros(len(orders), 12, 6)
    actions[0::2, :, 0], actions[1::2, :, 0] = 1.0, -1.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(built.policy.parameters(), lr=3e-3)
    built.policy.train()
    for _ in range(steps):
        batch = built.preprocessor(
            {
                "observation.images.table": torch.rand(len(orders), 3, SIDE, SIDE),
                "observation.state": torch.randn(len(orders), 6),
                "task": orders,
            }
        )
        loss, _ = built.policy.forward({**batch, "action": actions})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    built.policy.save_pretrained(folder)
    return folder
