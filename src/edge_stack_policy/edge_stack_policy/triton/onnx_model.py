# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
An ONNX file for Triton's Python backend, run by ONNX Runtime: for servers without Triton's own ONNX Runtime backend.

Copied as model.py beside the model.onnx of one version; it runs inside the server and imports nothing of edge_stack. Its
unit of work is one request.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What the backend creates for each instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the file."""
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        options = ort.SessionOptions()
        threads = config["parameters"].get("intra_op_thread_count", {}).get("string_value")
        if threads:
            options.intra_op_num_threads = int(threads)
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":
            providers.insert(
                0, ("CUDAExecutionProvider", {"device_id": int(args["model_instance_device_id"])})
            )
        self._session = ort.InferenceSession(
            str(Path(__file__).with_name("model.onnx")), options, providers=providers
        )

    def execute(self, requests: list) -> list:
        """Answer each request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: object) -> object:
        try:
            feed = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            results = self._session.run(self._outputs, feed)
        except Exception as error:  # noqa: BLE001 (a request that cannot be run is answered with why)
            return triton.InferenceResponse(error=triton.TritonError(str(error)))
        tensors = [
            triton.Tensor(name, np.ascontiguousarray(value)) for name, value in zip(self._outputs, results)
        ]
        return triton.InferenceResponse(output_tensors=tensors)
