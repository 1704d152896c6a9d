# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Cuts an ONNX model into slices of bounded time, by measuring.

Its unit of work is one model on this machine: cut by an estimate, measure the slices, correct the estimate, cut again,
until the longest is short enough. The result is kept in a folder keyed by the model's hash, so that it is done once.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.splitting.boundaries import choose_boundaries
from edge_stack_inference.splitting.graph import Chain, GraphSlice
from edge_stack_inference.splitting.plan import ModelSlice, SlicePlan, folders_of, sha256_of

MOST_SLICES = 64
_ROUNDS = 4
# From a model file and its inputs to how long it takes, ms, and its outputs by name.
Measure = Callable[[Path, Mapping[str, np.ndarray]], "tuple[float, dict[str, np.ndarray]]"]
ELEMENT_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def split_model(
    path: Path,
    max_ms: float = 0.0,
    slices: int = 0,
    threads: int = 1,
    measure: Measure | None = None,
    place: str = "",
) -> tuple[SlicePlan, Path]:
    """
    Return a model's plan and its folder, made if it is not there yet.

    Args:
        path: the .onnx file.
        max_ms: no slice shall take longer on this machine, in its processor time.
        slices: or, this many slices of about equal time.
        threads: of each slice's session.
        measure: times a model where its slices shall run; None: on the processor.
        place: where that is, in words; slices of one place are not taken for another.

    Raises:
        ConfigurationError: the model cannot be cut.
    """
    if (max_ms > 0.0) == (slices > 0):
        raise ConfigurationError(f"{path}: give either the longest time of a slice or the number of slices")
    import onnxruntime

    wish = f"{slices}p" if slices else f"{max_ms:g}ms"
    key = f"{sha256_of(path)[:16]}-{wish}-{threads}t-ort{onnxruntime.__version__}"
    key += re.sub(r"[^A-Za-z0-9]+", "-", f" {place}" if place else "")
    folders = folders_of(path, key)
    for folder in folders:
        if folder.is_dir():
            return SlicePlan.read(folder), folder
    problems = []
    for folder in folders:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
        except OSError as error:
            problems.append(f"{folder.parent}: {error.strerror}")
            continue
        try:
            _build(path, scratch, max_ms, slices, measure or functools.partial(_measure_on_cpu, threads))
            scratch.chmod(0o755)
            try:
                os.rename(scratch, folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster: the same
                    raise
            return SlicePlan.read(folder), folder
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    raise ConfigurationError(f"{path}: no folder for its slices can be written: {'; '.join(problems)}")


def open_session(path: Path, threads: int) -> Any:
    """Return an ONNX Runtime session on the CPU whose threads never spin."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _build(path: Path, folder: Path, max_ms: float, slices: int, measure: Measure) -> SlicePlan:
    whole = open_session(path, 1)
    feeds = {value.name: _example(value) for value in whole.get_inputs()}
    whole_ms, wanted = measure(path, feeds)
    simple = folder / "simple.onnx"
    _simplify(path, simple)
    chain = Chain(simple)
    costs, crossing = chain.costs_ms(), chain.crossing_ms()
    count = slices or max(1, int(1.1 * whole_ms / max_ms) + 1)
    best: tuple[float, list[GraphSlice], list[float], float] | None = None
    for _ in range(_ROUNDS if slices else _ROUNDS + 4):
        boundaries = choose_boundaries(costs, crossing, count)
        made = chain.slices(boundaries)
        times, tensors = _measure(made, feeds, folder, measure)
        if best is None or max(times) < best[0]:
            best = (max(times), made, times, max(_difference(tensors[name], wanted[name]) for name in wanted))
        if max_ms and max(times) <= max_ms:
            break
        borders = [0, *boundaries, len(costs)]
        for start, end, measured in zip(borders[:-1], borders[1:], times, strict=True):
            scale = measured / (sum(costs[start:end]) + (crossing[start] if start else 0.0))
            costs[start:end] = [cost * scale for cost in costs[start:end]]
        if max_ms:
            grown = max(count + 1, int(count * min(2.0, max(times) / max_ms)))
            if grown > MOST_SLICES or len(boundaries) + 1 < count:
                break
            count = grown
    assert best is not None
    simple.unlink()
    for file in folder.glob("*.onnx"):
        file.unlink()
    written = []
    import onnx

    for index, (model_slice, ms) in enumerate(zip(best[1], best[2], strict=True)):
        name = f"slice_{index:02d}.onnx"
        onnx.save(model_slice.model, str(folder / name))
        written.append(ModelSlice(name, model_slice.inputs, model_slice.outputs, round(ms, 3)))
    plan = SlicePlan(
        model=path.name,
        sha256=sha256_of(path),
        inputs=tuple(value.name for value in whole.get_inputs()),
        outputs=tuple(value.name for value in whole.get_outputs()),
        whole_ms=round(whole_ms, 3),
        difference=best[3],
        slices=tuple(written),
        metadata=dict(whole.get_modelmeta().custom_metadata_map),
    )
    plan.write(folder)
    return plan


def _simplify(path: Path, target: Path) -> None:
    """Write the model with constants folded, as ONNX Runtime's first optimisations leave it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _measure(
    slices: list[GraphSlice], feeds: dict[str, Any], folder: Path, measure: Measure
) -> tuple[list[float], dict[str, Any]]:
    """Return how long each slice takes, ms, and all tensors that cross a border."""
    import onnx

    tensors, times = dict(feeds), []
    for model_slice in slices:
        file = folder / "measured.onnx"
        onnx.save(model_slice.model, str(file))
        ms, outputs = measure(file, {name: tensors[name] for name in model_slice.inputs})
        times.append(ms)
        tensors.update(outputs)
    return times, tensors


def _measure_on_cpu(
    threads: int, file: Path, feeds: Mapping[str, np.ndarray]
) -> tuple[float, dict[str, np.ndarray]]:
    session = open_session(file, threads)
    names = [value.name for value in session.get_outputs()]
    return time_ms(session, dict(feeds), threads), dict(
        zip(names, session.run(names, dict(feeds)), strict=True)
    )


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.max(np.abs(one.astype(np.float64) - other.astype(np.float64)), initial=0.0))


def time_ms(session: Any, feeds: dict[str, Any], threads: int, runs: int = 7) -> float:
    """Return the time of a session, ms: the middle of a few runs, in processor time where one thread does the work."""
    clock = time.thread_time_ns if threads == 1 else time.perf_counter_ns
    session.run(None, feeds)
    times = []
    for _ in range(runs):
        start = clock()
        session.run(None, feeds)
        times.append(clock() - start)
    return float(np.median(times)) * 1e-6


def _example(value: Any) -> np.ndarray:
    if value.type not in ELEMENT_TYPES:
        raise ConfigurationError(f"input {value.name}: {value.type} cannot be measured")
    shape = [size if isinstance(size, int) else 1 for size in value.shape]
    random = np.random.default_rng(0).random(shape)
    return random.astype(ELEMENT_TYPES[value.type])
