# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A vision model on a Triton Inference Server: what the yolo node runs where its model is triton://host:port/name.

Its unit of work is one input tensor in, the model's raw outputs out, as with every engine; but it opens no file. Task,
class names and layout come from the parameters in the model's config.pbtxt, under the names that Ultralytics gives them in a
file's metadata; `./edge triton-repository` writes them there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.engines.base import ModelError
from edge_stack_inference.tls_files import NO_FILES, TlsFiles
from edge_stack_inference.triton.address import ModelAddress
from edge_stack_inference.triton.client import ServedModel, ServerUnavailable, Tensor

__all__ = ["TritonEngine"]

_METADATA = ("task", "names", "imgsz", "end2end", "kpt_shape", "kpt_names", "args")


class TritonEngine:
    """Has a server run the model."""

    name: ClassVar[str] = "triton"

    def __init__(
        self,
        address: str,
        priority_class: str = "background",
        time_limit_s: Callable[[], float] = lambda: 1.0,
        tls: TlsFiles = NO_FILES,
    ) -> None:
        """
        address: triton://host:port/model[/version], tritons:// with TLS. priority_class: critical, essential or background.

        time_limit_s: of one inference, there and back; called before each. ModelError if the address is none.
        """
        try:
            self._model = ServedModel(ModelAddress.parse(address), priority_class, time_limit_s, tls=tls)
        except ConfigurationError as error:
            raise ModelError(str(error)) from None

    @property
    def address(self) -> str:
        """Where the model is."""
        return str(self._model.address)

    def connect(self) -> Mapping[str, Any]:
        """
        Ask the server about the model.

        Returns:
            Its metadata as :meth:`Engine.open <edge_stack_inference.engines.base.Engine.open>` does.

        Raises:
            ModelError: the server does not answer, or has no such model, or it takes no image; or files of TLS are wrong.
        """
        model = self._model
        try:
            model.connect()
        except (ConfigurationError, ServerUnavailable) as error:
            raise ModelError(str(error)) from None
        if len(model.inputs) != 1 or not _takes_image(model.inputs[0]):
            found = "; ".join(str(tensor) for tensor in model.inputs)
            self.close()
            raise ModelError(
                f"{model.address}: takes {found}; one float image [1, 3, height, width] is needed"
            )
        metadata: dict[str, Any] = {
            key: model.parameters[key] for key in _METADATA if key in model.parameters
        }
        sides = model.inputs[0].shape[2:]
        if min(sides) > 0:
            metadata["input_shape"] = (1, 3, *sides)
        return metadata

    def run(self, tensor: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        """
        Run the model once; see :meth:`Engine.run <edge_stack_inference.engines.base.Engine.run>`.

        Raises:
            ServerUnavailable: no answer in time. BadAnswer: one of no use.
        """
        answer = self._model.infer({self._model.inputs[0].name: tensor})
        return list(answer.values())

    def close(self) -> None:
        """End the connection."""
        self._model.close()


def _takes_image(tensor: Tensor) -> bool:
    return (
        tensor.datatype in ("FP32", "FP16")
        and len(tensor.shape) == 4
        and tensor.shape[0] in (1, -1)
        and tensor.shape[1] in (3, -1)
    )
