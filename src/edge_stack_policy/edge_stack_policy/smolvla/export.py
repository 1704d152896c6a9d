# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Exports a LeRobot SmolVLA checkpoint to ONNX graphs that run without torch, and checks them against it.

    ./edge export-policy CHECKPOINT --out DIR

Its unit is one checkpoint folder (or a name on the hub). DIR gets vision.onnx, prefix.onnx, denoise.onnx, tokenizer.json
and policy.json, and is what policy `smolvla` takes as policy_path. Needs LeRobot; nothing is written where the graphs do not
give what LeRobot gives for the same noise.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.runtime.process import peak_rss_mb
from edge_stack_policy.base import STATE
from edge_stack_policy.contract import UNITS
from edge_stack_policy.lerobot.checkpoint import Checkpoint, load_checkpoint
from edge_stack_policy.lerobot.hub import find_folder
from edge_stack_policy.lerobot.installed import require_lerobot
from edge_stack_policy.smolvla import description as files
from edge_stack_policy.smolvla.description import Description
from edge_stack_policy.smolvla.runtime import SmolVLARuntime
from edge_stack_policy.smolvla.writing import TEXTS, Say, norm_map, stats_of, write_files

BOUNDS = {"fp32": 1e-4, "fp16": 3e-2}
"""Largest difference from LeRobot in torch that is accepted, in the model's units, where data have about unit variance."""
_STEPS = {
    "rename_observations_processor",
    "to_batch_processor",
    "smolvla_new_line_processor",
    "tokenizer_processor",
    "device_processor",
    "normalizer_processor",
    "unnormalizer_processor",
}


class Exported(NamedTuple):
    """What an export gave. torch_ms, onnx_ms: of one chunk by part, the middle of a few runs; torch knows only `all`."""

    description: Description
    torch_ms: float
    onnx_ms: dict[str, float]
    peak_mb: float


def export(
    checkpoint: str | Path,
    out: str | Path,
    *,
    precision: str = "fp32",
    language_tokens: int | None = None,
    units: str = "",
    noise_scale: float = 1.0,
    runs: int = 3,
    say: Say = lambda _: None,
) -> Exported:
    """
    Export a checkpoint into a folder, which must not exist yet, be empty, or be an earlier export.

    language_tokens: the instruction is cut or padded to so many; fewer are faster. None: the checkpoint's own. units: of
    state and action, where known; checked against the robot's contract when the policy is loaded. noise_scale: of what a
    chunk grows from when it runs, 0 to 1. runs: timed on both sides.

    Raises:
        ConfigurationError: it is no SmolVLA, something is missing or not supported, or the graphs give something else.
    """
    require_lerobot()
    folder = find_folder(str(checkpoint))
    _require_smolvla(folder)
    out = Path(out).expanduser()
    _require_free(out)
    require_lerobot("smolvla")
    require_lerobot("export")
    say("loading the checkpoint")
    loaded = load_checkpoint(str(folder), "cpu")
    loaded.policy.float()
    _require_supported(loaded)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
        place = Path(work) / "export"
        place.mkdir()
        description = write_files(loaded, place, precision, language_tokens, units, say)
        say("comparing with LeRobot")
        parity, torch_ms, onnx_ms = _compare(loaded, place, runs)
        if not parity <= BOUNDS[precision]:
            raise ConfigurationError(
                f"{folder}: the exported graphs differ from LeRobot by {parity:.2g}, more than {BOUNDS[precision]:g} for"
                f" {precision}; nothing was written"
            )
        description = Description(
            **{**vars(description), "parity_max_abs": parity, "noise_scale": noise_scale}
        )
        description.save(place)
        if out.exists():
            shutil.rmtree(out)
        place.rename(out)
    peak_mb = peak_rss_mb()
    return Exported(description, torch_ms, onnx_ms, peak_mb)


# ---- what can be exported


def _require_smolvla(folder: Path) -> None:
    path = folder / "config.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("type")
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror}; is it a LeRobot checkpoint?"
        ) from None
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path}: is no LeRobot configuration: {error}") from None
    if kind != "smolvla":
        raise ConfigurationError(
            f"{path}: is a policy of type '{kind}'; smolvla can be exported (policy lerobot runs every other)"
        )


def _require_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"--out: {out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / files.FILE).is_file():
        raise ConfigurationError(f"--out: {out} holds something else than an export; name another folder")


def _require_supported(loaded: Checkpoint) -> None:
    config = loaded.config
    steps = [step for pipeline in (loaded.preprocessor, loaded.postprocessor) for step in pipeline.steps]
    unknown = [getattr(step, "_registry_name", type(step).__name__) for step in steps]
    unknown = [name for name in unknown if name not in _STEPS]
    inputs = {key: feature.shape for key, feature in config.input_features.items() if len(feature.shape) != 3}
    wrong = {
        "adapt_to_pi_aloha": config.adapt_to_pi_aloha,
        f"processors {', '.join(unknown)}": bool(unknown),
        f"inputs {', '.join(inputs)} beside cameras": list(inputs) != [STATE],
        "images that are normalized by statistics": "VISUAL" in norm_map(loaded)
        and norm_map(loaded)["VISUAL"] != "IDENTITY"
        and any(key in stats_of(loaded, "normalizer_processor") for key in config.image_features),
    }
    if found := [what for what, is_so in wrong.items() if is_so]:
        raise ConfigurationError(f"{loaded.folder}: has {'; '.join(found)}, which the export does not know")


# ---- comparing


def _compare(loaded: Checkpoint, folder: Path, runs: int) -> tuple[float, float, dict[str, float]]:
    """Return the largest difference of chunks, in the model's units, and times of either side, ms."""
    import torch

    runtime = SmolVLARuntime(folder)
    d = runtime.description
    random = np.random.default_rng(0)
    worst, torch_ms, onnx_ms = 0.0, [], []
    try:
        for run in range(max(1, runs)):
            images = {
                image.key: random.integers(0, 256, (image.height, image.width, 3), dtype=np.uint8)
                for image in d.images
                if not image.empty
            }
            state = np.array(d.state.offset) + np.array(d.state.scale) * random.standard_normal(len(d.state))
            task = TEXTS[1] if run % 2 == 0 else "wait"
            noise = random.standard_normal((1, d.chunk_size, d.action_width)).astype(np.float32)
            batch = {
                key: torch.from_numpy(image).permute(2, 0, 1).float() / 255.0 for key, image in images.items()
            }
            batch |= {d.state.key: torch.from_numpy(state.astype(np.float32)), "task": task}
            start = time.perf_counter()
            with torch.no_grad():
                prepared = loaded.preprocessor(batch)
                prepared = _cut_language(prepared, d.language_tokens)
                eager = loaded.policy.predict_action_chunk(prepared, noise=torch.from_numpy(noise))
                eager = loaded.postprocessor(eager)
            torch_ms.append((time.perf_counter() - start) * 1e3)
            chunk = runtime.predict(images, state.astype(np.float32), task, noise=noise)
            onnx_ms.append(runtime.ms)
            difference = (chunk - eager.double().numpy()[0]) / np.array(d.action.scale)
            worst = max(worst, float(np.max(np.abs(difference))))
            if not np.all(np.isfinite(chunk)):
                worst = float("inf")
    finally:
        runtime.close()
    parts = {name: float(np.median([ms[name] for ms in onnx_ms])) for name in onnx_ms[0]}
    return worst, float(np.median(torch_ms)), parts


def _cut_language(batch: dict[str, Any], tokens: int) -> dict[str, Any]:
    """What LeRobot would have made of an instruction with a limit of so many tokens."""
    return {
        key: value[:, :tokens] if key.startswith("observation.language.") else value
        for key, value in batch.items()
    }


# ---- the command line


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="edge export-policy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="folder of a LeRobot SmolVLA, or its name on the hub")
    parser.add_argument(
        "--out", type=Path, help="folder to write (default: the checkpoint's name with -onnx, here)"
    )
    parser.add_argument(
        "--fp16", action="store_true", help="half precision, for TensorRT and GPUs; slower on CPUs"
    )
    parser.add_argument(
        "--language-tokens", type=_positive, help="longest instruction; fewer than its own are faster"
    )
    parser.add_argument(
        "--units", choices=UNITS, default="", help="of state and action, checked against the contract"
    )
    parser.add_argument(
        "--noise-scale",
        type=_share,
        default=1.0,
        help="of the noise that chunks grow from; 0: the middle of what the policy would do (default: 1, as LeRobot)",
    )
    parser.add_argument("--runs", type=_positive, default=3, help="chunks to compare and time (default: 3)")
    arguments = parser.parse_args(argv)
    out = arguments.out or Path(Path(arguments.checkpoint).name + "-onnx")
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        pass  # said below, with the remedy
    start = time.monotonic()
    try:
        exported = export(
            arguments.checkpoint,
            out,
            precision="fp16" if arguments.fp16 else "fp32",
            language_tokens=arguments.language_tokens,
            units=arguments.units,
            noise_scale=arguments.noise_scale,
            runs=arguments.runs,
            say=lambda text: print(f"[{time.monotonic() - start:5.1f} s] {text}", flush=True),
        )
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _print_table(out, exported)
    return 0


def _print_table(out: Path, exported: Exported) -> None:
    d, ms = exported.description, exported.onnx_ms
    whole = sum(ms.values())
    sizes = {name: graph.bytes / 1e6 for name, graph in d.graphs.items()}
    rows = [
        (name, f"{sizes[name]:.1f}" if name in sizes else "", f"{ms[name]:.1f}")
        for name in ("images", *files.GRAPHS)
    ]
    rows.append(("all", f"{sum(sizes.values()):.1f}", f"{whole:.1f}"))
    print(f"{out} ({d.precision})")
    for name, size_mb, part_ms in (("part", "MB", "ms"), *rows):
        print(f"{name:10} {size_mb:>9} {part_ms:>9}")
    print(f"parity: at most {d.parity_max_abs:.2g} from LeRobot in torch (bound {BOUNDS[d.precision]:g})")
    print(
        f"LeRobot in torch, one thread: {exported.torch_ms:.1f} ms a chunk, {exported.torch_ms / whole:.1f} times this"
    )
    print(f"peak memory of this export: {exported.peak_mb:.0f} MB")


def _share(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
