# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What a policy is: from one observation to a chunk of future joint positions.

Its unit of work is one prediction. A policy knows no ROS and no clock of its own; the vla node, a test or a training
script feeds it. Names and keys are LeRobot's, so that a LeRobot policy fits behind the same methods. Policies are found
by name: those of this package, and those that an installed package offers in the entry point group
"edge_stack.policies" (a callable that takes `PolicySettings` and returns a `Policy`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import Robot
from edge_stack_policy.remote.settings import OffBoardSettings

if TYPE_CHECKING:
    from edge_stack_policy.contract import PolicyContract

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

ENTRY_POINTS = "edge_stack.policies"

Observation = Mapping[str, Any]


class PolicyUnavailable(Exception):
    """No chunk can be had at present (a server does not answer, a time limit passed); the text says why. Try again."""


@runtime_checkable
class Policy(Protocol):
    """Something that turns observations into action chunks. Called from one thread at a time."""

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


@dataclass(frozen=True)
class PolicySettings:
    """What every policy is made from.

    robot: joints, limits, cameras and geometry. camera: the camera whose pixels the detections are in. step_s: time
    between two actions. horizon: actions in a chunk. path: weights, for policies that have some. contract: what its
    features are on this robot; None: the robot's joints in rad and its cameras by name. device: what a torch policy runs on
    (cpu, cuda:0, ...); empty: a GPU if there is one. threads: of one inference on the CPU. address, off_board: for policies
    that a server computes.
    """

    robot: Robot
    camera: str = ""
    step_s: float = 1.0 / 24.0
    horizon: int = 24
    path: str = ""
    address: str = ""
    contract: PolicyContract | None = None
    device: str = ""
    threads: int = 1
    off_board: OffBoardSettings = field(default_factory=OffBoardSettings)


def _visual_servo(settings: PolicySettings) -> Policy:
    from edge_stack_policy.visual_servo.policy import VisualServo

    return VisualServo(settings)


def _lerobot(settings: PolicySettings) -> Policy:
    from edge_stack_policy.lerobot.policy import LeRobotPolicy

    return LeRobotPolicy(settings)


def _lerobot_server(settings: PolicySettings) -> Policy:
    try:
        from edge_stack_policy.remote.lerobot_server import LeRobotServerPolicy
    except ImportError as error:
        raise ConfigurationError(f"policy lerobot_server needs grpcio and protobuf: {error}") from error
    return LeRobotServerPolicy(settings)


def _remote(settings: PolicySettings) -> Policy:
    try:
        from edge_stack_policy.remote.policy import RemotePolicy
    except ImportError as error:
        raise ConfigurationError(f"policy remote needs grpcio and protobuf: {error}") from error
    return RemotePolicy(settings)


def _smolvla(settings: PolicySettings) -> Policy:
    from edge_stack_policy.smolvla.policy import SmolVLAPolicy

    return SmolVLAPolicy(settings)


def _triton(settings: PolicySettings) -> Policy:
    from edge_stack_policy.triton.policy import TritonPolicy

    return TritonPolicy(settings)


_BUILT_IN: dict[str, Callable[[PolicySettings], Policy]] = {
    "lerobot": _lerobot,
    "lerobot_server": _lerobot_server,
    "remote": _remote,
    "smolvla": _smolvla,
    "triton": _triton,
    "visual_servo": _visual_servo,
}


def policy_names() -> tuple[str, ...]:
    """Names of all policies that `make_policy` knows, sorted."""
    return tuple(sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINTS))}))


def make_policy(name: str, settings: PolicySettings) -> Policy:
    """Make the policy of that name, not loaded yet. ConfigurationError names the known ones, or why it cannot be made."""
    if name in _BUILT_IN:
        return _BUILT_IN[name](settings)
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            try:
                policy = entry.load()(settings)
            except ConfigurationError:
                raise
            except Exception as error:
                raise ConfigurationError(f"policy {name} ({entry.value}) cannot be made: {error}") from error
            if not isinstance(policy, Policy):
                raise ConfigurationError(
                    f"policy {name} ({entry.value}) is not a policy: it lacks some of its members"
                )
            return policy
    raise ConfigurationError(f"policy: '{name}' is not known; known are: {', '.join(policy_names())}")
