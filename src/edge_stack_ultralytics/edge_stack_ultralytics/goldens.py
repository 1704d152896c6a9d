# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Writes what ultralytics' own predictor says about a few images, for tests of the runtime.

Its unit of work is one ONNX file: all images, one .npz. Images are written once, next to them. The runtime's
tests read these files and the same ONNX files, and need no ultralytics.

    python -m edge_stack_ultralytics.goldens --work /tmp/training --out src/edge_stack/test/data/goldens \
        --dense src/edge_stack_ultralytics/test/data/dense
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_ultralytics import TASKS, offline, weights_folder
from edge_stack_ultralytics.export import export_onnx

SCENE_SEED = 7
SCENES = 4
PHOTOS = ("bus.jpg", "zidane.jpg")
IOU = 0.7
MAX_DETECTIONS = 300
CONFIDENCE_SCENES = 0.25
CONFIDENCE_PHOTOS = 0.02  # photos hold nothing that these models know; so low, there are rows to compare


def write_images(folder: Path) -> list[Path]:
    """Render scenes that no split contains and copy ultralytics' bundled photos. Returns the image files.

    Images that are there already stay as they are, so that goldens made at different times are of the same images.
    """
    import ultralytics

    folder.mkdir(parents=True, exist_ok=True)
    scenes = [folder / f"scene_{index}.png" for index in range(SCENES)]
    if not all(path.is_file() for path in scenes):
        _render(scenes)
    for name in PHOTOS:
        if not (folder / name).is_file():
            shutil.copyfile(Path(ultralytics.__file__).parent / "assets" / name, folder / name)
    return [*scenes, *(folder / name for name in PHOTOS)]


def _render(paths: list[Path]) -> None:
    import cv2

    from edge_stack_sim.world import World
    from edge_stack_ultralytics.dataset import scramble

    rng = np.random.default_rng(SCENE_SEED)
    world = World(seed=SCENE_SEED)
    for path in paths:
        scramble(world, rng, hand_share=1.0 if path == paths[-1] else 0.0)
        bgr = cv2.cvtColor(world.render(), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    world.close()


def arrays_of(result: Any, task: str) -> dict[str, NDArray[Any]]:
    """One image's result as arrays, pixels of the original image (see the README beside the files)."""
    if task == "classify":
        return {"probabilities": result.probs.data.numpy().astype(np.float32)}
    found = result.obb if task == "obb" else result.boxes
    arrays = {
        "boxes": found.xyxy.numpy().astype(np.float32).reshape(-1, 4),
        "scores": found.conf.numpy().astype(np.float32),
        "classes": found.cls.numpy().astype(np.int32),
    }
    if task == "obb":
        arrays["xywhr"] = found.xywhr.numpy().astype(np.float32).reshape(-1, 5)
    if task == "pose":
        arrays["keypoints"] = result.keypoints.data.numpy().astype(np.float32)
    if task == "segment":
        height, width = result.orig_shape
        masks = (
            np.zeros((0, height, width), bool) if result.masks is None else result.masks.data.numpy() > 0.5
        )
        arrays["masks_packed"] = np.packbits(masks.reshape(len(masks), -1), axis=1)
    return arrays


def predict(model: Path, task: str, images: list[Path]) -> dict[str, NDArray[Any]]:
    """Predictions of one ONNX file on all images; keys are `<image>/<array>`."""
    from ultralytics import YOLO

    network = YOLO(str(model), task=task)
    arrays: dict[str, NDArray[Any]] = {}
    for image in images:
        confidence = CONFIDENCE_PHOTOS if image.name in PHOTOS else CONFIDENCE_SCENES
        result = network.predict(
            str(image), conf=confidence, iou=IOU, max_det=MAX_DETECTIONS, rect=False, retina_masks=True,
            device="cpu", verbose=False,
        )[0]  # fmt: skip
        arrays[f"{image.name}/shape"] = np.array(result.orig_shape, np.int32)
        arrays[f"{image.name}/conf"] = np.array(confidence, np.float32)
        arrays[f"{image.name}/iou"] = np.array(IOU, np.float32)
        arrays[f"{image.name}/max_det"] = np.array(MAX_DETECTIONS, np.int32)
        for name, values in arrays_of(result, task).items():
            arrays[f"{image.name}/{name}"] = values
    return arrays


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Write ultralytics' own predictions for the runtime's tests."
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--out", type=Path, required=True, help="folder of images and .npz files")
    parser.add_argument("--dense", type=Path, required=True, help="folder of the dense ONNX files")
    parser.add_argument("--task", choices=TASKS, action="append", help="may be repeated (default all)")
    arguments = parser.parse_args()
    offline.prepare()
    images = write_images(arguments.out)
    for task in arguments.task or TASKS:
        models = {"end2end": weights_folder() / f"{task}.onnx"}
        if task != "classify":
            checkpoint = arguments.work / "runs" / task / "weights" / "best.pt"
            models["dense"] = export_onnx(checkpoint, arguments.dense / f"{task}.onnx", end2end=False)
        for layout, model in models.items():
            arrays = predict(model, task, images)
            np.savez_compressed(arguments.out / f"{task}_{layout}.npz", **arrays)  # type: ignore[arg-type]
            rows = sum(len(values) for key, values in arrays.items() if key.endswith("/scores"))
            print(f"{task} {layout}: {len(images)} images, {rows} detections", flush=True)


if __name__ == "__main__":
    main()
