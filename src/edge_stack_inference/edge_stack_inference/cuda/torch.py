# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Captures PyTorch modules as CUDA graphs, one a stage, on a stream of a chosen priority. PyTorch is imported when asked for.

Its unit of work is a list of stages, each called with what the one before returned. A graph keeps the priority of the stream
that it was captured on, whatever stream it is replayed on, so all are captured and replayed on the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_inference.cuda.captured import CapturedInference, Workspace
from edge_stack_inference.cuda.interface import CudaDevice, CudaUnavailable, Priority

_WARM_UPS = 3


def capture_torch(
    stages: Sequence[Callable[..., Any]],
    example: Mapping[str, NDArray[Any]],
    device: CudaDevice,
    priority: Priority = "low",
) -> CapturedInference:
    """
    Capture stages that follow one another, such as the children of a torch.nn.Sequential.

    Args:
        stages: on the device, ready for inference. Each takes the tensors that the one before returned, one or a tuple, and
            always does the same: no shapes or branches that depend on values, no waiting for the GPU.
        example: inputs of the first stage by name, in its order; their shapes and types are those of every run.
        device: where the stages are.
        priority: of the stream.

    Returns:
        The inference; its outputs are named output0, output1, ... and have numpy's types (no bfloat16: end with .float()).

    Raises:
        CudaUnavailable: PyTorch is not installed or has no CUDA.
    """
    try:
        import torch
    except ImportError as error:
        raise CudaUnavailable(f"{device.name}: PyTorch is not installed ({error})") from None
    if not torch.cuda.is_available():
        raise CudaUnavailable(
            f"{device.name}: this PyTorch ({torch.__version__}) has no CUDA, or finds no GPU"
        )
    place = torch.device("cuda", device.index)
    with Workspace(device, priority) as work:
        stream = torch.cuda.ExternalStream(work.stream.handle, device=place)
        with torch.inference_mode(), torch.cuda.device(place):
            given = tuple(
                torch.from_numpy(np.ascontiguousarray(array)).to(place) for array in example.values()
            )
            # What libraries set up at their first call must not be captured.
            stream.wait_stream(torch.cuda.current_stream(place))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    tensors = given
                    for stage in stages:
                        tensors = _as_tuple(stage(*tensors))
            stream.synchronize()
            # They run in this order only, so they can share memory.
            pool = torch.cuda.graph_pool_handle()
            slices = []
            tensors = given
            for stage in stages:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=pool, stream=stream):
                    tensors = tuple(tensor.contiguous() for tensor in _as_tuple(stage(*tensors)))
                # The tensors are kept: their memory is the next graph's input.
                slices.append(_TorchGraph(torch, graph, stream, tensors))
        inputs = [
            work.port(name, tensor.data_ptr(), array.shape, array.dtype)
            for (name, array), tensor in zip(example.items(), given, strict=True)
        ]
        outputs = [
            work.port(f"output{index}", tensor.data_ptr(), tuple(tensor.shape), _numpy_type(torch, tensor))
            for index, tensor in enumerate(tensors)
        ]
        # Its inputs live as long as it does.
        slices[0].keep(given)
        return work.finish(slices, inputs, outputs)


class _TorchGraph:
    """A captured stage: a slice."""

    def __init__(self, torch: Any, graph: Any, stream: Any, tensors: tuple[Any, ...]) -> None:
        self._torch, self._graph, self._stream = torch, graph, stream
        self._kept = [tensors]

    def keep(self, tensors: tuple[Any, ...]) -> None:
        self._kept.append(tensors)

    def launch(self) -> None:
        with self._torch.cuda.stream(self._stream):
            self._graph.replay()


def _as_tuple(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _numpy_type(torch: Any, tensor: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = torch.empty(0, dtype=tensor.dtype).numpy().dtype
    return dtype
