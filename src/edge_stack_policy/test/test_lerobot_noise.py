# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that is written anew for less noise gives LeRobot the chunks of less noise. Needs lerobot."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tiny_lerobot import needs_lerobot

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.lerobot.noise import scale_noise
from edge_stack_policy.testing.micro_smolvla import IMAGE, TASK, build, make_case

pytestmark = needs_lerobot


def chunk_of(folder: Path, noise: np.ndarray) -> np.ndarray:
    """Return what LeRobot makes of a checkpoint, in the data's units."""
    import torch

    from edge_stack_policy.lerobot.checkpoint import load_checkpoint

    loaded, case = load_checkpoint(str(folder), "cpu"), make_case()
    image = torch.from_numpy(case.image).permute(2, 0, 1).float() / 255.0
    with torch.no_grad():
        batch = loaded.preprocessor(
            {IMAGE: image, "observation.state": torch.from_numpy(case.state), "task": TASK}
        )
        chunk = loaded.policy.predict_action_chunk(batch, noise=torch.from_numpy(noise))
        return np.asarray(loaded.postprocessor(chunk)[0])


def test_the_chunks_are_those_of_so_much_less_noise(tmp_path: Path) -> None:
    folder, quiet = build(tmp_path / "checkpoint").folder, tmp_path / "quiet"
    scale_noise(folder, quiet, 0.01)
    noise = make_case().noise
    np.testing.assert_allclose(chunk_of(quiet, noise), chunk_of(folder, 0.01 * noise), atol=1e-4)
    assert np.abs(chunk_of(folder, noise) - chunk_of(folder, 0.01 * noise)).max() > 0.01


@pytest.mark.parametrize(
    ("scale", "config", "said"),
    [(0.0, None, "must be above 0"), (0.1, '{"type": "act"}', "a smolvla"), (0.1, "[", "cannot be read")],
)
def test_what_cannot_be_scaled_is_said(tmp_path: Path, scale: float, config: str | None, said: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConfigurationError, match=said):
        scale_noise(tmp_path, tmp_path / "out", scale)
