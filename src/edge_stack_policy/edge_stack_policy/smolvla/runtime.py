# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Runs an exported SmolVLA without torch: ONNX graphs, and the flow between them in numpy.

Its unit of work is one chunk, in the units of the checkpoint's data. What did not change since the last chunk is not
computed again: the instruction's tokens, those of a camera whose image is the same, and the prefix if nothing changed.

The noise that a chunk grows from is drawn from the seed once, and is the same for every chunk: a chunk is then a function of
what is seen, so that tests and incidents repeat, and two chunks in a row do not differ by chance alone. LeRobot draws anew
each time; `fresh_noise` does too, from the same seed. A policy that was exported with a noise_scale of 0 grows its chunks
from zero, which is nearer to the mean of what was demonstrated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_stack_policy.smolvla import images as image_preparation
from edge_stack_policy.smolvla.description import GRAPHS, TOKENIZER, Description, load
from edge_stack_policy.smolvla.flow import Floats, Guidance, Leftover, integrate, time_embeddings
from edge_stack_policy.smolvla.stages import Part, open_part
from edge_stack_policy.smolvla.tokenizer import Tokenizer

_INSTRUCTIONS = 16
"""Whose tokens are kept."""


class SmolVLARuntime:
    """
    One exported folder, open. For one thread at a time.

    ms: what each part of the last chunk took, by name: images, vision, prefix, denoise; 0 where it was not run.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        device: str = "cpu",
        threads: int = 1,
        seed: int = 0,
        fresh_noise: bool = False,
        flow_steps: int | None = None,
        open_graph: Callable[[Description, str], Part] | None = None,
    ) -> None:
        """
        Open a folder. threads: of a graph on the CPU, and of OpenCV in this process. flow_steps: other than its own.

        open_graph: opens a graph by its name elsewhere, on a server.

        Raises ConfigurationError that names the file that is wrong.
        """
        folder = Path(folder).expanduser()
        self.description = load(folder)
        d = self.description
        self._tokenizer = Tokenizer(folder / TOKENIZER)
        cv2.setNumThreads(threads)  # its own choice, one a core, doubles the time of a tiny policy's chunk
        self._parts: dict[str, Part] = {}
        try:
            for name in GRAPHS:
                if open_graph is not None:
                    self._parts[name] = open_graph(d, name)
                else:
                    self._parts[name] = open_part(folder, name, d, device, threads)
        except BaseException:
            self.close()
            raise
        self.flow_steps = flow_steps or d.flow_steps
        self._guidance = Guidance(d.rtc_schedule, d.rtc_max_weight, d.rtc_horizon)
        self._times = time_embeddings(self.flow_steps, d.time_width, d.time_min_period, d.time_max_period)
        self._random = np.random.default_rng(seed)
        self._fresh_noise = fresh_noise
        self._noise = self._draw()
        self._words: dict[str, tuple[NDArray[np.int64], Floats]] = {}
        self._seen: dict[str, tuple[NDArray[np.uint8], Floats]] = {}
        self._prefix: tuple[tuple[NDArray[Any], ...], Sequence[NDArray[Any]]] | None = None
        self.ms: dict[str, float] = {}

    def predict(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.floating],
        task: str,
        leftover: NDArray[np.floating] | None = None,
        delay: int = 0,
        noise: Floats | None = None,
    ) -> NDArray[np.float64]:
        """
        Return a chunk [H, A].

        images: uint8 [H, W, 3] RGB by key. state: [S]. leftover: what is left of the running chunk [H', A], all in the
        data's units; delay: how many of it will have been executed when the new one takes over. noise: [1, H, A'] instead
        of its own.
        """
        d = self.description
        self.ms = dict.fromkeys(("images", "vision", "prefix", "denoise"), 0.0)
        tokens, there = self._look(images)
        start = time.perf_counter()
        keys, values, mask = self._attend(tokens, there, self._say(task), self._pad_state(state))
        now = time.perf_counter()
        self.ms["prefix"] = (now - start) * 1e3
        if noise is None:
            noise = self._draw() if self._fresh_noise else self._noise
        chunk = integrate(
            lambda x, step: self._parts["denoise"].run(
                {
                    "chunk": x,
                    "time_embedding": self._times[step : step + 1],
                    "keys": keys,
                    "values": values,
                    "mask": mask,
                }
            )[0],
            noise,
            self.flow_steps,
            self._guidance,
            self._held(leftover, delay),
        )
        self.ms["denoise"] = (time.perf_counter() - now) * 1e3
        return d.action.unnormalized(chunk[0, :, : len(d.action)])

    def forget(self) -> None:
        """Compute everything anew at the next chunk."""
        self._seen.clear()
        self._prefix = None

    def close(self) -> None:
        """Free the graphs."""
        for part in self._parts.values():
            part.close()
        self._parts = {}

    # ---- the parts of one chunk

    def _look(self, images: Mapping[str, NDArray[np.uint8]]) -> tuple[Floats, Floats]:
        """Return the tokens of all cameras [1, C * N, D] and which are there [1, C]."""
        d = self.description
        found: list[Floats] = []
        for image in d.images:
            if image.empty:
                found.append(
                    self._tokens_of(image.key, np.zeros((d.pixels_height, d.pixels_width, 3), np.uint8))
                )
            elif image.key not in images:
                raise ValueError(f"{image.key}: is missing in the observation")
            else:
                found.append(self._tokens_of(image.key, images[image.key]))
        there = np.array([[0.0 if image.empty else 1.0 for image in d.images]], dtype=np.float32)
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1), there

    def _tokens_of(self, key: str, image: NDArray[np.uint8]) -> Floats:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"{key}: is {image.dtype} {list(image.shape)}; uint8 [H, W, 3] is needed")
        known = self._seen.get(key)
        if known is not None and np.array_equal(known[0], image):
            return known[1]
        start = time.perf_counter()
        pixels = image_preparation.prepare(
            image, self.description.pixels_height, self.description.pixels_width
        )
        prepared = time.perf_counter()
        tokens = self._parts["vision"].run({"pixels": pixels})[0]
        self.ms["images"] += (prepared - start) * 1e3
        self.ms["vision"] += (time.perf_counter() - prepared) * 1e3
        self._seen[key] = (image.copy(), tokens)  # the caller may use its memory again
        return tokens

    def _say(self, task: str) -> tuple[NDArray[np.int64], Floats]:
        """Return the tokens of an instruction [1, T] and which are there; LeRobot ends it with a new line."""
        if task not in self._words:
            d = self.description
            numbers = self._tokenizer.encode(task if task.endswith("\n") else task + "\n")[
                : d.language_tokens
            ]
            tokens = np.full((1, d.language_tokens), d.pad_token, dtype=np.int64)
            tokens[0, : len(numbers)] = numbers
            mask = np.zeros(tokens.shape, dtype=np.float32)
            mask[0, : len(numbers)] = 1.0
            while len(self._words) >= _INSTRUCTIONS:
                del self._words[next(iter(self._words))]
            self._words[task] = (tokens, mask)
        return self._words[task]

    def _pad_state(self, state: NDArray[np.floating]) -> Floats:
        d = self.description
        if state.shape != (len(d.state),):
            raise ValueError(f"{d.state.key}: has shape {list(state.shape)}; [{len(d.state)}] is needed")
        padded = np.zeros((1, d.state_width), dtype=np.float32)
        padded[0, : len(d.state)] = d.state.normalized(state)
        return padded

    def _attend(
        self, tokens: Floats, there: Floats, words: tuple[NDArray[np.int64], Floats], state: Floats
    ) -> Sequence[NDArray[Any]]:
        given: tuple[NDArray[Any], ...] = (tokens, *words, state)
        if self._prefix is not None and all(
            a is b or np.array_equal(a, b) for a, b in zip(self._prefix[0], given, strict=True)
        ):
            return self._prefix[1]
        result = self._parts["prefix"].run(
            {
                "images": tokens,
                "image_mask": there,
                "language": words[0],
                "language_mask": words[1],
                "state": state,
            }
        )
        self._prefix = (given, result)
        return result

    def _held(self, leftover: NDArray[np.floating] | None, delay: int) -> Leftover | None:
        if leftover is None or not len(leftover):
            return None
        d = self.description
        rows = leftover[: d.chunk_size]
        delay = min(max(delay, 0), len(rows))
        # Beyond the delay the old chunk must fade out, not end: as far again, and never less than the policy's own choice.
        return Leftover(d.action.normalized(rows), delay, min(len(rows), max(d.rtc_horizon, 2 * delay)))

    def _draw(self) -> Floats:
        d = self.description
        noise = self._random.standard_normal((1, d.chunk_size, d.action_width))
        return (noise * d.noise_scale).astype(np.float32)
