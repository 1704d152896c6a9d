# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes demonstrations as a LeRobot dataset (v3): what a policy saw at each step, and what was commanded then.

Its unit of work is one episode; it is kept or thrown away as a whole. Frames look as policies see them, by the same contract
and in the same units, so that what is trained on them runs on the stack as it is. Recording from topics and from a
simulator's loop write through here. Needs lerobot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import DETECTION_FIELDS
from edge_stack_policy.contract import ImageFeature, PolicyContract, to_units
from edge_stack_policy.lerobot.features import best_rows
from edge_stack_policy.lerobot.installed import require_lerobot

FRAMES_LEAST = 2
"""Shorter episodes are thrown away: nothing can be learned from them."""


class DatasetWriter:
    """
    Writes one new dataset. close() (or leaving a `with`) makes it complete.

    episodes, frames: written so far. pending: frames of the episode that is not ended yet.
    """

    def __init__(
        self,
        folder: str | Path,
        contract: PolicyContract,
        *,
        robot_type: str = "",
        repo_id: str = "",
        videos: bool = False,
        writer_threads: int = 0,
    ) -> None:
        """
        Write into a folder that must not exist yet, or be empty.

        videos: cameras as video files, smaller and slower to write; else as PNG. writer_threads: that save images behind the
        caller's back; 0: add() does. The sizes of images are those of the contract, or of the first frame.
        """
        require_lerobot("dataset")
        from lerobot.datasets.lerobot_dataset import (
            LeRobotDataset,
        )  # seconds, before anything has to be on time

        self._create_dataset = LeRobotDataset.create
        self.folder = Path(folder)
        if self.folder.exists():
            if not self.folder.is_dir() or any(self.folder.iterdir()):
                raise ConfigurationError(f"{self.folder}: exists already; name a new folder for the dataset")
            self.folder.rmdir()  # lerobot makes it itself
        fps = round(contract.rate_hz)
        if abs(fps - contract.rate_hz) > 1e-6 or fps < 1:
            raise ConfigurationError(
                f"rate_hz: {contract.rate_hz:g} is no whole number; LeRobot's datasets have whole frames a second"
            )
        self.contract = contract
        self.fps = fps
        self.episodes = self.frames = self.pending = 0
        self._robot_type = robot_type or None
        self._repo_id = repo_id or f"local/{self.folder.name}"
        self._videos, self._writer_threads = videos, writer_threads
        self._dataset: Any = None
        self._sizes: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> DatasetWriter:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Throw the unfinished episode away and complete the dataset."""
        self.close()

    def add(self, observation: Mapping[str, Any], action: ArrayLike, task: str) -> None:
        """
        Add one step to the present episode.

        observation: as policies get it: images uint8 [H, W, 3] (scaled here if the contract says so), the state in the
        contract's units. action: positions [A] commanded at this step, rad. ValueError names what does not fit.
        """
        frame: dict[str, Any] = {"task": task}
        for image in self.contract.images:
            frame[image.key] = self._image(image, observation)
        state, environment = self.contract.state, self.contract.environment_state
        if state is not None:
            frame[state.key] = _vector(state.key, observation.get(state.key), len(state.fields))
        if environment is not None:
            rows = np.asarray(observation.get(environment.key, ()), dtype=np.float32)
            frame[environment.key] = best_rows(rows, environment.rows)
        joints = self.contract.action
        positions = _vector(joints.key, action, len(joints.joints))
        frame[joints.key] = to_units(joints, positions).astype(np.float32)
        if self._dataset is None:
            self._dataset = self._create()
        self._dataset.add_frame(frame)
        self.pending += 1

    def end_episode(self, *, keep: bool = True) -> bool:
        """End the present episode and write it, or throw it away; return whether it was written."""
        if self._dataset is None or not self.pending:
            return False
        keep = keep and self.pending >= FRAMES_LEAST
        if keep:
            self._dataset.save_episode()
            self.episodes += 1
            self.frames += self.pending
        else:
            self._dataset.clear_episode_buffer()
        self.pending = 0
        return keep

    def close(self) -> None:
        """Throw an unfinished episode away and complete the files. Without it the dataset cannot be read."""
        self.end_episode(keep=False)
        dataset, self._dataset = self._dataset, None
        if dataset is not None:
            dataset.finalize()

    def _image(self, image: ImageFeature, observation: Mapping[str, Any]) -> Any:
        value = observation.get(image.key)
        if (
            not isinstance(value, np.ndarray)
            or value.ndim != 3
            or value.shape[2] != 3
            or value.dtype != np.uint8
        ):
            raise ValueError(f"{image.key}: uint8 [H, W, 3] is needed")
        value = image.fit(value)
        size = (value.shape[0], value.shape[1])
        if self._sizes.setdefault(image.key, size) != size:
            height, width = self._sizes[image.key]
            raise ValueError(
                f"{image.key}: is {size[0]}x{size[1]} now and was {height}x{width} (height x width); let the contract"
                " resize it"
            )
        return value

    def _create(self) -> Any:
        """Make the dataset, once the sizes of its images are known."""
        features: dict[str, Any] = {}
        for key, size in self._sizes.items():
            features[key] = {
                "dtype": "video" if self._videos else "image",
                "shape": (*size, 3),
                "names": ["height", "width", "channels"],
            }
        state, environment, action = (
            self.contract.state,
            self.contract.environment_state,
            self.contract.action,
        )
        if state is not None:
            features[state.key] = _numbers(f"{name}.pos" for name in state.fields)
        if environment is not None:
            names = (f"{field}.{row}" for row in range(environment.rows) for field in DETECTION_FIELDS)
            features[environment.key] = _numbers(names)
        features[action.key] = _numbers(f"{name}.pos" for name in action.joints)
        return self._create_dataset(
            repo_id=self._repo_id,
            fps=self.fps,
            features=features,
            root=self.folder,
            robot_type=self._robot_type,
            use_videos=self._videos,
            image_writer_threads=self._writer_threads,
        )


def _numbers(names: Any) -> dict[str, Any]:
    listed = list(names)
    return {"dtype": "float32", "shape": (len(listed),), "names": listed}


def _vector(key: str, value: Any, length: int) -> Any:
    vector = np.asarray(value if value is not None else (), dtype=np.float64)
    if vector.shape != (length,):
        raise ValueError(f"{key}: has shape {list(vector.shape)}; [{length}] is needed")
    if not np.isfinite(vector).all():
        raise ValueError(f"{key}: has values that are not finite")
    return vector.astype(np.float32)
