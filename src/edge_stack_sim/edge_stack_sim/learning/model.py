# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A SmolVLA that is small enough for one core, and how it is taught.

Its unit of work is one batch. The policy is LeRobot's class as it is; what is added here serves the training alone and is
thrown away after it: heads that say where things are, from the image's tokens (`SightHead`) and at each layer of the text
model (`AttentionHead`). Without them imitation has to find out by itself that a few pixels matter, and does not within an
hour on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lerobot.policies.smolvla.modeling_smolvla import make_att_2d_masks
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_stack_policy.base import IMAGES, STATE
from edge_stack_policy.contract import ACTION
from edge_stack_policy.lerobot.smolvla_offline import Architecture, BuiltSmolVLA, build_smolvla
from edge_stack_sim.learning.demonstrations import HORIZON, IMAGE_SIDE, POINTS
from edge_stack_sim.scene import CAMERA, OBJECTS

INSTRUCTIONS = tuple(f"put the {name.replace('_', ' ')} on the mark" for name in OBJECTS)
PATCH = 20  # px; an object is as large as half a patch
GRID = IMAGE_SIDE // PATCH
CELLS = GRID * GRID
LANGUAGE_TOKENS = 12
FLOW_STEPS = 5

ARCHITECTURE = Architecture(
    hidden=128,
    ffn=256,
    heads=4,
    kv_heads=2,
    layers=3,
    vocabulary=512,
    vision_hidden=128,
    vision_ffn=256,
    vision_heads=4,
    vision_layers=2,
    patch=PATCH,
    scale_factor=1,
    image_size=IMAGE_SIDE,
    expert_width=0.75,
    padded=6,
)

Statistics = Mapping[str, Mapping[str, NDArray[np.float32]]]


class PrefixFeatures(NamedTuple):
    """
    What the actions are made from.

    layers: the text model's tokens after each layer, the last one first [B, T, D]. mask: [B, T]. cache: keys and values.
    """

    layers: tuple[Tensor, ...]
    mask: Tensor
    cache: Any


class SightHead(nn.Module):
    """
    For each image token: whether the middle of each of POINTS is in its cell, and where it is.

    All linear in the token, so that a single look of the text model's attention takes a place up as it is. Bearing and
    radius are what the arm's joints follow from.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 5 * len(POINTS)))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [B, CELLS, P, 5]: a logit; x, y from the cell's middle in cells; bearing and radius, normalized."""
        found: Tensor = self.layers(tokens).unflatten(-1, (len(POINTS), 5))
        return found


class AttentionHead(nn.Module):
    """For each image token of a layer: whether the object that is asked for is in its cell, and whether the mark is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2))

    def forward(self, layer: Tensor) -> Tensor:
        """Return logits [B, CELLS, 2]."""
        found: Tensor = self.layers(layer[:, :CELLS])
        return found


class Student(nn.Module):
    """The policy and its heads. Images are uint8 [B, side, side, 3]; states and chunks are normalized."""

    def __init__(self, folder: Path, statistics: Statistics, seed: int = 0) -> None:
        super().__init__()
        self.built = build(folder, statistics, seed)
        self.policy = self.built.policy
        self.policy.requires_grad_(True)
        self.sight = SightHead(ARCHITECTURE.vision_hidden)
        self.attention = AttentionHead(ARCHITECTURE.hidden)
        self.register_buffer("words", _tokens(self.built, "tokens"), persistent=False)
        self.register_buffer("words_mask", _tokens(self.built, "attention_mask"), persistent=False)
        vlm = self.policy.model.vlm_with_expert.get_vlm_model()
        self.eyes = (vlm.vision_model, vlm.connector)
        self.text = vlm.text_model

    def look(self, images: Tensor) -> Tensor:
        """Return image tokens [B, CELLS, D]."""
        pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        tokens: Tensor = self.policy.model.vlm_with_expert.embed_image(pixels)
        return tokens

    def level_eyes(self, images: Tensor) -> None:
        """
        Scale the image's tokens to the text model's unit variance.

        The text model adds to its tokens, and what it adds is about one. Image tokens that are ten times as large, as they
        come out of learning to see, can as good as never take up what the instruction asks for.
        """
        with torch.no_grad():
            size = self.look(images).float().std() * ARCHITECTURE.hidden**0.5
            self.eyes[1].modality_projection.proj.weight /= size

    def read(self, tokens: Tensor, targets: Tensor, states: Tensor) -> PrefixFeatures:
        """Go through the text model: image tokens [B, CELLS, D], index of the instruction [B], states [B, 6]."""
        model = self.policy.model
        layers: dict[int, Tensor] = {}
        blocks = self.text.layers
        hooks = [
            block.input_layernorm.register_forward_pre_hook(
                lambda _, inputs, number=number: layers.__setitem__(number, inputs[0])
            )
            for number, block in enumerate(blocks)
            if number > 0
        ]
        embed_image = model.vlm_with_expert.embed_image
        model.vlm_with_expert.embed_image = lambda images: images
        try:
            there = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
            embedded, mask, kinds = model.embed_prefix(
                [tokens.float()], [there], self.words[targets], self.words_mask[targets], state=states
            )
            out, cache = model.vlm_with_expert.forward(
                attention_mask=make_att_2d_masks(mask, kinds),
                position_ids=torch.cumsum(mask, 1) - 1,
                past_key_values=None,
                inputs_embeds=[embedded, None],
                use_cache=True,
            )
        finally:
            model.vlm_with_expert.embed_image = embed_image
            for hook in hooks:
                hook.remove()
        return PrefixFeatures((out[0], *(layers[number] for number in sorted(layers))), mask, cache)

    def flow_error(self, prefix: PrefixFeatures, chunks: Tensor, draws: int) -> Tensor:
        """Return squared errors of the flow [B * draws, H, A] at random times; the prefix is computed once for all draws."""
        wanted = chunks.repeat_interleave(draws, 0)
        noise = torch.randn_like(wanted)
        time = self.policy.model.sample_time(len(wanted), wanted.device).to(wanted.dtype)
        at = time[:, None, None]
        velocity = self.policy.model.denoise_step(
            x_t=at * noise + (1.0 - at) * wanted,
            prefix_pad_masks=prefix.mask.repeat_interleave(draws, 0),
            past_key_values=_repeated(prefix.cache, draws),
            timestep=time,
        )
        error: Tensor = (noise - wanted - velocity.float()) ** 2
        return error

    @torch.no_grad()
    def act(self, prefix: PrefixFeatures, noise: Tensor) -> Tensor:
        """Return normalized chunks [B, H, A] that grow from noise of that shape."""
        chunk = noise
        for step in range(FLOW_STEPS):
            time = torch.full((len(noise),), 1.0 - step / FLOW_STEPS, device=noise.device)
            velocity = self.policy.model.denoise_step(
                x_t=chunk, prefix_pad_masks=prefix.mask, past_key_values=prefix.cache, timestep=time
            )
            chunk = chunk - velocity.float() / FLOW_STEPS
        return chunk


def build(folder: Path, statistics: Statistics, seed: int = 0) -> BuiltSmolVLA:
    """Build the untrained policy and save it into a folder, with weights that suit its small width."""
    built = build_smolvla(
        folder,
        ARCHITECTURE,
        cameras=(CAMERA,),
        camera_shape=(IMAGE_SIDE, IMAGE_SIDE),
        image_size=IMAGE_SIDE,
        chunk_size=HORIZON,
        instructions=INSTRUCTIONS,
        dataset_stats={
            key: {name: torch.as_tensor(value) for name, value in values.items()}
            for key, values in statistics.items()
        },
        tokenizer_max_length=LANGUAGE_TOKENS,
        num_steps=FLOW_STEPS,
        seed=seed,
    )
    vlm = built.policy.model.vlm_with_expert
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        # The usual 0.02 suits widths around a thousand; here a layer would as good as not act.
        for part in (vlm.get_vlm_model().text_model, vlm.lm_expert):
            for layer in part.modules():
                if isinstance(layer, nn.Linear):
                    layer.weight.normal_(0.0, layer.in_features**-0.5, generator=generator)
                elif isinstance(layer, nn.Embedding):
                    layer.weight.normal_(0.0, layer.embedding_dim**-0.5, generator=generator)
    return built


def statistics_of(states: NDArray[np.float32], chunks: NDArray[np.float32]) -> Statistics:
    """Return mean, deviation and range of states [N, 6] and chunks [N, H, 6], as LeRobot keeps them."""
    return {STATE: _statistics(states), ACTION: _statistics(chunks.reshape(-1, chunks.shape[-1]))}


def observation(state: NDArray[np.float64], image: NDArray[np.uint8], task: str) -> dict[str, Any]:
    """Return what LeRobot's preprocessor takes."""
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255.0
    return {IMAGES + CAMERA: pixels, STATE: torch.as_tensor(state, dtype=torch.float32), "task": task}


def _statistics(values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {
        "mean": values.mean(0),
        "std": values.std(0) + np.float32(1e-3),
        "min": values.min(0),
        "max": values.max(0),
    }


def _tokens(built: BuiltSmolVLA, part: str) -> Tensor:
    """Return one row for each instruction."""
    blank, still = np.zeros((IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8), np.zeros(6)
    rows: Sequence[Tensor] = [
        built.preprocessor(observation(still, blank, text))[f"observation.language.{part}"]
        for text in INSTRUCTIONS
    ]
    return torch.cat(list(rows))


def _repeated(cache: Any, times: int) -> Any:
    from transformers import DynamicCache

    repeated = DynamicCache()
    for number, layer in enumerate(cache.layers):
        repeated.update(
            layer.keys.repeat_interleave(times, 0), layer.values.repeat_interleave(times, 0), number
        )
    return repeated
