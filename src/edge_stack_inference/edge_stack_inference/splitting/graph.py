# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
An ONNX graph as a chain of nodes that can be cut: what each costs, what is alive between them, and the slices as models.

Its unit of work is one model in memory. Needs the onnx package; running models is not its business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError

# A cut copies what crosses it, and what was fused or laid out for the processor is undone there: about 1 ms a MB, and a
# tenth of a ms for each tensor and session.
_MS_PER_BYTE = 1e-6
_MS_PER_TENSOR = 0.05
# More tensors than this do not cross a cut.
_MOST_ALIVE = 8


@dataclass(frozen=True)
class GraphSlice:
    """A slice of a graph. inputs, outputs: names of the tensors that cross its borders."""

    model: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Chain:
    """The nodes of a model in the order in which they run."""

    def __init__(self, path: Path) -> None:
        """
        Read a model.

        Raises:
            ConfigurationError: onnx is not installed, or the model cannot be cut; the text says why.
        """
        try:
            import onnx
        except ImportError:
            raise ConfigurationError(
                f"{path}: cutting a model into slices needs the onnx package: pip install onnx"
            ) from None
        self._onnx = onnx
        try:
            model = onnx.load(str(path))
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception as error:  # noqa: BLE001 (onnx raises many kinds)
            raise ConfigurationError(f"{path}: not a model that onnx reads: {error}") from None
        graph = model.graph
        self._model = model
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._inputs = [value.name for value in graph.input if value.name not in self._initializers]
        self._outputs = [value.name for value in graph.output]
        self._values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
        # What follows from constants alone (casts of weights, say) is copied into every slice that uses it.
        self._constants: dict[str, Any] = {}
        self._nodes: list[Any] = []
        for node in graph.node:
            if all(name in self._constants or name in self._initializers for name in _uses(node)):
                self._constants.update({name: node for name in node.output if name})
            else:
                self._nodes.append(node)
        if not self._nodes:
            raise ConfigurationError(f"{path}: the model has no nodes")
        self._made_by = {
            name: index for index, node in enumerate(self._nodes) for name in node.output if name
        }
        self._last_use = {name: len(self._nodes) for name in self._outputs}
        for index, node in enumerate(self._nodes):
            for name in _uses(node):
                self._last_use[name] = max(self._last_use.get(name, -1), index)

    def __len__(self) -> int:
        """Count the nodes."""
        return len(self._nodes)

    def costs_ms(self) -> list[float]:
        """Estimate the time of each node, ms: right in proportion at best."""
        return [self._cost_ms(node) for node in self._nodes]

    def crossing_ms(self) -> list[float]:
        """Estimate the cost of a cut before each node, ms; infinite where there can be none."""
        return [self._crossing_ms(index) for index in range(len(self._nodes))]

    def alive_at(self, cut: int) -> list[str]:
        """Return the tensors that are made before a cut and used after it."""
        return [name for name, made in self._made_by.items() if made < cut <= self._last_use.get(name, -1)]

    def slices(self, boundaries: Sequence[int]) -> list[GraphSlice]:
        """Return the models between the boundaries."""
        borders = [0, *boundaries, len(self._nodes)]
        return [self._piece(start, end) for start, end in pairwise(borders)]

    def _piece(self, start: int, end: int) -> GraphSlice:
        helper = self._onnx.helper
        nodes = self._nodes[start:end]
        made = {name for node in nodes for name in node.output}
        used = [name for node in nodes for name in _uses(node)]
        from_outside = dict.fromkeys(
            name
            for name in used
            if name not in made and name not in self._initializers and name not in self._constants
        )
        given = [name for name in self._made_by if name in made and self._last_use.get(name, -1) >= end]
        constants = self._constant_nodes(used)
        used += [name for node in constants for name in _uses(node)]
        graph = helper.make_graph(
            [*constants, *nodes],
            f"{self._model.graph.name or 'graph'} {start}-{end}",
            [self._values[name] for name in from_outside],
            [self._values[name] for name in given],
            [self._initializers[name] for name in dict.fromkeys(used) if name in self._initializers],
            value_info=[self._values[name] for name in made - set(given) if name in self._values],
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import, producer_name="edge_stack")
        model.ir_version = self._model.ir_version
        return GraphSlice(model, tuple(from_outside), tuple(given))

    def _constant_nodes(self, names: Iterable[str]) -> list[Any]:
        """Return the nodes that make the constants among some tensors, in the order in which they run."""
        found: dict[int, Any] = {}

        def collect(name: str) -> None:
            node = self._constants.get(name)
            if node is not None and id(node) not in found:
                for used in _uses(node):
                    collect(used)
                found[id(node)] = node

        for name in names:
            collect(name)
        return list(found.values())

    def _crossing_ms(self, cut: int) -> float:
        alive = self.alive_at(cut)
        if cut == 0:
            return 0.0
        if not alive or len(alive) > _MOST_ALIVE or any(self._bytes(name) is None for name in alive):
            return math.inf
        return sum((self._bytes(name) or 0) * _MS_PER_BYTE + _MS_PER_TENSOR for name in alive)

    def _bytes(self, name: str) -> int | None:
        """Size of a tensor; None if its type or shape is not known."""
        shape = self._shape(name)
        if shape is None:
            return None
        kind = self._values[name].type.tensor_type.elem_type
        try:
            size = self._onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
        except (KeyError, TypeError, ValueError):
            return None
        return math.prod(shape) * int(size)

    def _shape(self, name: str) -> list[int] | None:
        if name in self._initializers:
            return list(self._initializers[name].dims)
        value = self._values.get(name)
        if (
            value is None
            or not value.type.HasField("tensor_type")
            or not value.type.tensor_type.HasField("shape")
        ):
            return None
        return [dim.dim_value if dim.HasField("dim_value") else 1 for dim in value.type.tensor_type.shape.dim]

    def _elements(self, name: str) -> int:
        shape = self._shape(name)
        return math.prod(shape) if shape is not None else 1

    def _cost_ms(self, node: Any) -> float:
        """Multiply-adds at 20 to the ns, elements moved at 1 to the ns, and 3 us for the node itself."""
        moved = sum(
            self._elements(name)
            for name in (*node.input, *node.output)
            if name and name not in self._initializers
        )
        work = 0
        if node.op_type in ("Conv", "FusedConv", "ConvTranspose") and len(node.input) > 1:
            weights = self._shape(node.input[1]) or [1]
            plane = node.output[0] if node.op_type != "ConvTranspose" else node.input[0]
            work = self._elements(plane) * math.prod(weights[1:])
        elif node.op_type in ("MatMul", "FusedMatMul", "Gemm"):
            inner = (self._shape(node.input[0]) or [1])[-1]
            work = self._elements(node.output[0]) * inner
        return 0.003 + work / 20e6 + moved / 1e6


def _uses(node: Any) -> list[str]:
    """Return the tensors that a node and the graphs inside it use."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            inside = {name for inner in graph.node for name in inner.output} | {
                value.name for value in graph.input
            }
            inside |= {tensor.name for tensor in graph.initializer}
            names += [name for inner in graph.node for name in _uses(inner) if name not in inside]
            names += [value.name for value in graph.output if value.name not in inside]
    return names
