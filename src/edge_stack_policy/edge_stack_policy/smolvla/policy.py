# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Policy `smolvla`: a SmolVLA that `./edge export-policy` has exported, without torch.

Its unit is one prediction. Observations come under the checkpoint's keys, images as uint8 [H, W, 3], the state in the
contract's units; chunks go out in rad and continue the running one by real-time chunking.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.device import CPU, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, TASK, Observation
from edge_stack_policy.contract import FeatureShapes, from_units, plain_contract, to_units
from edge_stack_policy.contract_check import check
from edge_stack_policy.files import find_policy
from edge_stack_policy.settings import PolicySettings
from edge_stack_policy.smolvla.description import Description, Vector
from edge_stack_policy.smolvla.runtime import SmolVLARuntime


class SmolVLAPolicy:
    """The exported folder at settings.path, on settings.device (none: the CPU)."""

    def __init__(self, settings: PolicySettings) -> None:
        self.name = "smolvla"
        self.problem = ""
        self.guides_chunks = True
        self.class_names: tuple[str, ...] = ()
        self._settings = settings
        self.device = parse_device(settings.device or CPU)
        self._contract = settings.contract or plain_contract(settings.robot, settings.step_s)
        self.action_names = self._contract.action.joints
        self.step_s = 1.0 / self._contract.rate_hz
        self.input_features: tuple[str, ...] = self._contract.input_features
        self._runtime: SmolVLARuntime | None = None

    def load(self) -> None:
        """Open the graphs, check them against the contract and with one prediction."""
        self.close()
        runtime = self._open(find_policy(self._settings.path))
        try:
            d = runtime.description
            check(self._contract, features_of(d), self._settings.robot)
            self._check_units(d)
            self.input_features = (*(image.key for image in d.images if not image.empty), d.state.key)
            self._runtime = runtime
            values = self._predict(runtime, self._example(d))
            if not np.all(np.isfinite(values)):
                raise ConfigurationError(
                    f"{self._settings.path}: predicts values that are not finite; export it again"
                )
        except Exception:
            self.close()
            raise
        self.reset()

    def reset(self) -> None:
        """Forget the images seen. Chunks do not depend on the past but by LEFTOVER."""
        self.problem = ""
        if self._runtime is not None:
            self._runtime.forget()

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return positions [H, A], rad. ValueError if a part is missing or has the wrong shape."""
        if self._runtime is None:
            raise RuntimeError("the policy is not loaded")
        return self._predict(self._runtime, observation)

    def close(self) -> None:
        """Free the graphs."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()

    def _open(self, folder: Path) -> SmolVLARuntime:
        """Open the graphs."""
        return SmolVLARuntime(folder, device=self.device, threads=self._settings.threads)

    def _predict(self, runtime: SmolVLARuntime, observation: Observation) -> NDArray[np.float64]:
        d = runtime.description
        if d.state.key not in observation:
            raise ValueError(f"{d.state.key}: is missing in the observation")
        leftover = observation.get(LEFTOVER)
        chunk = runtime.predict(
            {image.key: np.asarray(observation[image.key]) for image in d.images if image.key in observation},
            np.asarray(observation[d.state.key]),
            str(observation.get(TASK, "")),
            None if leftover is None else to_units(self._contract.action, leftover),
            int(observation.get(DELAY_STEPS, 0)),
        )
        return from_units(self._contract.action, chunk)

    def _check_units(self, d: Description) -> None:
        for feature, vector in ((self._contract.state, d.state), (self._contract.action, d.action)):
            if feature is not None and vector.units and set(feature.units) != {vector.units}:
                where = self._contract.path or "contract"
                raise ConfigurationError(
                    f"{where}: {vector.key}: units: {', '.join(dict.fromkeys(feature.units))}; the policy was exported for"
                    f" {vector.units}"
                )

    def _example(self, d: Description) -> dict[str, object]:
        """Return an observation of the right shapes: the robot at home, black images."""
        home = dict(zip(self._settings.robot.joint_names, self._settings.robot.home, strict=True))
        state = self._contract.state
        assert state is not None, "the check has found it"
        return {
            TASK: self._contract.task_default,
            d.state.key: to_units(state, [home[name] for name in state.fields]),
            **{image.key: np.zeros((image.height, image.width, 3), dtype=np.uint8) for image in d.images},
        }


def features_of(d: Description) -> FeatureShapes:
    """Return what the exported policy says about itself."""

    def by_key(part: str) -> dict[str, tuple[str, ...]]:
        return {vector.key: getattr(vector, part) for vector in (d.state, d.action) if getattr(vector, part)}

    def range_of(vector: Vector) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(vector.low), np.array(vector.high)

    return FeatureShapes(
        {
            **{image.key: (3, image.height, image.width) for image in d.images if not image.empty},
            d.state.key: (len(d.state),),
        },
        {d.action.key: (len(d.action),)},
        flexible_images=True,
        names=by_key("names"),
        ranges={vector.key: range_of(vector) for vector in (d.state, d.action) if vector.low},
    )
