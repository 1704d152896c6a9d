# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The three parts of SmolVLA as torch modules of fixed shapes, made of a LeRobot policy's own layers.

vision: pixels [1, 3, S, S] in [-1, 1] -> image tokens [1, N, D]. prefix: the tokens of all cameras, the instruction and the
state -> what the action expert attends to: keys and values [L, 1, K, P, d], and which of its P tokens are there [1, P].
denoise: a noisy chunk [1, H, A] and the embedding of its time [1, E] -> the velocity [1, H, A].

Beside what LeRobot computes once for each flow step, the keys and values of layers that cross-attend are projected for the
expert in the prefix, once for all steps. A batch is always one. LeRobot's math (Apache-2.0, lerobot.policies.smolvla):
rotary embedding in split halves, attention in float32, masks by the lowest float.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_WAVELENGTH = 10_000.0
"""LeRobot's apply_rope takes this one whatever the backbone's configuration says."""


class Layer(NamedTuple):
    """One pair of layers. expert: None where it has none at this depth. cross: whether it attends to the prefix only."""

    vlm: Any
    expert: Any
    cross: bool


class Vision(nn.Module):
    """One camera's image to tokens; the embeddings' positions are taken from a run of the original."""

    def __init__(self, model: Any, side: int) -> None:
        super().__init__()
        vlm = model.vlm_with_expert.get_vlm_model()
        self.vision, self.connector = vlm.vision_model, vlm.connector
        place = self.vision.embeddings.position_embedding.weight.device
        pixels = torch.zeros(1, 3, side, side, device=place)
        patches = side // self.vision.embeddings.patch_size
        found: list[Tensor] = []
        hook = self.vision.embeddings.position_embedding.register_forward_hook(
            lambda _module, _inputs, output: found.append(output.detach())
        )
        try:
            with torch.no_grad():
                self.vision.embeddings(
                    pixels, torch.ones(1, patches, patches, dtype=torch.bool, device=place)
                )
        finally:
            hook.remove()
        self.register_buffer("positions", found[0].reshape(1, patches * patches, -1).clone())

    def forward(self, pixels: Tensor) -> Tensor:
        """Return image tokens [1, N, D], scaled as the prefix wants them."""
        hidden = self.vision.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2) + self.positions
        for layer in self.vision.encoder.layers:
            result = layer(hidden, None)
            hidden = result[0] if isinstance(result, tuple) else result
        tokens: Tensor = self.connector(self.vision.post_layernorm(hidden))
        return tokens * math.sqrt(tokens.shape[-1])


class PrefixGraph(nn.Module):
    """Image tokens, instruction and state to keys and values for the expert."""

    def __init__(self, model: Any, cameras: int, image_tokens: int, language_tokens: int) -> None:
        super().__init__()
        with_expert = model.vlm_with_expert
        self.layers = layers_of(model)
        self.depth = max(index for index, layer in enumerate(self.layers) if layer.expert is not None)
        self.text = with_expert.get_vlm_model().text_model
        self.expert = with_expert.lm_expert
        self.state_proj = model.state_proj
        self.kv_heads = with_expert.num_key_value_heads
        self.head_dim = with_expert.vlm.config.text_config.head_dim
        self.cameras, self.image_tokens = cameras, image_tokens
        start = model.global_image_start_token if model.add_image_special_tokens else torch.zeros(0).long()
        end = model.image_end_token if model.add_image_special_tokens else torch.zeros(0).long()
        place = model.state_proj.weight.device
        self.register_buffer("start", start[None].to(place))
        self.register_buffer("end", end[None].to(place))
        real = cameras * (image_tokens + len(start) + len(end)) + language_tokens + 1
        self.padding = max(0, int(model.prefix_length) - real)
        # Only the state's token is hidden from those before it; padding is masked anyhow.
        blocks = torch.zeros(real + self.padding, device=place)
        blocks[real - 1] = 1.0
        order = blocks.cumsum(0)
        self.register_buffer("visible", (order[None, :] <= order[:, None])[None])

    def forward(
        self, images: Tensor, image_mask: Tensor, language: Tensor, language_mask: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Return keys, values and the mask of the prefix.

        images: [1, C * N, D]. image_mask: float [1, C], 0 where there is no camera. language: int64 [1, T]. language_mask:
        float [1, T]. state: [1, S], normalized and padded.
        """
        embed = self.text.get_input_embeddings()
        embeddings, masks = [], []
        start, end = embed(self.start), embed(self.end)
        for camera in range(self.cameras):
            first = camera * self.image_tokens
            present = image_mask[:, camera : camera + 1]
            embeddings += [start, images[:, first : first + self.image_tokens], end]
            masks += [
                language_mask.new_ones(1, start.shape[1]),
                present.expand(1, self.image_tokens),
                language_mask.new_ones(1, end.shape[1]),
            ]
        words = embed(language)
        embeddings += [words * math.sqrt(words.shape[-1]), self.state_proj(state)[:, None, :]]
        masks += [language_mask, language_mask.new_ones(1, 1)]
        if self.padding:
            embeddings.append(words.new_zeros(1, self.padding, words.shape[-1]))
            masks.append(language_mask.new_zeros(1, self.padding))
        hidden = torch.cat(embeddings, dim=1)
        mask = torch.cat(masks, dim=1)
        positions = mask.cumsum(1) - 1.0
        there = mask > 0.5
        visible = self.visible & there[:, None, :] & there[:, :, None]
        rotation = rope_of(positions, self.head_dim)
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for index, layer in enumerate(self.layers[: self.depth + 1]):
            queries, key, value = project(layer.vlm, hidden, self.head_dim)
            queries, key = rotate(queries, rotation), rotate(key, rotation)
            if layer.expert is not None:
                for kept, tensor, name in ((keys, key, "k_proj"), (values, value, "v_proj")):
                    if layer.cross:
                        linear = getattr(layer.expert.self_attn, name)
                        tensor = linear(tensor.flatten(2)).unflatten(-1, (self.kv_heads, self.head_dim))
                    kept.append(tensor.transpose(1, 2))
            if index < self.depth:  # what the last layer makes of it nobody reads
                attended = attend(queries, key.transpose(1, 2), value.transpose(1, 2), visible)
                hidden = finish(layer.vlm, hidden, attended)
        return torch.stack(keys), torch.stack(values), mask.float()


class Denoise(nn.Module):
    """One step of the flow: the action expert over what the prefix left."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        with_expert = model.vlm_with_expert
        self.layers = [layer for layer in layers_of(model) if layer.expert is not None]
        self.expert = with_expert.lm_expert
        self.head_dim = with_expert.vlm.config.text_config.head_dim
        self.action_in_proj, self.action_out_proj = model.action_in_proj, model.action_out_proj
        self.time_in, self.time_out = model.action_time_mlp_in, model.action_time_mlp_out
        steps = torch.arange(model.config.chunk_size, device=model.state_proj.weight.device)
        self.register_buffer("steps", steps.float()[None])
        self.register_buffer("causal", (steps[None, :] <= steps[:, None])[None])

    def forward(
        self, chunk: Tensor, time_embedding: Tensor, keys: Tensor, values: Tensor, mask: Tensor
    ) -> Tensor:
        """Return the velocity [1, H, A]. time_embedding: [1, E], see `flow.time_embeddings`."""
        actions = self.action_in_proj(chunk.to(self.action_in_proj.weight.dtype))
        time = time_embedding.to(actions.dtype)[:, None, :].expand_as(actions)
        hidden = self.time_out(nn.functional.silu(self.time_in(torch.cat([actions, time], dim=2))))
        there = (mask > 0.5)[:, None, :].expand(1, hidden.shape[1], mask.shape[1])
        both = torch.cat([there, self.causal], dim=2)
        from_start = rope_of(self.steps, self.head_dim)
        after_prefix = rope_of(self.steps + mask.sum(1, keepdim=True), self.head_dim)
        for index, layer in enumerate(self.layers):
            key, value = keys[index], values[index]
            if layer.cross:
                queries = rotate(heads(layer.expert, "q_proj", hidden, self.head_dim), from_start)
                attended = attend(queries, key, value, there)
            else:
                queries, own_key, own_value = project(layer.expert, hidden, self.head_dim)
                queries, own_key = rotate(queries, after_prefix), rotate(own_key, after_prefix)
                key = torch.cat([key, own_key.transpose(1, 2)], dim=2)
                value = torch.cat([value, own_value.transpose(1, 2)], dim=2)
                attended = attend(queries, key, value, both)
            hidden = finish(layer.expert, hidden, attended)
        out = self.expert.norm(hidden).float()
        velocity: Tensor = self.action_out_proj(out.to(self.action_out_proj.weight.dtype))
        return velocity.float()


class Bordered(nn.Module):
    """
    A module of another precision inside: inputs are cast to it, and a single result comes back in float32.

    Keys and values, which only go from graph to graph, stay as they are.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the module returns."""
        result = self.module(*(x.to(self.dtype) if x.is_floating_point() else x for x in inputs))
        return result if isinstance(result, tuple) else result.float()


def layers_of(model: Any) -> list[Layer]:
    """Return pairs of layers in order; as SmolVLMWithExpertModel goes through them."""
    with_expert = model.vlm_with_expert
    vlm, expert = with_expert.get_model_layers(
        [with_expert.get_vlm_model().text_model, with_expert.lm_expert]
    )
    every = with_expert.self_attn_every_n_layers
    crosses = "cross" in with_expert.attention_mode
    return [
        Layer(one, other, crosses and not (every > 0 and index % every == 0))
        for index, (one, other) in enumerate(zip(vlm, expert, strict=True))
    ]


def heads(layer: Any, name: str, normed_or_hidden: Tensor, head_dim: int) -> Tensor:
    """Return one projection of a layer's normed input, [1, T, heads, d]."""
    projected: Tensor = getattr(layer.self_attn, name)(layer.input_layernorm(normed_or_hidden))
    return projected.unflatten(-1, (-1, head_dim))


def project(layer: Any, hidden: Tensor, head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values [1, T, heads, d] of a layer."""
    normed = layer.input_layernorm(hidden)
    attention = layer.self_attn
    queries, keys, values = (
        linear(normed).unflatten(-1, (-1, head_dim))
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    return queries, keys, values


def rope_of(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Return cosine and sine [1, T, 1, d / 2] of positions [1, T]."""
    exponents = (2.0 / head_dim) * torch.arange(head_dim // 2, dtype=torch.float32, device=positions.device)
    radians = positions.float()[..., None] / (_WAVELENGTH**exponents)
    return torch.cos(radians)[:, :, None, :], torch.sin(radians)[:, :, None, :]


def rotate(tensor: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn queries or keys [1, T, heads, d]."""
    cosine, sine = rotation
    first, second = tensor.float().chunk(2, dim=-1)
    turned = torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
    return turned.to(tensor.dtype)


def attend(queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
    """
    Attention of grouped heads: queries [1, T, heads, d] to keys and values [1, K, P, d]; result [1, T, heads * d].

    visible: bool [1, T, P]. Queries that share a key head are laid one after the other instead of copying keys.
    """
    _, count, all_heads, head_dim = queries.shape
    kv_heads = keys.shape[1]
    groups = all_heads // kv_heads
    grouped = queries.transpose(1, 2).reshape(1, kv_heads, groups * count, head_dim)
    weights = torch.matmul(grouped.float(), keys.float().transpose(2, 3)) * head_dim**-0.5
    weights = weights.reshape(1, kv_heads, groups, count, -1)
    weights = torch.where(visible[:, None, None], weights, torch.finfo(torch.float32).min)
    shares = torch.softmax(weights, dim=-1).to(values.dtype).reshape(1, kv_heads, groups * count, -1)
    attended = torch.matmul(shares, values).reshape(1, all_heads, count, head_dim)
    return attended.transpose(1, 2).reshape(1, count, all_heads * head_dim)


def finish(layer: Any, hidden: Tensor, attended: Tensor) -> Tensor:
    """Return a layer's output from what its attention gave."""
    hidden = layer.self_attn.o_proj(attended) + hidden
    result: Tensor = layer.mlp(layer.post_attention_layernorm(hidden)) + hidden
    return result
