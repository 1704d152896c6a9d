# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Policy `lerobot`: any LeRobot checkpoint, in this process, with its own pre- and post-processors.

Its unit is one prediction. Observations come under the checkpoint's keys, images as uint8 [H, W, 3], the state in the
contract's units; chunks go out in rad. Policies that support real-time chunking continue the running chunk by LeRobot's own
RTCProcessor. It never trains, and imports lerobot only when it loads.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.device import CPU, is_cuda, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import DELAY_STEPS, DETECTION_FIELDS, LEFTOVER, TASK, TIME_S, Observation
from edge_stack_policy.contract import ACTION, from_units, plain_contract, to_units
from edge_stack_policy.contract_check import check
from edge_stack_policy.lerobot.checkpoint import Checkpoint, load_checkpoint
from edge_stack_policy.lerobot.features import best_rows
from edge_stack_policy.lerobot.history import History
from edge_stack_policy.lerobot.installed import require_lerobot, rtc_config, rtc_prefix
from edge_stack_policy.settings import PolicySettings


class LeRobotPolicy:
    """One checkpoint, at settings.path, on settings.device."""

    def __init__(self, settings: PolicySettings) -> None:
        self.name = "lerobot"
        self.problem = ""
        self.guides_chunks = False
        self._settings = settings
        self.device = settings.device
        self._contract = settings.contract or plain_contract(settings.robot, settings.step_s)
        self.action_names = self._contract.action.joints
        self.step_s = 1.0 / self._contract.rate_hz
        environment = self._contract.environment_state
        self.class_names: tuple[str, ...] = environment.class_names if environment else ()
        self.input_features: tuple[str, ...] = self._contract.input_features
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._fixed_images = False
        self._checkpoint: Checkpoint | None = None
        self._history: History | None = None

    def load(self) -> None:
        """Load weights and processors, and check them against the contract and with one prediction."""
        require_lerobot()
        import torch

        torch.set_num_threads(max(1, self._settings.threads))
        self.device = device = parse_device(
            self._settings.device or ("cuda" if torch.cuda.is_available() else CPU)
        )
        if is_cuda(device) and not torch.cuda.is_available():
            raise ConfigurationError(f"device: {device} is not there (torch {torch.__version__}); use cpu")
        checkpoint = load_checkpoint(self._settings.path, device)
        features = checkpoint.features()
        check(self._contract, features, self._settings.robot)
        self.input_features = tuple(features.inputs)
        self._shapes = dict(features.inputs)
        self._fixed_images = not features.flexible_images
        self.guides_chunks = checkpoint.guides_chunks
        if self.guides_chunks:
            checkpoint.config.rtc_config = checkpoint.config.rtc_config or rtc_config()
            checkpoint.config.rtc_config.enabled = True
            checkpoint.policy.init_rtc_processor()
        steps = int(getattr(checkpoint.config, "n_obs_steps", 1))
        self._history = History(steps, self.step_s) if _keeps_queues(checkpoint) or steps > 1 else None
        self._checkpoint = checkpoint
        try:
            self.predict_action_chunk(self._example())
            if checkpoint.kind == "smolvla" and is_cuda(device):
                self._capture(checkpoint, device)
        except Exception as error:
            self.close()
            raise ConfigurationError(
                f"{checkpoint.folder}: this {checkpoint.kind} policy loads, but cannot predict: {error}"
            ) from error
        self.reset()

    def reset(self) -> None:
        """Forget past observations and actions."""
        self.problem = ""
        if self._history is not None:
            self._history.clear()
        checkpoint = self._checkpoint
        if checkpoint is not None:
            checkpoint.policy.reset()
            checkpoint.preprocessor.reset()
            checkpoint.postprocessor.reset()

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return positions [H, A], rad, from one observation. ValueError if a part is missing or has the wrong shape."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            raise RuntimeError("the policy is not loaded")
        import torch

        with torch.no_grad(), _autocast(checkpoint):
            batch = self._prepared(checkpoint, observation)
            if self._history is not None:
                self._history.add(float(observation.get(TIME_S, 0.0)), batch)
                batch = _fill_queues(checkpoint, self._history)
            chunk = self._predict(checkpoint, batch, observation)
            actions = checkpoint.postprocessor(chunk)
        values = np.asarray(actions.detach().to("cpu", torch.float64)).reshape(-1, len(self.action_names))
        return from_units(self._contract.action, values)

    def close(self) -> None:
        """Free the model, on the GPU too."""
        checkpoint, self._checkpoint, self._history = self._checkpoint, None, None
        if checkpoint is not None and str(checkpoint.config.device).startswith("cuda"):
            import torch

            del checkpoint
            torch.cuda.empty_cache()

    def _capture(self, checkpoint: Checkpoint, device: str) -> None:
        """Replay SmolVLA as CUDA graphs where that works and gives the same."""
        from edge_stack_policy.smolvla.capture import cuda_capture, use_captured

        reason = use_captured(
            checkpoint.policy, self._prepared(checkpoint, self._example()), cuda_capture(device)
        )
        if reason:
            warnings.warn(
                f"{checkpoint.folder}: runs without CUDA graphs, several times slower: {reason}", stacklevel=3
            )

    # ---- one prediction

    def _prepared(self, checkpoint: Checkpoint, observation: Observation) -> dict[str, Any]:
        """Return the batch that the preprocessor makes of an observation."""
        import torch

        batch: dict[str, Any] = {TASK: str(observation.get(TASK, ""))}
        for key, shape in self._shapes.items():
            if key not in observation:
                raise ValueError(f"{key}: is missing in the observation")
            value = np.asarray(observation[key])
            if len(shape) == 3:
                self._check_image(key, value, shape)
                image = torch.from_numpy(np.ascontiguousarray(value))
                batch[key] = image.permute(2, 0, 1).float() / 255.0
                continue
            if self._contract.environment_state and key == self._contract.environment_state.key:
                value = best_rows(value, self._contract.environment_state.rows)
            if value.shape != shape:
                raise ValueError(f"{key}: has shape {list(value.shape)}; {list(shape)} is needed")
            batch[key] = torch.from_numpy(value.astype(np.float32))
        prepared: dict[str, Any] = checkpoint.preprocessor(batch)
        prepared.pop(
            ACTION, None
        )  # an empty place for training data; some policies would take it for an observation
        return prepared

    def _check_image(self, key: str, image: NDArray[Any], shape: tuple[int, ...]) -> None:
        if image.ndim != 3 or image.shape[2] != shape[0] or image.dtype != np.uint8:
            raise ValueError(
                f"{key}: is {image.dtype} {list(image.shape)}; uint8 [H, W, {shape[0]}] is needed"
            )
        if self._fixed_images and image.shape[:2] != shape[1:]:
            raise ValueError(
                f"{key}: is {image.shape[0]}x{image.shape[1]}, the checkpoint wants {shape[1]}x{shape[2]} (height x"
                " width); let the contract resize it"
            )

    def _predict(self, checkpoint: Checkpoint, batch: dict[str, Any], observation: Observation) -> Any:
        """Return the model's chunk [1, H, A], normalized; [1, A] from a policy that has no chunks."""
        policy = checkpoint.policy
        try:
            if self.guides_chunks and LEFTOVER in observation:
                return policy.predict_action_chunk(batch, **self._guidance(checkpoint, observation))
            return policy.predict_action_chunk(batch)
        except NotImplementedError:
            return policy.select_action(batch)

    def _guidance(self, checkpoint: Checkpoint, observation: Observation) -> dict[str, Any]:
        """What the running chunk asks of the new one, in the model's units."""
        import torch

        leftover = np.asarray(observation[LEFTOVER], dtype=np.float64)
        chunk_size = getattr(checkpoint.config, "chunk_size", len(leftover))
        leftover = leftover[:chunk_size]
        if not len(leftover):
            return {}
        values = torch.from_numpy(to_units(self._contract.action, leftover).astype(np.float32))
        prefix = rtc_prefix(
            values,
            checkpoint.step("normalizer_processor"),
            checkpoint.step("relative_actions_processor"),
            checkpoint.config.device,
        )
        delay = min(max(int(observation.get(DELAY_STEPS, 0)), 0), len(leftover))
        # Beyond the delay the old chunk must fade out, not end: as far again, and never less than the policy's own choice.
        horizon = min(len(leftover), max(checkpoint.config.rtc_config.execution_horizon, 2 * delay))
        return {"inference_delay": delay, "prev_chunk_left_over": prefix, "execution_horizon": horizon}

    def _example(self) -> dict[str, Any]:
        """Return an observation of the right shapes: the robot at home, black images."""
        home = dict(zip(self._settings.robot.joint_names, self._settings.robot.home))
        example: dict[str, Any] = {TASK: self._contract.task_default, TIME_S: 0.0}
        for key, shape in self._shapes.items():
            if len(shape) == 3:
                example[key] = np.zeros((*shape[1:], shape[0]), dtype=np.uint8)
            elif self._contract.state is not None and key == self._contract.state.key:
                positions = [home[name] for name in self._contract.state.fields]
                example[key] = to_units(self._contract.state, positions).astype(np.float32)
            else:
                example[key] = np.zeros((0, len(DETECTION_FIELDS)), dtype=np.float32)
        return example


def _keeps_queues(checkpoint: Checkpoint) -> bool:
    """Return whether the policy reads observations from queues of its own that only `select_action` fills."""
    queues = getattr(checkpoint.policy, "_queues", None) or {}
    return any(key.startswith("observation") for key in queues)


def _fill_queues(checkpoint: Checkpoint, history: History) -> dict[str, Any]:
    """Lay the past into the policy's queues, as its `select_action` would have, and return the newest batch."""
    queues = getattr(checkpoint.policy, "_queues", None) or {}
    images = list(checkpoint.config.image_features)
    batch: dict[str, Any] = {}
    for past in history.look_back():
        batch = dict(past)
        if images and "observation.images" in queues:
            import torch

            batch["observation.images"] = torch.stack([batch[key] for key in images], dim=-4)
        if images and "observation.image" in queues:
            batch["observation.image"] = batch[images[0]]
        for key, queue in queues.items():
            if key in batch and key.startswith("observation"):
                queue.append(batch[key])
    return batch


def _autocast(checkpoint: Checkpoint) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision where the checkpoint was trained so and the device can."""
    import torch

    device = str(checkpoint.config.device)
    if not getattr(checkpoint.config, "use_amp", False) or not device.startswith("cuda"):
        return contextlib.nullcontext()
    return torch.autocast(device_type="cuda")
