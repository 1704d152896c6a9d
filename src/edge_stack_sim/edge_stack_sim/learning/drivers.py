# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Who drives the arm in a closed loop: a policy, from what it sees in the camera's frames, or the expert, from the truth.

Their unit of work is one chunk. A policy gets what the policy node would give it: images and joints by its contract, and
detections, where it wants some, by the stack's own detector.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.robot import Robot
from edge_stack_inference.model_files import DEMO, find_model
from edge_stack_perception.vision.model import VisionModel
from edge_stack_policy.base import ENVIRONMENT_STATE, TASK, TIME_S, Policy
from edge_stack_policy.contract import PolicyContract, plain_contract, to_units
from edge_stack_sim.expert import Expert, glance
from edge_stack_sim.learning.closed_loop import ClosedLoop
from edge_stack_sim.learning.demonstrations import HORIZON
from edge_stack_sim.task import PlaceTask

CONFIDENCE = 0.15
"""Least score of a detection, as robot.yaml has it."""


class Driver(Protocol):
    """Drives episode after episode."""

    name: str

    def begin(self, loop: ClosedLoop, task: PlaceTask) -> None:
        """Get ready for an episode."""

    def predict(
        self, frame: NDArray[np.uint8], state: NDArray[np.float64], words: str, now_s: float
    ) -> NDArray[np.float64]:
        """Return a chunk, as the loop asks for it."""

    def close(self) -> None:
        """Free everything."""


class ExpertDriver:
    """The expert, who need not look."""

    name = "expert"

    def __init__(self, robot: Robot) -> None:
        self._expert = Expert(robot)

    def begin(self, loop: ClosedLoop, task: PlaceTask) -> None:
        """Watch this task from now on."""
        self._loop, self._task = loop, task

    def predict(
        self, frame: NDArray[np.uint8], state: NDArray[np.float64], words: str, now_s: float
    ) -> NDArray[np.float64]:
        """Return what the expert would command from here on."""
        motion = self._expert.resume(self._loop.last_command, self._loop.command)
        return self._expert.chunk(motion, glance(self._loop.world, self._task.target), HORIZON)

    def close(self) -> None:
        """Nothing to free."""


class PolicyDriver:
    """A policy that is loaded here. contract: what it was made with; None: the robot's own joints and cameras."""

    def __init__(self, policy: Policy, robot: Robot, contract: PolicyContract | None = None) -> None:
        policy.load()
        self.name = policy.name
        self._policy, self._contract = policy, contract or plain_contract(robot)
        self._detector: VisionModel | None = None
        if ENVIRONMENT_STATE in policy.input_features:
            self._detector = VisionModel.open(find_model(DEMO, "detect"), "detect")

    def begin(self, loop: ClosedLoop, task: PlaceTask) -> None:
        """Forget the episode before."""
        self._loop = loop
        self._policy.reset()

    def predict(
        self, frame: NDArray[np.uint8], state: NDArray[np.float64], words: str, now_s: float
    ) -> NDArray[np.float64]:
        """Show the policy what there is to see."""
        needed, contract = self._policy.input_features, self._contract
        seen: dict[str, Any] = {TASK: words, TIME_S: now_s}
        seen |= {image.key: image.fit(frame) for image in contract.images if image.key in needed}
        if contract.state is not None:
            seen[contract.state.key] = to_units(contract.state, state).astype(np.float32)
        if self._detector is not None:
            seen[ENVIRONMENT_STATE] = self._detections(self._detector, frame, now_s - self._loop.frame_s)
        return self._policy.predict_action_chunk(seen)

    def close(self) -> None:
        """Free the policy and its detector."""
        self._policy.close()
        if self._detector is not None:
            self._detector.close()

    def _detections(
        self, detector: VisionModel, frame: NDArray[np.uint8], age_s: float
    ) -> NDArray[np.float32]:
        """Return what is in a frame, [N, 8], as the policy numbers it."""
        found, _ = detector(frame, conf=CONFIDENCE)
        rows = []
        for box, score, number in zip(found.boxes, found.scores, found.classes, strict=True):
            name = detector.meta.names[int(number)]
            if name in self._policy.class_names:
                left, top, right, bottom = box
                place = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
                rows.append((self._policy.class_names.index(name), score, *place, 0.0, age_s))
        return np.array(rows, dtype=np.float32).reshape(-1, 8)
