# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What a policy is: from one observation to a chunk of future joint positions.

Its unit of work is one prediction. A policy knows no ROS and no clock of its own; the policy node, a test or a training
script feeds it. Names and keys are LeRobot's, so that a LeRobot policy fits behind the same methods. How one is found by
its name is the registry's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

STATE = "observation.state"
"""float32 [A]: joint positions in the order of `action_names`, rad."""
IMAGES = "observation.images."
"""Prefix of uint8 [H, W, 3], RGB; followed by the camera's name."""
ENVIRONMENT_STATE = "observation.environment_state"
"""float32 [N, 8]: one detection a row; columns as in `DETECTION_FIELDS`."""
TASK = "task"
"""str: the instruction in words; empty if there is none yet."""
LEFTOVER = "prev_chunk_left_over"
"""float64 [H', A]: what the running chunk still holds at `TIME_S` + i * step_s, rad; absent while none runs."""
DELAY_STEPS = "inference_delay"
"""int: steps that will have been executed from `LEFTOVER` before the new chunk takes over; there if `LEFTOVER` is."""
TIME_S = "time_s"
"""float: when the chunk's first action will apply, s, on any clock that does not jump. Not one of LeRobot's keys."""

DETECTION_FIELDS = ("class_index", "score", "cx", "cy", "w", "h", "theta", "age_s")
"""Pixels of the camera's image; theta in rad from +x towards +y; age at `TIME_S` since the image was captured, s."""

Observation = Mapping[str, Any]


class PolicyUnavailable(Exception):
    """No chunk can be had at present (a server does not answer, a time limit passed); the text says why. Try again."""


@runtime_checkable
class Policy(Protocol):
    """
    Something that turns observations into action chunks. Called from one thread at a time.

    It may have `device`, which says from `load` on what it is computed on (cpu, cuda:N), and `inference_threads`, the
    system's ids of threads of its own that compute; without them it is the settings' device, and the calling thread.
    """

    name: str
    action_names: tuple[str, ...]
    """Joints in the order of an action's values."""
    step_s: float
    """Time between two actions of a chunk."""
    input_features: tuple[str, ...]
    """The observation keys that it needs; what is not listed need not be there."""
    class_names: tuple[str, ...]
    """What the class index of a detection means; empty where detections are not an input."""
    guides_chunks: bool
    """Whether it continues `LEFTOVER` by real-time chunking; where not, the caller merges what overlaps."""
    problem: str
    """Why it cannot do its task at present, in words; empty if nothing is wrong. It still returns chunks (a hold)."""

    def load(self) -> None:
        """Read weights and get ready. Raises ConfigurationError with what is wrong."""

    def reset(self) -> None:
        """Forget everything about the running task: a new instruction has come, or the scene has changed."""

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return positions [H, A] for the times TIME_S + i * step_s, i = 0..H-1; or raise PolicyUnavailable."""

    def close(self) -> None:
        """Free everything. Harmless if nothing is loaded; `load` makes it usable again."""
