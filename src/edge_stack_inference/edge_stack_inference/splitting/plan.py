# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A model in slices, as it lies on the disk: which files, which tensors cross between them, and how long each took.

Its unit of work is one folder of one model. Reading one needs neither the onnx package nor the model; nothing here measures
or runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from edge_stack_core.errors import ConfigurationError

FILE = "plan.json"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class ModelSlice:
    """One slice. file: in the plan's folder. inputs, outputs: names of tensors. ms: how long it took when it was made."""

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ms: float


@dataclasses.dataclass(frozen=True)
class SlicePlan:
    """
    A model in slices.

    inputs, outputs: of the whole model, in its order. whole_ms: how long the whole took when it was cut. difference: the
    largest between an output of the slices and of the whole, on noise; not 0 where a cut makes the runtime choose another
    layout, and with it another order of additions. metadata: of the whole model.
    """

    model: str
    sha256: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    whole_ms: float
    difference: float
    slices: tuple[ModelSlice, ...]
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def longest_ms(self) -> float:
        """How long the longest slice took."""
        return max(model_slice.ms for model_slice in self.slices)

    def write(self, folder: Path) -> None:
        """Write the plan into its folder."""
        text = json.dumps({"version": VERSION, **dataclasses.asdict(self)}, indent=2)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> SlicePlan:
        """
        Read the plan of a folder.

        Raises:
            ConfigurationError: there is none, or a file of it is missing.
        """
        path = folder / FILE
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if fields.pop("version") != VERSION:
                raise ValueError("of another version")
            slices = tuple(
                ModelSlice(one["file"], tuple(one["inputs"]), tuple(one["outputs"]), float(one["ms"]))
                for one in fields.pop("slices")
            )
            fields["inputs"], fields["outputs"] = tuple(fields["inputs"]), tuple(fields["outputs"])
            plan = SlicePlan(slices=slices, **fields)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path}: not a plan of slices ({error}); remove the folder to make it anew"
            ) from None
        for model_slice in plan.slices:
            if not (folder / model_slice.file).is_file():
                raise ConfigurationError(
                    f"{folder / model_slice.file}: missing; remove the folder to make it anew"
                )
        return plan


def sha256_of(path: Path) -> str:
    """
    Return the hash of a model file.

    Raises:
        ConfigurationError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    return digest.hexdigest()


def folders_of(path: Path, key: str) -> list[Path]:
    """Return where a model's slices may lie: beside the model, or in the user's cache if that cannot be written."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [
        path.with_name(path.name + ".slices") / key,
        cache / "edge_stack" / "slices" / f"{path.stem}-{key}",
    ]
