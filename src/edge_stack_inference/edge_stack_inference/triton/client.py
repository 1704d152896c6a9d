# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One model on a Triton Inference Server, over gRPC: what it takes and gives, and its inferences.

Its unit of work is one inference: arrays in, arrays out, within a time limit that the server is told too, so that it drops
what would come too late. Each answer is checked against what the server said when it was connected to, and nothing
that is not finite is handed on. A server that goes away costs the inferences meanwhile; the connection comes back by
itself. It queues nothing and tries nothing twice: the next inference is of a newer frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.tls_files import NO_FILES, TlsFiles
from edge_stack_inference.triton.address import ModelAddress

__all__ = ["CONNECT_LIMIT_S", "PRIORITIES", "BadAnswer", "ServedModel", "ServerUnavailable", "Tensor"]

PRIORITIES = {"critical": 1, "essential": 2, "background": 3}
"""Triton's priority levels of the stack's classes; 1 goes first. They count where the model's queue has three of them."""

# How long the questions at connect may take, each, s.
CONNECT_LIMIT_S = 5.0
# The largest answer that is read: masks of 640 x 640 pixels are 7 MB.
_ANSWER_LIMIT_BYTES = 64 * 2**20
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", _ANSWER_LIMIT_BYTES),
    ("grpc.max_send_message_length", _ANSWER_LIMIT_BYTES),
    # gRPC's own would leave a server that is back alone for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Whatever its name says: how long one attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Each model has a connection of its own, so that a large answer to one does not hold up the others.
    ("grpc.use_local_subchannel_pool", 1),
)
_NUMPY_TYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_TLS_HINTS = (
    "tritons:// if it has TLS",
    "if it runs, see whose certificate it has, and for which host (docs/triton.md)",
)
_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "ABORTED")


class ServerUnavailable(Exception):
    """No answer in time: the server is away, busy or slow, or has no such model at present. The next one may come."""


class BadAnswer(Exception):
    """The server answered something of no use, or refused what was asked; the text says what."""


@dataclass(frozen=True)
class Tensor:
    """What goes in or comes out. datatype: in KServe's words (FP32, INT64, ...). shape: with the batch; -1: any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of that shape may be this tensor."""
        return len(shape) == len(self.shape) and all(b in (-1, a) for a, b in zip(shape, self.shape))

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.name} {self.datatype} {list(self.shape)}"


class ServedModel:
    """
    A model on a server. For one thread at a time.

    inputs, outputs: what it takes and gives, in its order. parameters: those of its config.pbtxt. Empty before connect().
    """

    def __init__(
        self,
        address: ModelAddress,
        priority_class: str = "background",
        time_limit_s: Callable[[], float] = lambda: 1.0,
        connect_limit_s: float = CONNECT_LIMIT_S,
        tls: TlsFiles = NO_FILES,
    ) -> None:
        """
        priority_class: one of PRIORITIES. time_limit_s: of one inference; called before each.

        connect_limit_s: of each question at connect, and of the first inference if that is longer. tls: counts where the
        address says so.
        """
        self.address = address
        self.inputs: tuple[Tensor, ...] = ()
        self.outputs: tuple[Tensor, ...] = ()
        self.parameters: dict[str, str] = {}
        self._priority = PRIORITIES[priority_class]
        self._time_limit_s = time_limit_s
        self._connect_limit_s = connect_limit_s
        self._tls = tls
        self._client: Any = None
        self._warm = False

    def connect(self) -> None:
        """
        Ask the server what the model takes and gives.

        Raises:
            ServerUnavailable: no server answers, or none whose certificate is believed. ConfigurationError: it has no such
                model, or one of no use; or files of TLS are wrong.
        """
        grpc_client = _import_client(self.address)
        credentials = None
        if self.address.tls:
            # Here, as only a robot with a client of gRPC can import it.
            from edge_stack_inference.tls import channel_credentials

            credentials = channel_credentials(self._tls)
        self.close()
        try:
            self._client = grpc_client.InferenceServerClient(
                self.address.server, creds=credentials, channel_args=list(_CHANNEL_OPTIONS)
            )
            self._ask(grpc_client.InferenceServerException)
        except BaseException:
            self.close()
            raise

    def _ask(self, server_error: type[Exception]) -> None:
        address, client = self.address, self._client
        which: dict[str, Any] = {
            "model_version": address.version,
            "client_timeout": self._connect_limit_s,
        }
        try:
            if not client.is_model_ready(address.model, **which):
                raise ConfigurationError(f"{address}: is not loaded at present; {self._loaded(server_error)}")
            metadata = client.get_model_metadata(address.model, **which)
            config = client.get_model_config(address.model, **which).config
        except server_error as error:
            state, text = _state(error), _first_line(error)
            if state in _AWAY:
                raise ServerUnavailable(
                    f"{address}: no Triton server answers at {address.server} ({text}); start it, or give its gRPC port"
                    f" (8001 unless set otherwise); {_TLS_HINTS[address.tls]}"
                ) from None
            raise ConfigurationError(f"{address}: {text}; {self._loaded(server_error)}") from None
        self.inputs = tuple(_tensor(t) for t in metadata.inputs)
        self.outputs = tuple(_tensor(t) for t in metadata.outputs)
        self.parameters = {key: value.string_value for key, value in config.parameters.items()}
        unknown = [t for t in (*self.inputs, *self.outputs) if t.datatype not in _NUMPY_TYPES]
        if unknown or not self.inputs or not self.outputs:
            found = "; ".join(str(t) for t in unknown) or "no inputs or no outputs"
            raise ConfigurationError(
                f"{address}: has {found}; tensors of {', '.join(_NUMPY_TYPES)} are needed"
            )

    def _loaded(self, server_error: type[Exception]) -> str:
        """Return in words which models the server has."""
        try:
            index = self._client.get_model_repository_index(client_timeout=self._connect_limit_s)
        except server_error:
            return "which models the server has it does not say"
        names = sorted({model.name for model in index.models if model.state == "READY"})
        return f"the server has loaded: {', '.join(names) or 'no model'}"

    def infer(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """
        Run the model once.

        Args:
            feed: an array for each input, by name; cast to the input's type.

        Returns:
            An array for each output, by name.

        Raises:
            ServerUnavailable, BadAnswer
        """
        from tritonclient import grpc as grpc_client

        limit_s = self._time_limit_s()
        if not self._warm:
            # A server's first run of a model takes longer than those that follow.
            limit_s = max(limit_s, self._connect_limit_s)
        if limit_s <= 0.0:
            raise ServerUnavailable(f"{self.address}: no time is left to ask it")
        inputs = []
        for tensor in self.inputs:
            array = feed[tensor.name].astype(_NUMPY_TYPES[tensor.datatype], copy=False)
            given = grpc_client.InferInput(tensor.name, list(array.shape), tensor.datatype)
            inputs.append(given.set_data_from_numpy(array))
        outputs = [grpc_client.InferRequestedOutput(tensor.name) for tensor in self.outputs]
        try:
            result = self._client.infer(
                self.address.model,
                inputs,
                model_version=self.address.version,
                outputs=outputs,
                priority=self._priority,
                timeout=math.ceil(limit_s * 1e6),
                client_timeout=limit_s,
            )
        except grpc_client.InferenceServerException as error:
            state, text = _state(error), _first_line(error)
            if state == "DEADLINE_EXCEEDED":
                raise ServerUnavailable(f"{self.address}: no answer within {limit_s * 1e3:.0f} ms") from None
            if state == "RESOURCE_EXHAUSTED" and "larger than max" in text:
                raise BadAnswer(
                    f"{self.address}: an answer of over {_ANSWER_LIMIT_BYTES >> 20} MiB is refused"
                ) from None
            # A model that was unloaded, or is being loaded anew, comes back like a server does.
            if state in (*_AWAY, "NOT_FOUND") or "is not ready" in text:
                raise ServerUnavailable(f"{self.address}: {text}") from None
            raise BadAnswer(f"{self.address}: {text}") from None
        self._warm = True
        answer = result.get_response()
        return {tensor.name: self._read(tensor, result, answer) for tensor in self.outputs}

    def _read(self, tensor: Tensor, result: Any, answer: Any) -> NDArray[Any]:
        """Return one output of an answer, checked."""
        found = [output for output in answer.outputs if output.name == tensor.name]
        if len(found) != 1:
            names = ", ".join(output.name for output in answer.outputs) or "none"
            raise BadAnswer(f"{self.address}: the answer lacks output {tensor.name}; its outputs: {names}")
        have = _tensor(found[0])
        if have.datatype != tensor.datatype or not tensor.fits(have.shape) or min(have.shape, default=0) < 0:
            raise BadAnswer(f"{self.address}: answered {have}; {tensor} is needed")
        try:
            array: NDArray[Any] = result.as_numpy(tensor.name)
        except Exception as error:  # noqa: BLE001 (whatever its bytes are, they are not what it says)
            raise BadAnswer(f"{self.address}: {have} cannot be read: {_first_line(error)}") from None
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadAnswer(f"{self.address}: {tensor.name} has values that are not finite")
        # The bytes of the answer are read only; whoever decodes may work in place.
        return array.copy()

    def close(self) -> None:
        """End the connection. Harmless if there is none."""
        client, self._client = self._client, None
        self._warm = False
        if client is not None:
            client.close()


def _import_client(address: ModelAddress) -> Any:
    try:
        from tritonclient import grpc as grpc_client
    except ImportError as error:
        raise ConfigurationError(
            f"{address}: models on a Triton server need tritonclient: ./edge setup --with triton ({error})"
        ) from None
    return grpc_client


def _tensor(message: Any) -> Tensor:
    return Tensor(message.name, message.datatype, tuple(int(side) for side in message.shape))


def _state(error: Any) -> str:
    """Return gRPC's word for what went wrong; tritonclient writes it as StatusCode.WORD."""
    return str(error.status() or "").rpartition(".")[2]


def _first_line(error: Any) -> str:
    text = error.message() if hasattr(error, "message") else str(error)
    return str(text).strip().split("\n", 1)[0][:200]
