# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Keeps code that came with a checkpoint, or that it names, from being run.

Two doors of LeRobot are open otherwise. A processor's step may name any class of any installed module, which is then called
with arguments from the same file. And some steps and policies let transformers run Python files from the hub or from a
folder (trust_remote_code). The first is refused when the file is read, the second for the rest of the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from edge_stack_core.errors import ConfigurationError


def check_steps(file: Path, pipeline: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a pipeline's steps. ConfigurationError if one is not named as LeRobot's own steps are."""
    steps = pipeline.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigurationError(f"{file}: 'steps' is not a list of objects")
    for step in steps:
        if not isinstance(step.get("registry_name"), str):
            raise ConfigurationError(
                f"{file}: a step names the class {step.get('class')!r}; only LeRobot's own steps are run, which have a"
                " registry_name"
            )
    return steps


def forbid_foreign_code() -> None:
    """Let transformers raise ConfigurationError instead of running Python files, from now on."""
    if find_spec("transformers") is None:
        return
    from transformers import dynamic_module_utils

    # The one place where all of its ways meet, after the files were fetched and before they are run.
    dynamic_module_utils.get_class_in_module = _refuse


def _refuse(class_name: str, module_path: Any, **_: Any) -> NoReturn:
    raise ConfigurationError(
        f"it needs the class {class_name} from {Path(module_path).name}, Python code that comes with a checkpoint; such code"
        " is not run"
    )
