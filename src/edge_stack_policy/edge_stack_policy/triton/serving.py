# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How a Triton server shall serve a node's model: its config.pbtxt, from the node's class and rate and from the model file.

Its unit of work is one ONNX file. A model's queue is short, drops what waits longer than its result would be of use, and
puts the requests of higher classes first; a critical model has none. With --rate-limit=execution_count the server puts
critical models before essential and background ones, too. Batches are small for essential models, larger for others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.triton.client import PRIORITIES

__all__ = ["ENGINES", "SHA256", "OnnxFile", "Serving", "model_config", "read_onnx", "to_text"]

ENGINES = ("onnxruntime", "python")
"""What runs the file on the server: Triton's ONNX Runtime backend, or the Python one with ONNX Runtime (onnx_model.py)."""

SHA256 = "sha256"
"""The parameter that says which file it is."""
_MODEL_FILE = "model.onnx"
_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}
# Requests in one batch, at most, and how long the first may wait for others: a share of the period, and at most so much, us.
_BATCHES = {"essential": (4, 0.02, 2_000), "background": (8, 0.1, 20_000)}
# The one thing that models of a device share; whoever runs holds it.
_RESOURCE = "device"


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file takes and gives, as (name, data type, shape; -1: any size), and its metadata."""

    path: Path
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    metadata: Mapping[str, str]

    @property
    def batches(self) -> bool:
        """Whether all its first sides are free, so that requests can be joined along them."""
        return all(shape[:1] == (-1,) for _, _, shape in (*self.inputs, *self.outputs))


@dataclass(frozen=True)
class Serving:
    """
    What a node asks of the server.

    priority_class, period_s: the node's. robots: how many use the server. gpus: their numbers; empty: CPU.
    """

    priority_class: str
    period_s: float
    robots: int = 1
    gpus: tuple[int, ...] = ()
    engine: str = "onnxruntime"


def read_onnx(path: Path) -> OnnxFile:
    """Read what a model takes and gives. ConfigurationError if it cannot be served."""
    import onnxruntime as ort

    try:
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (whatever it is, the file is no use)
        raise ConfigurationError(
            f"{path}: not a loadable ONNX model ({str(error).splitlines()[0][:200]})"
        ) from None
    return OnnxFile(
        path,
        tuple(_tensor(path, value) for value in session.get_inputs()),
        tuple(_tensor(path, value) for value in session.get_outputs()),
        dict(session.get_modelmeta().custom_metadata_map),
    )


def _tensor(path: Path, value: Any) -> tuple[str, str, tuple[int, ...]]:
    if value.type not in _TYPES:
        raise ConfigurationError(
            f"{path}: {value.name} is a {value.type}; one of {', '.join(_TYPES)} is needed"
        )
    return (
        value.name,
        _TYPES[value.type],
        tuple(side if isinstance(side, int) else -1 for side in value.shape),
    )


def model_config(name: str, model: OnnxFile, serving: Serving) -> Any:
    """Return the ModelConfig message of a model. Needs tritonclient, whose message it is."""
    from tritonclient.grpc import model_config_pb2 as pb

    config = pb.ModelConfig(name=name, backend=serving.engine, default_model_filename=_MODEL_FILE)
    if serving.engine == "python":
        config.default_model_filename = "model.py"
    config.version_policy.latest.num_versions = 1
    most, share, longest_us = _BATCHES.get(serving.priority_class, (0, 0.0, 0))
    batches = most > 0 and model.batches
    config.max_batch_size = most if batches else 0
    for tensors, into in ((model.inputs, config.input), (model.outputs, config.output)):
        for tensor, data_type, shape in tensors:
            dims = shape[1:] if batches else shape
            into.add(name=tensor, data_type=pb.DataType.Value(data_type), dims=dims)
    if serving.priority_class != "critical":
        # Without batches, too: it is where Triton keeps priorities and the queue's rules. Not for critical models: a request
        # that comes at the moment when the last one ends now and then waits there for 500 ms (seen with 2.51).
        queue = config.dynamic_batching
        queue.priority_levels = len(PRIORITIES)
        queue.default_priority_level = PRIORITIES[serving.priority_class]
        if batches:
            queue.max_queue_delay_microseconds = min(int(share * serving.period_s * 1e6), longest_us)
        rules = queue.default_queue_policy
        rules.timeout_action = pb.ModelQueuePolicy.REJECT
        rules.default_timeout_microseconds = int(serving.period_s * 1e6)
        rules.allow_timeout_override = True  # by a request's own, which is the node's limit
        rules.max_queue_size = 2 * serving.robots  # one that runs out of time, and the next
    group = config.instance_group.add(count=1)
    group.kind = pb.ModelInstanceGroup.KIND_GPU if serving.gpus else pb.ModelInstanceGroup.KIND_CPU
    group.gpus.extend(serving.gpus)
    group.rate_limiter.resources.add(name=_RESOURCE, count=1)
    group.rate_limiter.priority = PRIORITIES[serving.priority_class]
    config.parameters[SHA256].string_value = hashlib.sha256(model.path.read_bytes()).hexdigest()
    for key, value in sorted(model.metadata.items()):
        config.parameters[key].string_value = value
    if not serving.gpus:
        for key in ("intra_op_thread_count", "inter_op_thread_count"):
            config.parameters[key].string_value = "1"
    return config


def to_text(config: Any) -> str:
    """Return a ModelConfig as config.pbtxt has it."""
    from google.protobuf import text_format

    return str(text_format.MessageToString(config, as_utf8=True))
