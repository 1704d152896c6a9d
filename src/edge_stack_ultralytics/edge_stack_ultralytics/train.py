# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Trains the demo's models on rendered scenes, exports them to ONNX and measures the exported files.

Its unit of work is one task: data (rendered where missing), training, export, evaluation on held-out scenes,
and an entry in metrics.json. It writes below --work and, with --install, into the package's weights folder.

    python -m edge_stack_ultralytics.train --task all --work /tmp/training --install
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_stack_ultralytics import TASKS, card, offline, weights_folder
from edge_stack_ultralytics.export import export_onnx, measure, milliseconds
from edge_stack_ultralytics.recipes import (
    COMMON,
    IMAGE_SIZE,
    METRIC_NAMES,
    RECIPES,
    SCALE,
    THRESHOLDS,
    YAML_OF_TASK,
)


def model_yaml(task: str, work: Path) -> Path:
    """Write ultralytics' YOLO26 architecture of a task at our scale, and return the file."""
    import ultralytics
    from ultralytics.utils import YAML

    name = YAML_OF_TASK[task]
    source = Path(ultralytics.__file__).parent / "cfg" / "models" / "26" / f"{name}.yaml"
    architecture = YAML.load(source)
    architecture["scales"] = {"n": list(SCALE)}
    path = work / "models" / f"{name.replace('yolo26', 'yolo26n')}.yaml"  # the "n" names the scale
    path.parent.mkdir(parents=True, exist_ok=True)
    YAML.save(path, architecture)
    return path


def train(task: str, data: Path, work: Path, epochs: int | None = None) -> Path:
    """Train one task. Returns the .pt file of its best epoch."""
    from ultralytics import YOLO

    recipe = RECIPES[task]
    model = YOLO(str(model_yaml(task, work)), task=task)
    if recipe.start_from is not None:
        start = work / "runs" / recipe.start_from / "weights" / "best.pt"
        if not start.is_file():
            raise FileNotFoundError(f"{task} starts from {start}; train {recipe.start_from} first")
        model.load(str(start))
    settings: dict[str, Any] = {
        **COMMON,
        "epochs": epochs or recipe.epochs,
        "lr0": recipe.lr0,
        "batch": recipe.batch,
        "nbs": recipe.batch,  # step the optimiser after every batch
        "imgsz": max(IMAGE_SIZE),
        "rect": task != "classify",
        "cache": "ram",
        "workers": 0,
        "device": "cpu",
        "amp": False,
        "plots": False,
        "project": str(work / "runs"),
        "name": task,
        "exist_ok": True,
        "patience": 1000,
        **recipe.settings,
    }
    source = data / "classify" if task == "classify" else data / f"{task}.yaml"
    started = time.monotonic()
    cpu = time.process_time()
    trainer = _classify_trainer() if task == "classify" else None
    model.train(trainer=trainer, data=str(source), **settings)
    minutes = {"minutes": (time.monotonic() - started) / 60, "cpu_minutes": (time.process_time() - cpu) / 60}
    folder = work / "runs" / task
    (folder / "time.json").write_text(json.dumps({**minutes, "epochs": settings["epochs"]}))
    note_size(folder / "weights" / "best.pt")
    return folder / "weights" / "best.pt"


def note_size(checkpoint: Path) -> None:
    """Write the size that a model was really trained for into its checkpoint; ultralytics notes the longer side only."""
    import torch

    content = torch.load(checkpoint, map_location="cpu", weights_only=False)
    content["train_args"]["imgsz"] = list(IMAGE_SIZE)
    torch.save(content, checkpoint)


def _classify_trainer() -> type:
    """Trainer that squeezes the whole 4:3 frame into IMAGE_SIZE instead of cropping a square out of it."""
    from ultralytics.data.augment import classify_transforms
    from ultralytics.models.yolo.classify import ClassificationTrainer

    class WholeFrameTrainer(ClassificationTrainer):  # type: ignore[misc]
        def build_dataset(self, img_path: str, mode: str = "train", batch: Any = None) -> Any:
            from torchvision import transforms

            dataset = super().build_dataset(img_path, mode, batch)
            whole = classify_transforms(IMAGE_SIZE)
            if mode == "train":
                jitter = transforms.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)
                moves = [
                    transforms.RandomAffine(0, (0.04, 0.04), (0.95, 1.05)),
                    transforms.RandomHorizontalFlip(),
                ]
                whole = transforms.Compose([jitter, *moves, *whole.transforms])
            dataset.torch_transforms = whole
            return dataset

    return WholeFrameTrainer


def publish(task: str, data: Path, work: Path) -> dict[str, Any]:
    """Export a trained task, measure the file, and put file and metrics into WORK/weights."""
    checkpoint = work / "runs" / task / "weights" / "best.pt"
    model = export_onnx(checkpoint, work / "weights" / f"{task}.onnx")
    metrics = measure(task, model, data)
    spent = json.loads((work / "runs" / task / "time.json").read_text())
    entry = {
        "metric": METRIC_NAMES[task],
        "threshold": THRESHOLDS[task],
        "value": metrics["top1"] if task == "classify" else metrics["map50"],
        **metrics,
        "epochs": spent["epochs"],
        "training_minutes": round(spent["minutes"], 1),
        "training_cpu_minutes": round(spent["cpu_minutes"], 1),
        "bytes": model.stat().st_size,
        "onnxruntime_ms_one_thread": milliseconds(model),
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    record(work / "weights", task, entry)
    return entry


def record(folder: Path, task: str, entry: Mapping[str, Any]) -> None:
    """Put a task's entry into metrics.json of a folder."""
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text()) if path.is_file() else {}
    metrics[task] = dict(entry)
    path.write_text(json.dumps({name: metrics[name] for name in TASKS if name in metrics}, indent=2) + "\n")


def install(task: str, work: Path) -> None:
    """Copy a task's file and metrics into the package."""
    folder = weights_folder()
    shutil.copyfile(work / "weights" / f"{task}.onnx", folder / f"{task}.onnx")
    record(folder, task, json.loads((work / "weights" / "metrics.json").read_text())[task])
    card.update(folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train, export and measure the demo's models.")
    parser.add_argument("--task", choices=(*TASKS, "all"), default="all")
    parser.add_argument("--work", type=Path, required=True, help="folder for data, runs and exports")
    parser.add_argument(
        "--data", type=Path, help="folder of the data sets (default WORK/data, rendered if missing)"
    )
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads; no more than idle cores (default 1)"
    )
    parser.add_argument(
        "--skip-training", action="store_true", help="only export and measure the last training"
    )
    parser.add_argument("--install", action="store_true", help="copy what is good enough into the package")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    offline.prepare(arguments.threads)
    work: Path = arguments.work
    data: Path = arguments.data or work / "data"
    if not (data / "detect.yaml").is_file():
        from edge_stack_ultralytics.dataset import Counts, render_all

        data.mkdir(parents=True, exist_ok=True)
        render_all(data, Counts())
    short = []
    for task in TASKS if arguments.task == "all" else (arguments.task,):
        if not arguments.skip_training:
            train(task, data, work, arguments.epochs)
        entry = publish(task, data, work)
        print(
            f"{task}: {entry['metric']} {entry['value']:.3f} (at least {entry['threshold']} is wanted)",
            flush=True,
        )
        if entry["value"] < entry["threshold"]:
            short.append(task)
        elif arguments.install:
            install(task, work)
    if short:
        raise SystemExit(f"below the threshold: {', '.join(short)}")


if __name__ == "__main__":
    main()
