# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A SmolVLA of 33,000 random weights, what LeRobot makes of it, and its export: data/smolvla, for tests without LeRobot.

    python src/edge_stack_policy/edge_stack_policy/testing/micro_smolvla.py

writes that folder anew. Needs lerobot.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "smolvla"
GOLDEN = "golden.npz"
IMAGE = "observation.images.table"
TASK = "put the red cube in the bin"
TEXTS = (
    "",
    "\n",
    TASK,
    "Put 3 (or 12) cubes,  don't drop them!\t\n\n",
    "  größer 漢字 🤖 it's <image> ½ ²",
    "naïve\u00a0\u3000x\u2028y",
)
STATISTICS = {
    "observation.state": {
        "mean": np.linspace(-0.5, 0.5, 6),
        "std": np.linspace(0.3, 1.0, 6),
        "min": np.full(6, -2.0),
        "max": np.full(6, 2.0),
    },
    "action": {
        "mean": np.linspace(0.5, -0.5, 6),
        "std": np.linspace(0.9, 0.4, 6),
        "min": np.full(6, -2.0),
        "max": np.full(6, 2.0),
    },
}


class GoldenCase(NamedTuple):
    """What a chunk is made from: image [H, W, 3], state [6], noise [1, 10, 8], leftover [H', 6], delay."""

    image: NDArray[np.uint8]
    state: NDArray[np.float32]
    noise: NDArray[np.float32]
    leftover: NDArray[np.float32]
    delay: int


def make_case(seed: int = 0, delay: int = 2, left: int = 8) -> GoldenCase:
    """Return inputs drawn from a seed."""
    random = np.random.default_rng(seed)
    return GoldenCase(
        random.integers(0, 256, (24, 32, 3), dtype=np.uint8),
        random.normal(size=6).astype(np.float32),
        random.normal(size=(1, 10, 8)).astype(np.float32),
        random.normal(size=(left, 6)).astype(np.float32),
        delay,
    )


def build(folder: Path, **config: Any) -> Any:
    """Build the checkpoint in a folder and return it as `build_smolvla` does."""
    from edge_stack_policy.lerobot.smolvla_offline import Architecture, build_smolvla

    figures = Architecture(16, 32, 2, 1, 2, 512, 16, 32, 2, 1, 8, 2, 32, 0.5, 8)
    settings = {"num_steps": 4, "tokenizer_max_length": 16, "chunk_size": 10, **config}
    return build_smolvla(
        folder, figures, cameras=("table",), camera_shape=(24, 32), dataset_stats=STATISTICS, **settings
    )


def lerobot_chunk(
    built: Any, case: GoldenCase, *, guided: bool, schedule: str = "LINEAR"
) -> NDArray[np.float64]:
    """Return LeRobot's own chunk [10, 6], with its real-time chunking or without."""
    import torch
    from lerobot.configs import RTCAttentionSchedule
    from lerobot.policies.rtc.configuration_rtc import RTCConfig

    policy = built.policy
    policy.config.rtc_config = RTCConfig(
        enabled=guided, prefix_attention_schedule=RTCAttentionSchedule[schedule]
    )
    policy.init_rtc_processor()
    image = torch.from_numpy(case.image).permute(2, 0, 1).float() / 255.0
    extra: dict[str, Any] = {}
    if guided:
        statistics = {name: torch.from_numpy(value).float() for name, value in STATISTICS["action"].items()}
        held = (torch.from_numpy(case.leftover) - statistics["mean"]) / (statistics["std"] + 1e-8)
        horizon = min(len(held), max(policy.config.rtc_config.execution_horizon, 2 * case.delay))
        extra = {"prev_chunk_left_over": held, "inference_delay": case.delay, "execution_horizon": horizon}
    with torch.no_grad():
        batch = built.preprocessor(
            {IMAGE: image, "observation.state": torch.from_numpy(case.state), "task": TASK}
        )
        chunk = policy.predict_action_chunk(batch, noise=torch.from_numpy(case.noise), **extra)
        return np.asarray(built.postprocessor(chunk)[0].double().numpy())


def lerobot_pixels(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """Return what LeRobot hands to the vision model, [1, 3, height, width]."""
    import torch
    from lerobot.policies.common.vla_utils import resize_with_pad

    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255.0
    return np.asarray((resize_with_pad(pixels, height, width, pad_value=0) * 2.0 - 1.0).numpy())


def main() -> None:
    """Write data/smolvla."""
    from transformers import AutoTokenizer

    from edge_stack_policy.smolvla.export import export

    with tempfile.TemporaryDirectory() as work:
        built = build(Path(work) / "checkpoint")
        case = make_case()
        exported = export(Path(work) / "checkpoint", FOLDER, units="rad", say=print)
        tokenizer = AutoTokenizer.from_pretrained(Path(work) / "checkpoint" / "vlm")
        np.savez_compressed(
            FOLDER / GOLDEN,
            chunk=lerobot_chunk(built, case, guided=False),
            guided=lerobot_chunk(built, case, guided=True),
            pixels=lerobot_pixels(case.image, 40, 32),
            tokens=np.array([str(tokenizer(text)["input_ids"]) for text in TEXTS]),
        )
    print(f"{FOLDER}: parity {exported.description.parity_max_abs:.2g}")


if __name__ == "__main__":
    main()
