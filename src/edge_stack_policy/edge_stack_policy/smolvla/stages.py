# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Opens the graphs of an exported SmolVLA: on the CPU by ONNX Runtime, on a GPU by edge_stack_inference.cuda.

Its unit is one graph, a function of named arrays of fixed shapes. What the file expects is compared with policy.json when it
is opened, so that a mixture of two exports is found before the robot moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from edge_stack_core.device import is_cuda, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.smolvla.description import Description

Arrays = Mapping[str, NDArray[Any]]


class Part(Protocol):
    """A graph that is open."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of its inputs, by name."""

    def run(self, feeds: Arrays) -> list[NDArray[Any]]:
        """Return the outputs in the file's order; they stay valid."""

    def close(self) -> None:
        """Free it."""


class CpuPart:
    """ONNX Runtime's CPU provider; threads never spin between runs."""

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise ConfigurationError(
                f"{path}: needs ONNX Runtime: pip install onnxruntime ({error})"
            ) from None
        options = ort.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # noqa: BLE001 (it raises many kinds)
            reason = str(error).strip().split("\n", 1)[0][:200]
            raise ConfigurationError(f"{path}: is no loadable ONNX model: {reason}") from None
        self.shapes = {value.name: tuple(value.shape) for value in self._session.get_inputs()}

    def run(self, feeds: Arrays) -> list[NDArray[Any]]:
        """See Part."""
        outputs: list[NDArray[Any]] = self._session.run(None, dict(feeds))
        return outputs

    def close(self) -> None:
        """See Part."""
        self._session = None


class CudaPart:
    """A CUDA graph on a stream of high priority; the policy node's job has been admitted before it is launched."""

    def __init__(self, path: Path, device: str) -> None:
        from edge_stack_inference.cuda import CudaUnavailable, open_device, open_onnx

        try:
            self._inference = open_onnx(path, open_device(device), "high")
        except CudaUnavailable as error:
            raise ConfigurationError(f"device: {device}: {error}") from None
        self.shapes = {port.name: port.array.shape for port in self._inference.inputs}

    def run(self, feeds: Arrays) -> list[NDArray[Any]]:
        """See Part."""
        return [output.copy() for output in self._inference.run(feeds)]

    def close(self) -> None:
        """See Part."""
        self._inference.close()


def open_part(folder: Path, name: str, description: Description, device: str, threads: int) -> Part:
    """Open a graph of a folder. device: cpu, or cuda:0, ... ConfigurationError names the file and what does not fit."""
    path = folder / description.graphs[name].file
    device = parse_device(device)
    part: CpuPart | CudaPart = CudaPart(path, device) if is_cuda(device) else CpuPart(path, threads)
    check_inputs(str(path), part, description, name)
    return part


def check_inputs(where: str, part: Part, description: Description, name: str) -> None:
    """Compare a graph's inputs with policy.json; if they differ, close it. ConfigurationError begins with `where`."""
    wanted = input_shapes(description)[name]
    wrong = [
        f"{key} {list(part.shapes.get(key, ())) or 'missing'}, not {['?' if side is None else side for side in shape]}"
        for key, shape in wanted.items()
        if len(part.shapes.get(key, ())) != len(shape)
        or any(side not in (None, have) for side, have in zip(shape, part.shapes[key], strict=True))
    ]
    if wrong or set(part.shapes) != set(wanted):
        part.close()
        extra = ", ".join(sorted(set(part.shapes) - set(wanted)))
        raise ConfigurationError(
            f"{where}: does not fit policy.json: "
            + "; ".join(wrong + ([f"unknown inputs {extra}"] if extra else []))
        )


def input_shapes(description: Description) -> dict[str, dict[str, tuple[int | None, ...]]]:
    """Return the inputs of each graph by name; None: a size that policy.json does not know."""
    cameras = len(description.images)
    words = description.language_tokens
    return {
        "vision": {"pixels": (1, 3, description.pixels_height, description.pixels_width)},
        "prefix": {
            "images": (1, cameras * description.image_tokens, None),
            "image_mask": (1, cameras),
            "language": (1, words),
            "language_mask": (1, words),
            "state": (1, description.state_width),
        },
        "denoise": {
            "chunk": (1, description.chunk_size, description.action_width),
            "time_embedding": (1, description.time_width),
            "keys": (None, 1, None, None, None),
            "values": (None, 1, None, None, None),
            "mask": (1, None),
        },
    }


def output_shapes(description: Description) -> dict[str, dict[str, tuple[int | None, ...]]]:
    """Return the outputs of each graph by name, in the file's order; None: a size that policy.json does not know."""
    seen: tuple[int | None, ...] = (None, 1, None, None, None)
    return {
        "vision": {"tokens": (1, description.image_tokens, None)},
        "prefix": {"keys": seen, "values": seen, "mask": (1, None)},
        "denoise": {"velocity": (1, description.chunk_size, description.action_width)},
    }
