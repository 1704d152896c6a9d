# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What executes a vision model: a small Protocol.

Its unit of work is one input tensor in, the model's raw outputs out. An engine knows nothing of images, tasks or
boxes: those are the vision package's. It never downloads anything and never uses more threads than it is given. How one
is chosen for a file is the registry's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError

__all__ = ["Engine", "ModelError", "Runner"]


class ModelError(ConfigurationError):
    """A model file that cannot be used; the text names the file and says what would be right."""


class Runner(Protocol):
    """Executes one model, wherever it came from. name: the word for it in parameters and messages."""

    name: ClassVar[str]

    def run(self, tensor: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        """
        Run the model once.

        Args:
            tensor: float32 [1, 3, H, W], RGB, 0..1, contiguous; not kept after the call.

        Returns:
            The raw outputs in the order of the exported model. They may be overwritten by the next call.
        """

    def close(self) -> None:
        """Free the model. Harmless if nothing is open."""


class Engine(Runner, Protocol):
    """Executes one model, from a file. suffixes: file name endings that it opens, lower case."""

    suffixes: ClassVar[tuple[str, ...]]

    def open(self, path: Path, threads: int) -> Mapping[str, Any]:
        """
        Load a model that exists at ``path``, to run on ``threads`` threads (1 or more, the calling one included).

        Returns:
            The model's metadata as Ultralytics writes it: ``task``, ``names``, ``imgsz``, ``end2end``, ``kpt_shape``
            (pose) and so on; values may be Python objects or their text. ``input_shape``, (1, 3, height, width), is
            added where the file fixes it.

        Raises:
            ModelError: the file cannot be used by this engine.
        """
