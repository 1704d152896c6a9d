# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes a loaded SmolVLA checkpoint as graphs, tokenizer and policy.json. The folder's layout is described in `description`.

Its unit is one folder. It exports each part of the model as it is traced; whether the result is right is the export's
question, not asked here.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import STATE
from edge_stack_policy.contract import ACTION
from edge_stack_policy.lerobot.checkpoint import EMPTY_CAMERA, Checkpoint
from edge_stack_policy.smolvla import description as files
from edge_stack_policy.smolvla.description import Description, Graph, Image, Vector
from edge_stack_policy.smolvla.tokenizer import Tokenizer

OPSET = 18
TEXTS = (
    "",
    "Pick up the red cube, then put it in the bin!",
    "don't   stop: 3 of 12\n",
    "größer 漢字 🤖 it's",
)
"""Instructions that tokenizer and model are compared with LeRobot for."""
_STATISTICS = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}

Say = Callable[[str], None]


def write_files(
    loaded: Checkpoint, out: Path, precision: str, language_tokens: int | None, units: str, say: Say
) -> Description:
    """
    Write graphs, tokenizer and policy.json into a folder and return what stands in policy.json; its parity is not known yet.

    The arguments are those of `export`. Raises ConfigurationError where the checkpoint has what cannot be written.
    """
    import torch

    from edge_stack_policy.smolvla import graphs

    config, model = loaded.config, loaded.policy.model
    if precision == "fp16":
        model = copy.deepcopy(model)  # what it is compared with keeps its precision
    first_image = next(iter(config.image_features.values())).shape
    width, height = config.resize_imgs_with_padding or (first_image[2], first_image[1])
    if width != height:
        raise ConfigurationError(
            f"{loaded.folder / 'config.json'}: images of {width}x{height}; only squares are known"
        )
    words = language_tokens or config.tokenizer_max_length
    tokenizer, pad_token = _write_tokenizer(loaded, out)
    images = [key for key in config.image_features if EMPTY_CAMERA not in key]
    empty = [key for key in config.image_features if EMPTY_CAMERA in key]
    before = {new: old for old, new in loaded.rename.items()}
    dtype = torch.float16 if precision == "fp16" else torch.float32

    def ready(module: Any) -> Any:
        # Half precision inside, float32 at the borders, but for keys and values, which only go from graph to graph.
        return graphs.Bordered(module.to(dtype), dtype).eval()

    vision = ready(graphs.Vision(model, height))
    with torch.no_grad(), _quiet():
        pixels = torch.zeros(1, 3, height, width)
        tokens = vision(pixels)
        say("exporting vision.onnx")
        _export(vision, {"pixels": pixels}, ("tokens",), out / "vision.onnx")
        cameras = len(images) + len(empty)
        prefix = ready(graphs.PrefixGraph(model, cameras, tokens.shape[1], words))
        feeds = {
            "images": tokens.repeat(1, cameras, 1),
            "image_mask": torch.ones(1, cameras),
            "language": torch.zeros(1, words, dtype=torch.long),
            "language_mask": torch.ones(1, words),
            "state": torch.zeros(1, config.max_state_dim),
        }
        keys, values, mask = prefix(*feeds.values())
        say("exporting prefix.onnx")
        _export(prefix, feeds, ("keys", "values", "mask"), out / "prefix.onnx")
        time_width = model.vlm_with_expert.expert_hidden_size
        feeds = {
            "chunk": torch.zeros(1, config.chunk_size, config.max_action_dim),
            "time_embedding": torch.zeros(1, time_width),
            "keys": keys,
            "values": values,
            "mask": mask,
        }
        say("exporting denoise.onnx")
        _export(ready(graphs.Denoise(model)), feeds, ("velocity",), out / "denoise.onnx")
    rtc = config.rtc_config
    return _saved(
        out,
        images=tuple(
            Image(before.get(key, key), height=shape[1], width=shape[2], empty=key in empty)
            for key, shape in ((key, config.image_features[key].shape) for key in images + empty)
        ),
        state=_vector(loaded, "normalizer_processor", STATE, before.get(STATE, STATE), units),
        action=_vector(loaded, "unnormalizer_processor", ACTION, ACTION, units),
        pixels_height=height,
        pixels_width=width,
        image_tokens=int(tokens.shape[1]),
        language_tokens=words,
        pad_token=pad_token,
        state_width=config.max_state_dim,
        action_width=config.max_action_dim,
        chunk_size=config.chunk_size,
        flow_steps=config.num_steps,
        time_width=time_width,
        time_min_period=config.min_period,
        time_max_period=config.max_period,
        graphs={
            name: Graph(
                f"{name}.onnx", files.sha256_of(out / f"{name}.onnx"), (out / f"{name}.onnx").stat().st_size
            )
            for name in files.GRAPHS
        },
        tokenizer_sha256=files.sha256_of(tokenizer),
        **(
            {}
            if rtc is None
            else {
                "rtc_schedule": rtc.prefix_attention_schedule.name,
                "rtc_max_weight": float(rtc.max_guidance_weight),
                "rtc_horizon": int(rtc.execution_horizon),
            }
        ),
        precision=precision,
        versions={
            name: importlib.metadata.version(name) for name in ("lerobot", "torch", "transformers", "onnx")
        },
    )


def _saved(out: Path, **values: Any) -> Description:
    description = Description(**values)
    description.save(out)
    return description


def _write_tokenizer(loaded: Checkpoint, out: Path) -> tuple[Path, int]:
    """Write tokenizer.json and check that it is read here as LeRobot does; return it and the number of its pad token."""
    step = loaded.step("tokenizer_processor")
    original = getattr(step, "input_tokenizer", None)
    if original is None or not getattr(original, "is_fast", False):
        raise ConfigurationError(f"{loaded.folder}: has no tokenizer that can be saved as {files.TOKENIZER}")
    path = out / files.TOKENIZER
    original.backend_tokenizer.no_padding()
    original.backend_tokenizer.no_truncation()
    original.backend_tokenizer.save(str(path))
    own = Tokenizer(path)
    for text in TEXTS:
        if own.encode(text) != original(text)["input_ids"]:
            raise ConfigurationError(f"{loaded.folder}: its tokenizer is not read as LeRobot does: '{text}'")
    return path, int(original.pad_token_id or 0)


def _vector(loaded: Checkpoint, step: str, key: str, shown_key: str, units: str) -> Vector:
    """Return a feature's normalization as policy.json has it."""
    feature = (loaded.config.output_features if key == ACTION else loaded.config.input_features)[key]
    count = feature.shape[0]
    stats = stats_of(loaded, step).get(key, {})
    mode = norm_map(loaded).get("ACTION" if key == ACTION else "STATE", "IDENTITY")
    offset, divisor, scale = np.zeros(count), np.ones(count), np.ones(count)
    if mode != "IDENTITY" and stats:
        try:
            one, other = (np.asarray(stats[name], dtype=np.float64).ravel() for name in _STATISTICS[mode])
        except KeyError as error:
            raise ConfigurationError(
                f"{loaded.folder}: {key}: normalization {mode} has no statistics {error}"
            ) from None
        eps = float(loaded.step("normalizer_processor").eps)
        if mode == "MEAN_STD":
            offset, divisor, scale = one, other + eps, other
        else:
            divisor = scale = np.where(other == one, eps, other - one) / 2.0
            offset = one + scale
    low, high = loaded.features().ranges.get(shown_key, ((), ()))
    names = getattr(loaded.config, "action_feature_names", None) if key == ACTION else None
    return Vector(
        shown_key,
        tuple(map(float, offset)),
        tuple(map(float, divisor)),
        tuple(map(float, scale)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
        names=tuple(names or ()),
        units=units,
    )


def _export(module: Any, feeds: dict[str, Any], outputs: tuple[str, ...], path: Path) -> None:
    import onnx
    import torch

    torch.onnx.export(
        module,
        tuple(feeds.values()),
        str(path),
        input_names=list(feeds),
        output_names=list(outputs),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        optimize=True,
        verbose=False,
    )
    # The exporter leaves traces of the code and of this machine's paths at every node.
    exported = onnx.load(str(path))
    exported.graph.ClearField("metadata_props")
    for part in (*exported.graph.node, *exported.graph.value_info, *exported.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(exported, str(path))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own messages out of ours."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def norm_map(loaded: Checkpoint) -> dict[str, str]:
    """Return how each kind of feature is normalized, by its name."""
    step = loaded.step("normalizer_processor")
    return {} if step is None else {kind.value: mode.value for kind, mode in step.norm_map.items()}


def stats_of(loaded: Checkpoint, name: str) -> dict[str, Any]:
    """Return the statistics of a (un)normalizing step, by feature."""
    pipeline = loaded.preprocessor if name == "normalizer_processor" else loaded.postprocessor
    step = next((s for s in pipeline.steps if getattr(s, "_registry_name", "") == name), None)
    return dict(getattr(step, "stats", None) or {})
