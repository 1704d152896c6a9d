# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Builds SmolVLA without the hub: the full 450M architecture, or a tiny one that trains and runs on one core.

Its unit is one checkpoint folder, as LeRobot writes them, with the backbone's description (configuration, image processor,
tokenizer; no weights) in its subfolder `vlm`. Weights are random: for tests, benchmarks, and training from scratch.

    python -m edge_stack_policy.lerobot.smolvla_offline --size 450m --out DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edge_stack_policy.base import IMAGES, STATE
from edge_stack_policy.contract import ACTION
from edge_stack_policy.lerobot.installed import require_lerobot

VLM_FOLDER = "vlm"
SPECIAL_TOKENS = {
    "bos_token": "<|im_start|>",
    "eos_token": "<end_of_utterance>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|im_end|>",
}
IMAGE_TOKENS = {
    "fake_image_token": "<fake_token_around_image>",
    "image_token": "<image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}
# What a tiny tokenizer learns whole words from; all else is spelled in pieces, down to bytes.
INSTRUCTIONS = (
    "put the red cube in the bin",
    "pick up the green ball and place it on the blue plate",
    "push the yellow block to the left",
    "push the yellow block to the right",
    "stack the small box on the large box",
    "open the drawer, then close it",
    "move back to the home position and wait",
    "touch the orange cylinder with the gripper",
)


@dataclass(frozen=True)
class Architecture:
    """Figures of one size. layers: of the text model that are kept. expert_width: of the action expert, relative."""

    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    layers: int
    vocabulary: int
    vision_hidden: int
    vision_ffn: int
    vision_heads: int
    vision_layers: int
    patch: int
    scale_factor: int
    image_size: int
    expert_width: float
    padded: int
    """Width of the padded state and action."""

    @property
    def image_tokens(self) -> int:
        """Tokens of one camera."""
        return (self.image_size // self.patch // self.scale_factor) ** 2


# 450m: https://huggingface.co/HuggingFaceTB/SmolVLM2-500M-Video-Instruct (config.json) and LeRobot's SmolVLAConfig, which
# keeps 16 of its 32 layers: 450,046,176 parameters.
SIZES = {
    "tiny": Architecture(64, 128, 4, 2, 4, 512, 64, 128, 4, 2, 16, 2, 96, 0.75, 8),
    "450m": Architecture(960, 2560, 15, 5, 16, 49280, 768, 3072, 12, 12, 16, 4, 512, 0.75, 32),
}


class BuiltSmolVLA(NamedTuple):
    """A policy on the CPU in eval mode, and its processors; folder: where they are saved."""

    policy: Any
    preprocessor: Any
    postprocessor: Any
    folder: Path


def build_smolvla(
    folder: str | Path,
    size: str | Architecture = "tiny",
    *,
    cameras: Sequence[str] = ("table",),
    camera_shape: tuple[int, int] = (240, 320),
    image_size: int | None = None,
    chunk_size: int = 50,
    state_dim: int = 6,
    action_dim: int = 6,
    instructions: Sequence[str] = INSTRUCTIONS,
    dataset_stats: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    **config: Any,
) -> BuiltSmolVLA:
    """
    Build a SmolVLA with random weights and save it.

    folder: becomes a LeRobot checkpoint. size: a name in SIZES or figures of your own. cameras: names behind
    `observation.images.`. camera_shape: height and width as the cameras give them. image_size: side of the square that the
    policy scales images to (with padding). instructions: the tokenizer learns their words. dataset_stats: as LeRobot's
    datasets have them, for normalization; without, nothing is normalized. config: further fields of SmolVLAConfig.
    """
    require_lerobot("smolvla")
    import torch
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    figures = SIZES[size] if isinstance(size, str) else size
    side = image_size or figures.image_size
    if side % (figures.patch * figures.scale_factor):
        raise ValueError(f"image_size {side} is no multiple of {figures.patch * figures.scale_factor}")
    folder = Path(folder).resolve()
    vlm = folder / VLM_FOLDER
    write_vlm_folder(vlm, figures, side, instructions)
    small = figures.hidden < SIZES["450m"].hidden
    inputs = {
        IMAGES + camera: PolicyFeature(type=FeatureType.VISUAL, shape=(3, *camera_shape))
        for camera in cameras
    }
    inputs[STATE] = PolicyFeature(type=FeatureType.STATE, shape=(state_dim,))
    fields = {
        "vlm_model_name": str(vlm),
        "load_vlm_weights": False,
        "num_vlm_layers": figures.layers,
        "expert_width_multiplier": figures.expert_width,
        "chunk_size": chunk_size,
        "n_action_steps": chunk_size,
        "resize_imgs_with_padding": (side, side),
        "max_state_dim": max(figures.padded, state_dim),
        "max_action_dim": max(figures.padded, action_dim),
        "pad_language_to": "max_length",  # static shapes
        # Random weights must be trained, all of them.
        "freeze_vision_encoder": not small,
        "train_expert_only": not small,
        "push_to_hub": False,
        "device": "cpu",
        **config,
    }
    settings = SmolVLAConfig(
        input_features=inputs,
        output_features={ACTION: PolicyFeature(type=FeatureType.ACTION, shape=(action_dim,))},
        **fields,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = SmolVLAPolicy(settings)
    policy.eval()
    preprocessor, postprocessor = make_pre_post_processors(settings, dataset_stats=dataset_stats)
    policy.save_pretrained(folder)
    preprocessor.save_pretrained(folder)
    postprocessor.save_pretrained(folder)
    return BuiltSmolVLA(policy, preprocessor, postprocessor, folder)


def write_vlm_folder(
    folder: Path, figures: Architecture, image_size: int, instructions: Sequence[str]
) -> None:
    """Write what AutoConfig, AutoProcessor and AutoTokenizer need in place of a name on the hub."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(figures.vocabulary, instructions)
    tokenizer.save(str(folder / "tokenizer.json"))
    image_token_id = tokenizer.token_to_id(IMAGE_TOKENS["image_token"])
    pad_token_id = tokenizer.token_to_id(SPECIAL_TOKENS["pad_token"])
    tokens = figures.patch * figures.scale_factor
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 8192,
            "padding_side": "right",
            "clean_up_tokenization_spaces": False,
            "extra_special_tokens": IMAGE_TOKENS,
            **SPECIAL_TOKENS,
        },
    )
    image_processor = {
        "do_convert_rgb": True,
        "do_image_splitting": False,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": image_size},
        "processor_class": "SmolVLMProcessor",
        "resample": 1,
        "rescale_factor": 1.0 / 255.0,
        "size": {"longest_edge": image_size},
    }
    _write(
        folder / "preprocessor_config.json",
        {**image_processor, "image_processor_type": "SmolVLMImageProcessor"},
    )
    video_processor = {
        **image_processor,
        "fps": 1,
        "num_frames": 64,
        "video_processor_type": "SmolVLMVideoProcessor",
        "video_sampling": {
            "fps": 1,
            "max_frames": 64,
            "video_size": {"longest_edge": image_size},
        },
    }
    _write(folder / "video_preprocessor_config.json", video_processor)
    _write(
        folder / "processor_config.json",
        {"image_seq_len": (image_size // tokens) ** 2, "processor_class": "SmolVLMProcessor"},
    )
    _write(
        folder / "config.json",
        {
            "model_type": "smolvlm",
            "architectures": ["SmolVLMForConditionalGeneration"],
            "image_token_id": image_token_id,
            "pad_token_id": pad_token_id,
            "scale_factor": figures.scale_factor,
            "tie_word_embeddings": False,
            "text_config": {
                "model_type": "llama",
                "hidden_size": figures.hidden,
                "intermediate_size": figures.ffn,
                "num_attention_heads": figures.heads,
                "num_key_value_heads": figures.kv_heads,
                "head_dim": figures.hidden // figures.heads,
                "num_hidden_layers": figures.layers,
                "vocab_size": figures.vocabulary,
                "max_position_embeddings": 8192,
                "rope_theta": 100000,
                "rms_norm_eps": 1e-05,
                "pad_token_id": pad_token_id,
                "tie_word_embeddings": False,
            },
            "vision_config": {
                "model_type": "smolvlm_vision",
                "hidden_size": figures.vision_hidden,
                "intermediate_size": figures.vision_ffn,
                "num_attention_heads": figures.vision_heads,
                "num_hidden_layers": figures.vision_layers,
                "patch_size": figures.patch,
                "image_size": image_size,
            },
        },
    )


def make_tokenizer(vocabulary: int, instructions: Sequence[str]) -> Any:
    """Return a byte-level BPE tokenizer, built like SmolVLM2's, with whole words for the instructions' words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, 512),
        min_frequency=1,
        show_progress=False,
        special_tokens=list(dict.fromkeys([*SPECIAL_TOKENS.values(), *IMAGE_TOKENS.values()])),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(list(instructions), trainer)
    return tokenizer


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Build one from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--cameras", nargs="+", default=["table"], help="names behind observation.images.")
    parser.add_argument("--image-size", type=int, help="side of the square that images are scaled to")
    parser.add_argument("--chunk-size", type=int, default=50)
    parser.add_argument("--state-dim", type=int, default=6)
    parser.add_argument("--action-dim", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    built = build_smolvla(
        options.out,
        options.size,
        cameras=options.cameras,
        image_size=options.image_size,
        chunk_size=options.chunk_size,
        state_dim=options.state_dim,
        action_dim=options.action_dim,
        seed=options.seed,
    )
    count = sum(parameter.numel() for parameter in built.policy.parameters())
    print(f"{built.folder}: SmolVLA {options.size}, {count:,} parameters")


if __name__ == "__main__":
    main()
