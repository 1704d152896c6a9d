# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Models for the contention benchmark: a policy-sized transformer, a long convolutional network, and the YOLO models there are.

Its unit of work is one .onnx file of a wanted duration on this machine, made from a seed. Needs the onnx package.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edge_stack_inference.splitting.build import open_session, time_ms

MODELS_VARIABLE = "EDGE_STACK_BENCH_MODELS"
# Times a model file where it shall run, ms.
Timer = Callable[[Path], float]


@dataclass(frozen=True)
class Size:
    """
    How large a layer is, for a kind of processor.

    tokens, width, heads: of the transformer. channels, side: of the convolutional network. different: layers with weights
    of their own, which then repeat, as the steps of a denoising policy do; 0: all. first: layers of the first two tries.
    """

    tokens: int
    width: int
    heads: int
    channels: int
    side: int
    different: int
    first: tuple[int, int]


FOR_CORES = Size(tokens=128, width=256, heads=4, channels=64, side=128, different=0, first=(2, 6))
# 7 million parameters a layer, so that a file of many layers stays small; on one core one would take a second.
FOR_GPUS = Size(tokens=256, width=768, heads=12, channels=256, side=256, different=4, first=(4, 24))


def policy_model(
    folder: Path, wanted_ms: float, timer: Timer | None = None, size: Size = FOR_CORES
) -> tuple[Path, dict[str, Any]]:
    """Write a transformer of about a wanted duration: an observation of some tokens in, 50 actions of 7 joints out."""
    return _sized(folder / "policy.onnx", _write_transformer, wanted_ms, timer or _time, size)


def long_model(
    folder: Path, wanted_ms: float, timer: Timer | None = None, size: Size = FOR_CORES
) -> tuple[Path, dict[str, Any]]:
    """Write a convolutional network of about a wanted duration, with a skip around each two layers."""
    return _sized(folder / "long.onnx", _write_convolutions, wanted_ms, timer or _time, size)


def yolo_models() -> list[Path]:
    """
    Return the YOLO models to use as background: of a folder named in the environment, or those of the demo.

    The largest come first: they take about equally long, so that counts of inferences compare between configurations.
    """
    if folder := os.environ.get(MODELS_VARIABLE):
        return _largest_first(Path(folder).glob("*.onnx"))
    found = find_spec("edge_stack_ultralytics")
    places = (found.submodule_search_locations or []) if found else []
    return _largest_first(file for place in places for file in Path(place, "weights").glob("*.onnx"))


def _largest_first(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=lambda file: (-file.stat().st_size, file.name))


def feeds_of(session: Any) -> dict[str, np.ndarray]:
    """Return an example of a session's inputs."""
    random = np.random.default_rng(0)
    feeds = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in value.shape]
        feeds[value.name] = random.random(shape).astype(
            np.float16 if value.type == "tensor(float16)" else np.float32
        )
    return feeds


def _sized(
    path: Path, write: Callable[[Path, int, Size], None], wanted_ms: float, timer: Timer, size: Size
) -> tuple[Path, dict[str, Any]]:
    """Find the number of layers by two measurements of a line and a third to correct it; return the file and its figures."""
    taken = []
    for count in size.first:
        write(path, count, size)
        taken.append(timer(path))
    per_layer = max(1e-3, (taken[1] - taken[0]) / (size.first[1] - size.first[0]))
    count = max(1, round(size.first[1] + (wanted_ms - taken[1]) / per_layer))
    write(path, count, size)
    count = max(1, round(count + (wanted_ms - timer(path)) / per_layer))
    write(path, count, size)
    return path, {"file": path.name, "layers": count, "ms": round(timer(path), 2)}


def _time(path: Path) -> float:
    session = open_session(path, 1)
    return time_ms(session, feeds_of(session), 1)


class _Graph:
    """Collects nodes and weights of a model."""

    def __init__(self) -> None:
        import onnx

        self.onnx = onnx
        self.random = np.random.default_rng(7)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._of_layer: dict[int, list[str]] = {}
        self._repeated: list[str] = []
        self._layer: list[str] = []

    def begin_layer(self, layer: int, different: int) -> None:
        """Begin a layer; after so many different ones the first one's weights come again."""
        key = layer % different if different else layer
        self._layer = self._of_layer.setdefault(key, [])
        self._repeated = list(self._layer)

    def weight(self, *shape: int) -> str:
        if self._repeated:
            return self._repeated.pop(0)
        name = f"w{len(self.weights)}"
        values = self.random.standard_normal(shape) / np.sqrt(
            np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        )
        self.weights.append(self.onnx.numpy_helper.from_array(values.astype(np.float32), name))
        self._layer.append(name)
        return name

    def constant(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def save(self, path: Path, shape: list[int], output: str) -> None:
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        given = [helper.make_tensor_value_info("input", kind, shape)]
        result = [helper.make_tensor_value_info(output, kind, None)]
        graph = helper.make_graph(self.nodes, path.stem, given, result, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        self.onnx.save(model, str(path))


def _write_transformer(path: Path, layers: int, size: Size) -> None:
    g = _Graph()
    tokens, width, heads = size.tokens, size.width, size.heads
    split = g.constant(np.array([1, tokens, heads, width // heads], np.int64))
    join = g.constant(np.array([1, tokens, width], np.int64))
    scale = g.constant(np.float32(1.0 / np.sqrt(width / heads)))
    one, zero = g.constant(np.ones(width, np.float32)), g.constant(np.zeros(width, np.float32))
    x = "input"
    for layer in range(layers):
        g.begin_layer(layer, size.different)
        normal = g.add("LayerNormalization", x, one, zero, axis=-1)
        parts = [g.add("Reshape", g.add("MatMul", normal, g.weight(width, width)), split) for _ in range(3)]
        query, value = (g.add("Transpose", part, perm=[0, 2, 1, 3]) for part in (parts[0], parts[2]))
        key = g.add("Transpose", parts[1], perm=[0, 2, 3, 1])
        attention = g.add("Softmax", g.add("Mul", g.add("MatMul", query, key), scale), axis=-1)
        mixed = g.add("Transpose", g.add("MatMul", attention, value), perm=[0, 2, 1, 3])
        x = g.add("Add", x, g.add("MatMul", g.add("Reshape", mixed, join), g.weight(width, width)))
        normal = g.add("LayerNormalization", x, one, zero, axis=-1)
        hidden = g.add("Relu", g.add("MatMul", normal, g.weight(width, 4 * width)))
        x = g.add("Add", x, g.add("MatMul", hidden, g.weight(4 * width, width)))
    mean = g.add("ReduceMean", x, axes=[1], keepdims=0)
    g.save(path, [1, tokens, width], g.add("MatMul", mean, g.weight(width, 350)))


def _write_convolutions(path: Path, layers: int, size: Size) -> None:
    g = _Graph()
    channels = size.channels
    x = g.add("Relu", g.add("Conv", "input", g.weight(channels, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]))
    for layer in range(layers):
        g.begin_layer(layer, size.different)
        inner = g.add("Relu", g.add("Conv", x, g.weight(channels, channels, 3, 3), pads=[1, 1, 1, 1]))
        x = g.add("Add", x, g.add("Conv", inner, g.weight(channels, channels, 1, 1)))
    g.save(path, [1, 3, size.side, size.side], g.add("GlobalMaxPool", x))
