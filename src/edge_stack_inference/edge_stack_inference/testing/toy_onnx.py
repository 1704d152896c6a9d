# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes tiny ONNX files whose outputs are constants, with Ultralytics' metadata: models for tests, without a framework.

Its unit of work is one file. It encodes the few protobuf fields that a runtime needs; field numbers are those of
onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ELEMENT_TYPES = {np.dtype(np.float32): 1, np.dtype(np.float16): 10}


def write_toy_onnx(
    path: Path,
    outputs: Sequence[NDArray[Any]],
    metadata: Mapping[str, Any],
    input_shape: Sequence[int | str] = (1, 3, 64, 96),
    input_dtype: type = np.float32,
) -> Path:
    """Write a model that takes an image and always yields ``outputs``; a str in input_shape is a free side."""
    names = [f"output{index}" for index in range(len(outputs))]
    graph = b"".join(
        _field(1, _field(1, f"constant{i}") + _field(2, name) + _field(4, "Identity"))
        for i, name in enumerate(names)
    )
    graph += _field(2, "toy")
    graph += b"".join(_field(5, _tensor(f"constant{i}", value)) for i, value in enumerate(outputs))
    graph += _field(11, _value("images", np.dtype(input_dtype), input_shape))
    graph += b"".join(_field(12, _value(n, v.dtype, v.shape)) for n, v in zip(names, outputs))
    model = _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 17))
    for key, value in metadata.items():
        model += _field(14, _field(1, key) + _field(2, str(value)))
    path.write_bytes(model)
    return path


def metadata_of(task: str, names: Sequence[str], layout: str = "end2end", **more: Any) -> dict[str, Any]:
    """Return metadata as an Ultralytics export has it."""
    return {
        "task": task,
        "names": dict(enumerate(names)),
        "imgsz": [64, 96],
        "end2end": layout == "end2end",
        "stride": 32,
        **more,
    }


def end2end_rows(*rows: Sequence[float], count: int = 10) -> NDArray[np.float32]:
    """Return an NMS-free output [1, count, width] of these rows, the rest zeros."""
    output = np.zeros((1, count, len(rows[0]) if rows else 6), np.float32)
    for index, row in enumerate(rows):
        output[0, index] = row
    return output


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return encoded + bytes((number,))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, value: NDArray[Any]) -> bytes:
    sides = b"".join(_field(1, side) for side in value.shape)
    return sides + _field(2, _ELEMENT_TYPES[value.dtype]) + _field(8, name) + _field(9, value.tobytes())


def _value(name: str, dtype: np.dtype[Any], shape: Sequence[int | str]) -> bytes:
    sides = b"".join(_field(1, _field(2, s) if isinstance(s, str) else _field(1, s)) for s in shape)
    tensor = _field(1, _ELEMENT_TYPES[dtype]) + _field(2, sides)
    return _field(1, name) + _field(2, _field(1, tensor))
