# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Captures an ONNX model with ONNX Runtime's CUDA provider, whole or in the slices that it was cut into.

Its unit of work is one .onnx file. Each slice is a session of its own on one stream, with its inputs and outputs bound to
fixed device memory: what crosses from one to the next never leaves the GPU. ONNX Runtime itself captures a session's graph
in its first run, anew in each thread that runs it; it can only do so if all of the model runs on the GPU and all shapes are
fixed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.cuda.captured import CapturedInference, Workspace
from edge_stack_inference.cuda.interface import CudaDevice, CudaUnavailable, Priority, Stream
from edge_stack_inference.splitting import split_model
from edge_stack_inference.splitting.build import ELEMENT_TYPES

PROVIDER = "CUDAExecutionProvider"
_ERRORS_ONLY = 3  # of ONNX Runtime's log severities
_WARM_UPS = 3
# Opens a file on a device and a stream; returns the session, and why it is not captured or "".
OpenSession = Callable[[Path, CudaDevice, Stream], "tuple[Any, str]"]


def cuda_session(path: Path, device: CudaDevice, stream: Stream) -> tuple[Any, str]:
    """
    Open a session that runs on a stream and captures itself; without a graph, and with the reason, where it cannot.

    Raises:
        CudaUnavailable: ONNX Runtime has no CUDA provider, or it does not start.
        ConfigurationError: the file is no model that it loads.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise CudaUnavailable(f"{path}: ONNX Runtime is not installed ({error})") from None
    if PROVIDER not in ort.get_available_providers():
        raise CudaUnavailable(
            f"{path}: onnxruntime has no CUDA provider; install onnxruntime-gpu (./edge setup --with cuda) or choose"
            " device cpu"
        )
    if hasattr(ort, "preload_dlls"):  # finds CUDA and cuDNN where they are Python packages; 1.21 and later
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    note = ""
    for graph in ("1", "0"):
        provider = {
            "device_id": str(device.index),
            "user_compute_stream": str(stream.handle),
            "enable_cuda_graph": graph,
            # On a small computer the GPU's memory is everybody's.
            "arena_extend_strategy": "kSameAsRequested",
        }
        try:
            session = ort.InferenceSession(
                str(path), options, providers=[(PROVIDER, provider), "CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 (it raises many kinds)
            reason = str(error).strip().split("\n", 1)[0][:300]
            if graph == "1" and "graph capture" in reason:
                note = reason
                continue
            raise ConfigurationError(f"{path}: does not load with ONNX Runtime on CUDA: {reason}") from None
        break
    if session.get_providers()[0] != PROVIDER:
        raise CudaUnavailable(
            f"{path}: ONNX Runtime's CUDA provider does not start on {device.name}: CUDA or cuDNN of the version that it was"
            f" built for are missing (onnxruntime {ort.__version__})"
        )
    if note:
        warnings.warn(f"{path}: runs without a CUDA graph, several times slower: {note}", stacklevel=2)
    return session, note


def open_onnx(
    path: str | Path,
    device: CudaDevice,
    priority: Priority = "low",
    max_ms: float = 0.0,
    slices: int = 0,
    open_session: OpenSession = cuda_session,
) -> CapturedInference:
    """
    Open a model and capture it.

    Args:
        path: the .onnx file.
        device: where it runs.
        priority: of its stream, and so of its graphs.
        max_ms: cut it so that no slice takes longer on this device; the first time this takes a while.
        slices: or, into so many slices of about equal time. Neither: it runs whole.
        open_session: see OpenSession.

    Raises:
        CudaUnavailable: something that CUDA needs is missing.
        ConfigurationError: the model does not load, its shapes are not fixed, or it cannot be cut.
    """
    path = Path(path)
    files, plan = [path], None
    if max_ms or slices:
        measure = functools.partial(_measure, device, priority, open_session)
        plan, folder = split_model(path, max_ms, slices, measure=measure, place=device.description)
        files = [folder / model_slice.file for model_slice in plan.slices]
    with Workspace(device, priority) as work:
        opened = [open_session(file, device, work.stream) for file in files]
        sessions = [session for session, _ in opened]
        tensors = _Tensors(work, path)
        bound = [_BoundSession(session, tensors, device) for session in sessions]
        inputs = plan.inputs if plan else [value.name for value in sessions[0].get_inputs()]
        outputs = plan.outputs if plan else [value.name for value in sessions[0].get_outputs()]
        notes = [note for _, note in opened if note]
        inference = work.finish(
            bound,
            [tensors.port(name) for name in inputs],
            [tensors.port(name) for name in outputs],
            plan.metadata if plan else sessions[0].get_modelmeta().custom_metadata_map,
            notes[0] if notes else "",
            plan,
        )
    try:
        # The first run captures.
        for _ in range(_WARM_UPS):
            inference.run({port.name: port.array for port in inference.inputs})
    except Exception as error:
        inference.close()
        raise ConfigurationError(f"{path}: does not run on {device.name}: {error}") from error
    return inference


class _Tensors:
    """The fixed device memory of a model's inputs, outputs, and what crosses between its slices, by name."""

    def __init__(self, work: Workspace, path: Path) -> None:
        self._work, self._path = work, path
        self._known: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}

    def of(self, value: Any) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        """Return address, shape and dtype of a session's input or output."""
        if value.name not in self._known:
            if value.type not in ELEMENT_TYPES:
                raise ConfigurationError(
                    f"{self._path}: {value.name} is a {value.type}, which cannot be bound"
                )
            shape = tuple(value.shape)
            if not all(isinstance(side, int) for side in shape):
                raise ConfigurationError(
                    f"{self._path}: {value.name} has the shape {list(shape)}; a CUDA graph needs fixed sizes: export the"
                    " model with them (dynamic=False)"
                )
            dtype = np.dtype(ELEMENT_TYPES[value.type])
            self._known[value.name] = (self._work.memory(shape, dtype), shape, dtype)
        return self._known[value.name]

    def port(self, name: str) -> Any:
        """Return the port of a tensor that is known."""
        return self._work.port(name, *self._known[name])


class _BoundSession:
    """A session bound to fixed memory: a slice."""

    def __init__(self, session: Any, tensors: _Tensors, device: CudaDevice) -> None:
        import onnxruntime as ort

        self._session = session
        self._binding = session.io_binding()
        self._options = ort.RunOptions()
        # Replays return at once. Older versions of ONNX Runtime wait for the stream all the same, which sleeps as well.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        for values, bind in (
            (session.get_inputs(), self._binding.bind_input),
            (session.get_outputs(), self._binding.bind_output),
        ):
            for value in values:
                address, shape, dtype = tensors.of(value)
                bind(value.name, device.kind, device.index, dtype.type, shape, address)

    def launch(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)


def _measure(
    device: CudaDevice,
    priority: Priority,
    open_session: OpenSession,
    file: Path,
    feeds: Mapping[str, NDArray[Any]],
) -> tuple[float, dict[str, NDArray[Any]]]:
    """Return how long a file takes on a device, ms, and its outputs; see :func:`split_model`."""
    inference = open_onnx(file, device, priority, open_session=open_session)
    try:
        results = inference.run(feeds)
        outputs = {port.name: array.copy() for port, array in zip(inference.outputs, results, strict=True)}
        return sum(inference.measure_ms()), outputs
    finally:
        inference.close()
