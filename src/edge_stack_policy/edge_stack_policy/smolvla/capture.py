# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
SmolVLA in torch on a GPU, its inference captured once as CUDA graphs: the prefix, and all flow steps with their guidance.

Its unit of work is one chunk, in place of the model's `sample_actions`. The stages are those of the export, so the keys and
values of the prefix are computed once for all steps. Real-time chunking is in the graph: without a chunk to go on from, its
weights are zero. Needs torch and a GPU; only the stages have been run without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_stack_policy.smolvla.flow import guidance_weight, prefix_weights, time_embeddings
from edge_stack_policy.smolvla.graphs import Denoise, PrefixGraph, Vision

BOUND = 1e-2
"""Largest difference from eager torch that is accepted, in the model's units: TF32 rounds to three digits."""
Run = Callable[[Mapping[str, NDArray[Any]]], Sequence[NDArray[Any]]]
"""One run of captured stages: feeds by name to outputs."""


class See(nn.Module):
    """First stage: images, instruction and state to keys, values and mask; hands on what the second needs."""

    def __init__(self, model: Any, cameras: int, side: int, language_tokens: int) -> None:
        super().__init__()
        self.vision = Vision(model, side)
        with torch.no_grad():
            tokens = self.vision(torch.zeros(1, 3, side, side, device=model.state_proj.weight.device))
        self.prefix = PrefixGraph(model, cameras, tokens.shape[1], language_tokens)

    def forward(
        self,
        pixels: Tensor,
        image_mask: Tensor,
        language: Tensor,
        language_mask: Tensor,
        state: Tensor,
        noise: Tensor,
        held: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return (keys, values, mask, noise, held, weights). pixels: [C, 3, S, S]."""
        tokens = torch.cat([self.vision(pixels[i : i + 1]) for i in range(pixels.shape[0])], dim=1)
        return (*self.prefix(tokens, image_mask, language, language_mask, state), noise, held, weights)


class Flow(nn.Module):
    """Second stage: every flow step. The same arithmetic as `flow.integrate`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        self.denoise = Denoise(model)
        self.steps = config.num_steps
        width = model.vlm_with_expert.expert_hidden_size
        times = time_embeddings(self.steps, width, config.min_period, config.max_period)
        self.register_buffer("times", torch.from_numpy(times).to(model.state_proj.weight.device))
        rtc = config.rtc_config
        self.max_weight = float(rtc.max_guidance_weight) if rtc is not None else 0.0

    def forward(
        self, keys: Tensor, values: Tensor, mask: Tensor, noise: Tensor, held: Tensor, weights: Tensor
    ) -> Tensor:
        """Return the chunk [1, H, A]. held: the running chunk, padded, [1, H, A]. weights: [1, H, 1]; zero: not held."""
        chunk = noise
        for step in range(self.steps):
            time = 1.0 - step / self.steps
            velocity = self.denoise(chunk, self.times[step : step + 1], keys, values, mask)
            error = (held - (chunk - time * velocity)) * weights
            chunk = chunk - (velocity - guidance_weight(time, self.max_weight) * error) / self.steps
        return chunk


def captured_sampler(
    policy: Any,
    language_tokens: int,
    capture: Callable[[Sequence[nn.Module], Mapping[str, NDArray[Any]]], Run],
) -> Callable[..., Tensor]:
    """
    Return a function that takes the place of `policy.model.sample_actions` of a LeRobot SmolVLA.

    language_tokens: every instruction is padded to so many. capture: makes one run of stages and an example of their inputs;
    `cuda_capture` on a GPU. A batch of anything but one is refused by a ValueError.
    """
    model, config = policy.model, policy.config
    side = (config.resize_imgs_with_padding or next(iter(config.image_features.values())).shape[1:])[0]
    cameras, shape = len(config.image_features), (1, config.chunk_size, config.max_action_dim)
    example = {
        "pixels": np.zeros((cameras, 3, side, side), np.float32),
        "image_mask": np.ones((1, cameras), np.float32),
        "language": np.zeros((1, language_tokens), np.int64),
        "language_mask": np.ones((1, language_tokens), np.float32),
        "state": np.zeros((1, config.max_state_dim), np.float32),
        "noise": np.zeros(shape, np.float32),
        "held": np.zeros(shape, np.float32),
        "weights": np.zeros((1, config.chunk_size, 1), np.float32),
    }
    stages = (See(model, cameras, side, language_tokens).eval(), Flow(model).eval())
    run = capture(stages, example)

    def sample_actions(
        images: Sequence[Tensor],
        img_masks: Sequence[Tensor],
        lang_tokens: Tensor,
        lang_masks: Tensor,
        state: Tensor,
        noise: Tensor | None = None,
        inference_delay: int | None = None,
        prev_chunk_left_over: Tensor | None = None,
        execution_horizon: int | None = None,
    ) -> Tensor:
        if state.shape[0] != 1:
            raise ValueError(f"a batch of {state.shape[0]}: the captured inference takes one observation")
        given = torch.zeros(1, language_tokens), torch.zeros(1, language_tokens)
        words = min(lang_tokens.shape[1], language_tokens)
        given[0][:, :words], given[1][:, :words] = lang_tokens[:, :words].cpu(), lang_masks[:, :words].cpu()
        held, weights = _held(config, prev_chunk_left_over, inference_delay, execution_horizon)
        feeds = {
            "pixels": torch.cat(list(images)).float().cpu().numpy(),
            "image_mask": torch.stack(list(img_masks), dim=1).float().cpu().numpy(),
            "language": given[0].long().numpy(),
            "language_mask": given[1].numpy(),
            "state": state.float().cpu().numpy(),
            "noise": (model.sample_noise(shape, state.device) if noise is None else noise).cpu().numpy(),
            "held": held,
            "weights": weights,
        }
        return torch.from_numpy(np.array(run(feeds)[0])).to(state.device)

    return sample_actions


def use_captured(
    policy: Any,
    batch: Mapping[str, Any],
    capture: Callable[[Sequence[nn.Module], Mapping[str, NDArray[Any]]], Run],
) -> str:
    """
    Make a LeRobot SmolVLA use its captured inference, if that gives for a batch what eager torch gives.

    batch: one prepared observation. capture: see captured_sampler. Returns "", or why it goes on in eager torch.
    """
    config, model = policy.config, policy.model
    own = model.sample_actions
    noise = model.sample_noise((1, config.chunk_size, config.max_action_dim), model.state_proj.weight.device)
    eager = policy.predict_action_chunk(dict(batch), noise=noise)
    try:
        model.sample_actions = captured_sampler(policy, config.tokenizer_max_length, capture)
        difference = float((policy.predict_action_chunk(dict(batch), noise=noise) - eager).abs().max())
        reason = "" if difference <= BOUND else f"it differs from eager torch by {difference:.2g}"
    except Exception as error:  # noqa: BLE001 (CUDA raises many kinds; whatever it is, eager torch works)
        reason = str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
    if reason:
        model.sample_actions = own
    policy.reset()
    return reason


def cuda_capture(device: str) -> Callable[[Sequence[nn.Module], Mapping[str, NDArray[Any]]], Run]:
    """Return a capture on a GPU, on a stream of high priority. Raises CudaUnavailable when it is used without one."""

    def capture(stages: Sequence[nn.Module], example: Mapping[str, NDArray[Any]]) -> Run:
        from edge_stack_inference.cuda import capture_torch, open_device

        return capture_torch(stages, example, open_device(device), "high").run

    return capture


def _held(
    config: Any, leftover: Tensor | None, delay: int | None, horizon: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the padded leftover and its weights, as LeRobot's RTCProcessor lays them out; zeros where nothing is held."""
    held = np.zeros((1, config.chunk_size, config.max_action_dim), np.float32)
    weights = np.zeros((1, config.chunk_size, 1), np.float32)
    rtc = config.rtc_config
    if leftover is not None and rtc is not None and rtc.enabled:
        rows = leftover.reshape(-1, leftover.shape[-1])[: config.chunk_size].float().cpu().numpy()
        held[0, : rows.shape[0], : rows.shape[1]] = rows
        end = min(horizon or rtc.execution_horizon, len(rows))
        schedule = rtc.prefix_attention_schedule.name
        weights[0, :, 0] = prefix_weights(schedule, delay or 0, end, config.chunk_size)
    return held, weights
