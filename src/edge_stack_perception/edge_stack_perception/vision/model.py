# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One vision model: an image in, Detections and stage times out.

Its unit of work is one image. It joins an engine with the preparation and decoding of the model's task, takes task,
class names, size and layout from the model file, and refuses at open what would fail later. Not for use from two
threads at once. It knows no messages and no rates.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_inference.engines.base import Engine, ModelError, Runner
from edge_stack_inference.engines.registry import create_engine
from edge_stack_inference.engines.triton import TritonEngine
from edge_stack_inference.splitting.admissions import Admissions
from edge_stack_perception.vision.decode import Thresholds, check_outputs, decode
from edge_stack_perception.vision.letterbox import PADDING_VALUE, CenterCrop, Letterbox, Preprocessor
from edge_stack_perception.vision.types import TASKS, Detections, ModelMeta, StageTimes

__all__ = ["VisionModel", "read_metadata"]


class VisionModel:
    """A model that was opened with :meth:`open`. meta: what the file says about it. engine: what executes it."""

    def __init__(
        self,
        engine: Runner,
        meta: ModelMeta,
        admissions: Admissions | None = None,
        on_processor: bool = True,
    ) -> None:
        """engine: open. meta: of the model that it runs. admissions, on_processor: see :meth:`open`."""
        self.engine = engine
        self.meta = meta
        self._admissions = admissions or Admissions()
        self._admitted = self._admissions.of if on_processor else _at_once
        self._prepare: Preprocessor = (CenterCrop if meta.task == "classify" else Letterbox)(meta.imgsz)

    @classmethod
    def open(
        cls,
        path: str | Path,
        task: str,
        engine: str | Engine = "auto",
        threads: int = 1,
        admissions: Admissions | None = None,
        on_processor: bool = True,
    ) -> VisionModel:
        """
        Load a model and run it once, so that the first image is as fast as the next.

        Args:
            path: the model file.
            task: the task that the model must have, one of TASKS.
            engine: an engine's name; "auto" chooses by the file name's ending; or an engine that is not open yet.
            threads: how many threads the inference may use, 1 or more.
            admissions: what the engine asks before each of its slices; None: the caller has the whole call admitted.
            on_processor: whether they are admissions to the processor, which preparing and decoding ask for, too.

        Raises:
            ModelError: the file is missing, damaged, of another task, without metadata, or does not fit its metadata;
                the text names the file and says what would be right.
        """
        path = Path(path)
        if threads < 1:
            raise ModelError(f"threads: {threads}; 1 or more is needed")
        if not path.exists():
            raise ModelError(f"{path}: no such file")
        runner = create_engine(path, engine) if isinstance(engine, str) else engine
        if not path.name.lower().endswith(runner.suffixes):
            raise ModelError(f"{path}: engine {runner.name} opens {', '.join(runner.suffixes)} only")
        return cls._started(
            runner, lambda: runner.open(path, threads), str(path), task, admissions, on_processor
        )

    @classmethod
    def served(cls, server: TritonEngine, task: str, admissions: Admissions | None = None) -> VisionModel:
        """
        Use a model on a server, and run it once.

        Args:
            server: not connected yet.
            task: the task that the model must have, one of TASKS.
            admissions: asked before preparing and decoding, which are done here; None: nothing is asked.

        Raises:
            ModelError: as :meth:`open`, or the server does not answer.
        """
        return cls._started(server, server.connect, server.address, task, admissions, True)

    @classmethod
    def _started(
        cls,
        runner: Runner,
        load: Callable[[], Mapping[str, Any]],
        where: str,
        task: str,
        admissions: Admissions | None,
        on_processor: bool,
    ) -> VisionModel:
        """Load, check and warm up. where: what errors name."""
        try:
            meta = read_metadata(load(), where)
            if meta.task != task:
                raise ModelError(
                    f"{where}: is a model of task {meta.task}, not {task}; give a {task} model or set task: {meta.task}"
                )
            model = cls(runner, meta, admissions, on_processor)
            model._warm_up(where)
        except BaseException:
            runner.close()
            raise
        return model

    def __call__(
        self,
        rgb: NDArray[np.uint8],
        conf: float = 0.25,
        iou: float = 0.7,
        max_det: int = 300,
        class_agnostic: bool = False,
    ) -> tuple[Detections, StageTimes]:
        """
        Run the model on one image.

        Args:
            rgb: uint8 [H, W, 3]; not changed and not kept.
            conf: least score of a detection. iou: most overlap within a class (dense layout only).
            max_det: detections at most. class_agnostic: suppress across classes too (dense layout only).

        Returns:
            The results in pixels of ``rgb`` and how long each stage took.

        Raises:
            Refused: admission did not admit a slice.
        """
        admissions, waited_s = self._admissions, self._admissions.delay_s
        with self._admitted("preprocess"):
            start = time.perf_counter()
            tensor, geometry = self._prepare(rgb)
            preprocess_s = time.perf_counter() - start
        before_s, start = admissions.delay_s, time.perf_counter()
        outputs = self.engine.run(tensor)
        inference_s = time.perf_counter() - start - (admissions.delay_s - before_s)
        with self._admitted("postprocess"):
            start = time.perf_counter()
            detections = decode(outputs, self.meta, geometry, Thresholds(conf, iou, max_det, class_agnostic))
            postprocess_s = time.perf_counter() - start
        waited_s = admissions.delay_s - waited_s
        times = StageTimes(preprocess_s * 1e3, inference_s * 1e3, postprocess_s * 1e3, waited_s * 1e3)
        return detections, times

    def close(self) -> None:
        """Free the model; it cannot be called after that."""
        self.engine.close()

    def _warm_up(self, path: str) -> None:
        grey = np.full((*self.meta.imgsz, 3), PADDING_VALUE, np.uint8)
        try:
            outputs = self.engine.run(self._prepare(grey)[0])
            problem = check_outputs([tuple(output.shape) for output in outputs], self.meta)
            if problem is not None:
                raise ModelError(f"{path}: does not fit its own metadata (task {self.meta.task}): {problem}")
            self(grey)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{path}: does not run: {error}") from error


def _at_once(_key: Hashable) -> AbstractContextManager[None]:
    return nullcontext()


def read_metadata(metadata: Mapping[str, Any], path: str | Path) -> ModelMeta:
    """
    Read the metadata that Ultralytics writes into an export; values are Python objects or their text.

    Raises:
        ModelError: something needed is missing or makes no sense; the text names the file.
    """
    if not metadata.get("task") or not metadata.get("names"):
        raise ModelError(
            f"{path}: has no Ultralytics metadata (task, names), so what its outputs mean is unknown; export it with"
            " ultralytics, which writes them"
        )
    task = str(metadata["task"])
    if task not in TASKS:
        raise ModelError(f"{path}: is a model of task {task}; one of {', '.join(TASKS)} is needed")
    names = _names(_value(metadata, "names", path), path)
    imgsz = _size(metadata, path)
    # args.nms=True: NMS is part of the exported graph, so its rows are final detections too.
    arguments = _value(metadata, "args", path)
    inside = isinstance(arguments, Mapping) and bool(arguments.get("nms"))
    layout = "end2end" if bool(_value(metadata, "end2end", path)) or inside else "dense"
    kpt_shape: tuple[int, int] | None = None
    points: tuple[str, ...] = ()
    if task == "pose":
        shape = _value(metadata, "kpt_shape", path)
        if not _whole_numbers(shape, 2) or shape[0] < 1 or shape[1] not in (2, 3):
            raise ModelError(f"{path}: kpt_shape {shape!r}; [keypoints, 2 or 3] is needed")
        kpt_shape = int(shape[0]), int(shape[1])
        points = _keypoint_names(_value(metadata, "kpt_names", path), kpt_shape[0])
    return ModelMeta(task, names, imgsz, layout, kpt_shape, points)


def _value(metadata: Mapping[str, Any], key: str, path: str | Path) -> Any:
    value = metadata.get(key)
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ModelError(f"{path}: metadata {key} cannot be read: {value[:80]!r}") from None


def _names(value: Any, path: str | Path) -> tuple[str, ...]:
    names = dict(enumerate(value)) if isinstance(value, (list, tuple)) else value
    if not isinstance(names, Mapping) or sorted(names) != list(range(len(names))):
        raise ModelError(
            f"{path}: metadata names {str(value)[:80]!r}; a name for each class 0, 1, ... is needed"
        )
    return tuple(str(names[index]) for index in range(len(names)))


def _size(metadata: Mapping[str, Any], path: str | Path) -> tuple[int, int]:
    """Return the input (height, width): what the file fixes, else what its metadata says."""
    shape = metadata.get("input_shape")
    if shape is not None:
        if tuple(shape[:2]) != (1, 3):
            raise ModelError(f"{path}: takes input {list(shape)}; [1, 3, height, width] is needed")
        return int(shape[2]), int(shape[3])
    size = _value(metadata, "imgsz", path)
    if isinstance(size, int):
        size = (size, size)
    if not _whole_numbers(size, 2) or min(size) < 1:
        raise ModelError(f"{path}: metadata imgsz {size!r}; [height, width] is needed")
    return int(size[0]), int(size[1])


def _keypoint_names(value: Any, count: int) -> tuple[str, ...]:
    """Take the names of the first class that has as many as there are keypoints; numbers where there are none."""
    lists = list(value.values()) if isinstance(value, Mapping) else [value]
    for names in lists:
        if isinstance(names, (list, tuple)) and len(names) == count:
            return tuple(str(name) for name in names)
    return tuple(str(index) for index in range(count))


def _whole_numbers(value: Any, count: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == count and all(isinstance(v, int) for v in value)
