# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
OpenVINO on the CPU: about 1.6 times as fast as ONNX Runtime on x86 cores with AMX or AVX-512, where it is installed.

Its unit of work is one run of one compiled model. It opens Ultralytics' OpenVINO export (the folder or its .xml) and
.onnx files, and uses as many threads as it is told, not pinned to cores. It computes in the precision that the
processor is fastest at (bfloat16 where there is hardware for it), so scores differ from float32 in the third digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from numpy.typing import NDArray

from edge_stack_inference.engines.base import ModelError

__all__ = ["OpenVinoEngine"]


class OpenVinoEngine:
    """Runs a model with OpenVINO's CPU plugin."""

    name: ClassVar[str] = "openvino"
    suffixes: ClassVar[tuple[str, ...]] = (".xml", "_openvino_model", ".onnx")

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._request: Any = None
        self._outputs = 0
        self._dtype: np.dtype[Any] = np.dtype(np.float32)

    def open(self, path: Path, threads: int) -> Mapping[str, Any]:
        """Load the file; see :meth:`Engine.open <edge_stack_inference.engines.base.Engine.open>`."""
        try:
            import openvino
        except ImportError as error:
            raise ModelError(
                f"{path}: engine openvino needs OpenVINO: pip install openvino ({error})"
            ) from None
        file = path
        if path.is_dir():
            files = sorted(path.glob("*.xml"))
            if len(files) != 1:
                raise ModelError(f"{path}: holds {len(files)} .xml files; an OpenVINO export has one")
            file = files[0]
        core = openvino.Core()
        try:
            model = core.read_model(str(file))
            compiled = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": threads,
                    "NUM_STREAMS": 1,
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except Exception as error:  # noqa: BLE001 (whatever it is, the file is no use)
            raise ModelError(f"{path}: {_why(file, str(error))}") from None
        if len(compiled.inputs) != 1:
            raise ModelError(
                f"{path}: has {len(compiled.inputs)} inputs; one image [1, 3, height, width] is needed"
            )
        self._request = compiled.create_infer_request()
        self._outputs = len(compiled.outputs)
        self._dtype = np.dtype(compiled.inputs[0].get_element_type().to_dtype())
        metadata = _metadata(model, file)
        shape = compiled.inputs[0].get_partial_shape()
        if shape.is_static:
            metadata["input_shape"] = tuple(int(side) for side in shape.to_shape())
        return metadata

    def run(self, tensor: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        """Run the model once; see :meth:`Engine.run <edge_stack_inference.engines.base.Engine.run>`."""
        self._request.infer({0: tensor.astype(self._dtype, copy=False)}, share_inputs=True)
        return [self._request.get_output_tensor(index).data for index in range(self._outputs)]

    def close(self) -> None:
        """Free the compiled model."""
        self._request = None


def _metadata(model: Any, file: Path) -> dict[str, Any]:
    """Read metadata.yaml beside an OpenVINO export, or what the model itself carries from its ONNX file."""
    beside = file.parent / "metadata.yaml"
    if file.suffix.lower() == ".xml" and beside.is_file():
        try:
            loaded = yaml.safe_load(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ModelError(f"{beside}: cannot be read: {error}") from None
        if not isinstance(loaded, dict):
            raise ModelError(f"{beside}: is not a mapping of metadata")
        return loaded
    if model.has_rt_info(["framework"]):
        framework = model.get_rt_info(["framework"])
        return {str(key): value for key, value in dict(getattr(framework, "value", framework)).items()}
    return {}


def _why(file: Path, text: str) -> str:
    """Say in words what OpenVINO refused, from its long message."""
    if "GatherElements" in text and file.suffix.lower() == ".onnx":
        return (
            "OpenVINO cannot load NMS-free segment, pose and obb models from ONNX (GatherElements); export it with the"
            " dense head or with format=openvino, or use engine: onnxruntime"
        )
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Exception from")
    ]
    return f"not a loadable model, so damaged or of another kind ({(lines or [text])[0][:200]})"
