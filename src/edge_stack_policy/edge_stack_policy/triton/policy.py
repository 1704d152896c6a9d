# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Policy `triton`: an exported SmolVLA whose graphs a Triton server runs; words, noise and the flow's steps stay here.

Its unit is one prediction: a request for what each camera sees anew, one for the prefix, one for each step of the flow,
within one time limit over all of them. The folder at settings.path must be the one that the server's model repository was
written from; its graphs are compared by their hashes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.triton.address import ModelAddress
from edge_stack_inference.triton.client import BadAnswer, ServedModel, ServerUnavailable
from edge_stack_policy.base import Observation, PolicyUnavailable
from edge_stack_policy.settings import PolicySettings
from edge_stack_policy.smolvla.description import Description
from edge_stack_policy.smolvla.policy import SmolVLAPolicy
from edge_stack_policy.smolvla.runtime import SmolVLARuntime
from edge_stack_policy.smolvla.stages import check_inputs, output_shapes
from edge_stack_policy.triton.serving import SHA256

__all__ = ["TritonPolicy"]

DEFAULT_MODEL = "policy"
"""What the models' names begin with where the address names none: the node that `repository` wrote them for."""


class TritonPolicy(SmolVLAPolicy):
    """
    The policy of the server at settings.address, triton://HOST:PORT[/NAME], or tritons:// with TLS.

    Its models are NAME_vision and so on.
    """

    def __init__(self, settings: PolicySettings) -> None:
        super().__init__(settings)
        self.name = "triton"
        self.time_limit_s: float | None = None
        """How long the next prediction may take, s; None: settings.off_board.timeout_s."""
        self.rtt_s = math.nan
        """What the server's answers to the last prediction took in sum, s."""
        self._due_s = math.inf
        self._address = ModelAddress.parse(settings.address, DEFAULT_MODEL)

    def load(self) -> None:
        """
        Connect, check the server's graphs against the folder and the contract, and predict once.

        Raises:
            ConfigurationError: the folder is wrong, or the server has other graphs.
            PolicyUnavailable: nobody answers there, or nothing that makes sense.
        """
        self._due_s = time.monotonic() + self._settings.remote.load_timeout_s
        try:
            super().load()
        except (BadAnswer, ServerUnavailable) as error:
            raise PolicyUnavailable(str(error)) from None

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return positions [H, A], rad; PolicyUnavailable when the time limit passes at the latest."""
        if self._runtime is None:
            raise PolicyUnavailable(f"{self._address}: not connected")
        limit_s = self._settings.remote.timeout_s if self.time_limit_s is None else self.time_limit_s
        self._due_s = time.monotonic() + limit_s
        self.rtt_s = 0.0
        try:
            return super().predict_action_chunk(observation)
        except (BadAnswer, ServerUnavailable) as error:
            raise PolicyUnavailable(str(error)) from None

    def _open(self, folder: Path) -> SmolVLARuntime:
        return SmolVLARuntime(folder, threads=self._settings.threads, open_graph=self._connect)

    def _connect(self, description: Description, name: str) -> _ServedGraph:
        """Connect to one graph and compare it with the folder's."""
        a = self._address
        address = replace(a, model=f"{a.model}_{name}")
        limit_s = self._settings.remote.load_timeout_s
        model = ServedModel(
            address,
            "critical",
            lambda: self._due_s - time.monotonic(),
            connect_limit_s=limit_s,
            tls=self._settings.remote,
        )
        model.connect()
        graph = _ServedGraph(self, model, output_shapes(description)[name])
        expected, found = description.graphs[name].sha256, model.parameters.get(SHA256)
        if found != expected:
            graph.close()
            raise ConfigurationError(
                f"{address}: is not the {description.graphs[name].file} of {self._settings.path} ({SHA256} {found}, not"
                f" {expected}); write the server's model repository anew from that folder"
            )
        check_inputs(str(address), graph, description, name)
        missing = graph.outputs.keys() - {tensor.name for tensor in model.outputs}
        if missing:
            graph.close()
            raise ConfigurationError(
                f"{address}: does not fit policy.json: it lacks outputs {', '.join(sorted(missing))}"
            )
        return graph


class _ServedGraph:
    """
    A part of the SmolVLA runtime that a server runs.

    outputs: shapes by name, in the file's order; None: a size that is as in the first answer. A server that says of itself
    that a size is free may answer any; numpy would make something of many of them.
    """

    def __init__(
        self, policy: TritonPolicy, model: ServedModel, outputs: Mapping[str, tuple[int | None, ...]]
    ) -> None:
        self._policy = policy
        self._model = model
        self.outputs = dict(outputs)
        self.shapes: Mapping[str, tuple[int, ...]] = {t.name: t.shape for t in model.inputs}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        start = time.monotonic()
        answer = self._model.infer(feeds)
        self._policy.rtt_s += time.monotonic() - start
        return [self._checked(name, answer[name]) for name in self.outputs]

    def _checked(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        wanted = self.outputs[name]
        if len(array.shape) != len(wanted) or any(b not in (None, a) for a, b in zip(array.shape, wanted)):
            shape = ["?" if side is None else side for side in wanted]
            raise BadAnswer(f"{self._model.address}: answered {name} {list(array.shape)}; {shape} is needed")
        self.outputs[name] = array.shape
        return array

    def close(self) -> None:
        self._model.close()
