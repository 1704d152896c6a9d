# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Servers of a Triton model repository, for tests: a real Triton where there is one, and a small one of our own.

Ours speaks the same protocol (KServe v2 over gRPC with Triton's extensions, in tritonclient's own messages), reads the same
config.pbtxt and runs the same model.onnx; it has no queues, and can be told to answer wrongly.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: ./edge setup --with triton")
import grpc
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as config_pb
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc
from tritonclient.utils import triton_to_np_dtype

from edge_stack_core.testing import free_port

TRITON = "EDGE_STACK_TRITONSERVER"
"""Names the command that starts a real Triton server with a Python backend that has onnxruntime (docs/triton.md)."""


class KServe(pb_grpc.GRPCInferenceServiceServicer):
    """
    Serves a repository.

    requests: those that came. before: called with each, before it is answered. twist: changes each answer.
    """

    def __init__(self, repository: Path) -> None:
        self.requests: list[Any] = []
        self.before: Callable[[Any], object] = lambda request: None
        self.twist: Callable[[Any], object] = lambda answer: None
        self._configs: dict[str, Any] = {}
        self._sessions: dict[str, ort.InferenceSession] = {}
        for file in repository.glob("*/config.pbtxt"):
            config = text_format.Parse(file.read_text(encoding="utf-8"), config_pb.ModelConfig())
            self._configs[config.name] = config
            self._sessions[config.name] = ort.InferenceSession(str(file.parent / "1" / "model.onnx"))

    def _config(self, request: Any, context: Any) -> Any:
        name = request.model_name if hasattr(request, "model_name") else request.name
        if name not in self._configs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return self._configs[name]

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether it is loaded."""
        return pb.ModelReadyResponse(ready=request.name in self._configs)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What it takes and gives."""
        config = self._config(request, context)
        metadata = pb.ModelMetadataResponse(name=config.name, versions=["1"], platform=config.backend)
        for tensors, into in ((config.input, metadata.inputs), (config.output, metadata.outputs)):
            for tensor in tensors:
                datatype = config_pb.DataType.Name(tensor.data_type).removeprefix("TYPE_")
                batch = [-1] if config.max_batch_size else []
                into.add(name=tensor.name, datatype=datatype, shape=[*batch, *tensor.dims])
        return metadata

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return its config.pbtxt."""
        return pb.ModelConfigResponse(config=self._config(request, context))

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return which models there are."""
        index = pb.RepositoryIndexResponse()
        for name in self._configs:
            index.models.add(name=name, version="1", state="READY")
        return index

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Run it."""
        config = self._config(request, context)
        self.requests.append(request)
        self.before(request)
        feed = {}
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
            feed[tensor.name] = np.frombuffer(raw, triton_to_np_dtype(tensor.datatype)).reshape(tensor.shape)
        names = [output.name for output in request.outputs]
        answer = pb.ModelInferResponse(model_name=config.name, model_version="1")
        types = {t.name: config_pb.DataType.Name(t.data_type).removeprefix("TYPE_") for t in config.output}
        for name, value in zip(names, self._sessions[config.name].run(names, feed), strict=True):
            answer.outputs.add(name=name, datatype=types[name], shape=value.shape)
            answer.raw_output_contents.append(value.tobytes())
        self.twist(answer)
        return answer


@contextmanager
def kserve(
    repository: Path, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> Iterator[tuple[KServe, int]]:
    """Serve a repository with our server; yields it and its port. credentials: of TLS; None: without."""
    service = KServe(repository)
    options = (("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0))
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    address = f"127.0.0.1:{port}"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield service, port
    finally:
        server.stop(None).wait()


@contextmanager
def triton(
    repository: Path, port: int = 0, options: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Serve a repository with a real Triton; yields its process and its gRPC port. Skips where there is none."""
    command = os.environ.get(TRITON)
    if not command:
        pytest.skip(f"no Triton server: {TRITON} is not set (docs/triton.md)")
    port = port or free_port()
    arguments = [command, "--model-repository", str(repository), "--grpc-port", str(port)]
    arguments += ["--grpc-address", "127.0.0.1", "--allow-http", "false", "--allow-metrics", "false"]
    arguments += ["--rate-limit", "execution_count", *options]
    log = repository.parent / "triton.log"
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 120.0
        while b"Started GRPCInferenceService" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        process.wait(40.0)
