# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes a SmolVLA checkpoint anew so that LeRobot, as it is, grows its chunks from less noise.

Its unit is one checkpoint. LeRobot draws noise of deviation 1 for each chunk and cannot be told otherwise. The network is
linear in the actions at both ends: with normalized actions 1/scale times as large inside it, the same noise is `scale` times
as large beside them, and nothing else changes. It is what `noise_scale` does in an exported policy.

    python -m edge_stack_policy.lerobot.noise CHECKPOINT --out DIR --scale 0.001
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError

_WEIGHTS = "model.safetensors"
_PROCESSORS = ("policy_preprocessor.json", "policy_postprocessor.json")
_DEVIATION = "action.std"


def scale_noise(checkpoint: str | Path, out: str | Path, scale: float) -> None:
    """
    Copy a checkpoint to a folder that is not there yet, with noise of this scale, above 0.

    ConfigurationError: the folder is no SmolVLA, or its actions are normalized by something else than mean and deviation.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    if not scale > 0.0:
        raise ConfigurationError(f"--scale: {scale}: must be above 0; 0.001 is as good as no noise")
    config = _read(checkpoint / "config.json")
    if config.get("type") != "smolvla" or config.get("normalization_mapping", {}).get("ACTION") != "MEAN_STD":
        raise ConfigurationError(
            f"{checkpoint}/config.json: a smolvla whose actions are normalized by MEAN_STD is needed"
        )
    if out.exists():
        raise ConfigurationError(f"--out: {out} is there already")
    shutil.copytree(checkpoint, out)
    factors = {
        "action_in_proj.weight": scale,
        "action_out_proj.weight": 1 / scale,
        "action_out_proj.bias": 1 / scale,
    }
    _multiply(out / _WEIGHTS, {f"model.{name}": factor for name, factor in factors.items()})
    for processor in _PROCESSORS:
        for step in _read(checkpoint / processor)["steps"]:
            if "normalizer" in step["registry_name"]:
                _multiply(out / step["state_file"], {_DEVIATION: scale})


def _multiply(file: Path, factors: dict[str, float]) -> None:
    """Multiply tensors of a file."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(str(file), "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(str(file))
    missing = sorted(factors.keys() - tensors.keys())
    if missing:
        raise ConfigurationError(f"{file}: lacks {', '.join(missing)}")
    save_file(
        {name: tensor * factors.get(name, 1.0) for name, tensor in tensors.items()}, str(file), metadata
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file}: an object is needed")
    return content


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="folder of a LeRobot SmolVLA")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new one")
    parser.add_argument("--scale", type=float, default=0.001, help="of the noise (default: %(default)s)")
    options = parser.parse_args()
    try:
        scale_noise(options.checkpoint, options.out, options.scale)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
