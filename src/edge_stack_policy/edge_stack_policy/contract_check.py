# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Compares a policy's contract with what its checkpoint says about itself.

Its unit is one pair of the two. All mismatches are told at once, each with the key, what the contract gives, and what the
checkpoint wants. Units are not written in checkpoints; the range of the training data gives gross mistakes away.
"""

from __future__ import annotations

import numpy as np

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import Robot
from edge_stack_policy.base import DETECTION_FIELDS
from edge_stack_policy.contract import (
    ActionFeature,
    FeatureShapes,
    ImageFeature,
    PolicyContract,
    StateFeature,
    to_units,
)

TOO_FAR = 5.0
"""Data that reach this many times further than the joints can go are in another unit (deg for rad: 57 times)."""
TOO_NEAR = 1.0 / 20.0
"""Data that reach no further than this share of the joints' range are in another unit (rad for deg: 1/57)."""


def check(contract: PolicyContract, features: FeatureShapes, robot: Robot) -> None:
    """Raise ConfigurationError that names every mismatch: key, what is there, what is wanted."""
    found = mismatches(contract, features, robot)
    if found:
        where = contract.path or "without a policy_contract, what the robot has"
        raise ConfigurationError(f"{where}: does not fit the checkpoint: " + "; ".join(found))


def mismatches(contract: PolicyContract, features: FeatureShapes, robot: Robot) -> list[str]:
    """Return what does not fit, in words."""
    found = []
    images = {image.key: image for image in contract.images}
    for key, shape in features.inputs.items():
        if len(shape) == 3:
            if key not in images:
                have = ", ".join(images) or "none"
                found.append(
                    f"{key}: the checkpoint wants this camera {_size(shape)}; the contract has {have}"
                )
            elif not features.flexible_images:
                found += _check_image(images[key], shape, robot)
        elif contract.state is not None and key == contract.state.key:
            found += _check_vector(contract.state, "fields", contract.state.fields, shape, features)
        elif contract.environment_state is not None and key == contract.environment_state.key:
            have_n = contract.environment_state.rows * len(DETECTION_FIELDS)
            if shape != (have_n,):
                found.append(
                    f"{key}: the checkpoint wants {_values(shape)}; the contract gives {have_n}"
                    f" ({contract.environment_state.rows} rows of {len(DETECTION_FIELDS)})"
                )
        else:
            have = ", ".join(contract.input_features) or "nothing"
            found.append(f"{key}: the checkpoint wants {_values(shape)} there; the contract gives {have}")
    action = contract.action
    if action.key not in features.outputs:
        has = ", ".join(features.outputs) or "none"
        found.append(f"{action.key}: the checkpoint has no such output; it has {has}")
    else:
        found += _check_vector(action, "joints", action.joints, features.outputs[action.key], features)
    return found


def _check_image(image: ImageFeature, shape: tuple[int, ...], robot: Robot) -> list[str]:
    height, width, how = image.height, image.width, "resize gives"
    if height is None and image.camera in robot.cameras:
        camera = robot.cameras[image.camera]
        height, width, how = camera.height, camera.width, f"the camera {image.camera} gives"
    if height is None or (height, width) == shape[1:]:
        return []
    return [
        f"{image.key}: the checkpoint wants {_size(shape)}, {how} {height}x{width} (height x width); write"
        f" resize: {{height: {shape[1]}, width: {shape[2]}}}"
    ]


def _check_vector(
    feature: StateFeature | ActionFeature,
    what: str,
    names: tuple[str, ...],
    shape: tuple[int, ...],
    features: FeatureShapes,
) -> list[str]:
    if shape != (len(names),):
        return [
            f"{feature.key}: the checkpoint wants {_values(shape)}; the contract has {len(names)} {what}"
            f" ({', '.join(names)})"
        ]
    known = tuple(name.removesuffix(".pos") for name in features.names.get(feature.key, ()))
    if known and known != names:
        return [
            f"{feature.key}: the checkpoint's {what} are {', '.join(known)}; the contract's {', '.join(names)}"
        ]
    return _check_units(feature, features)


def _check_units(feature: StateFeature | ActionFeature, features: FeatureShapes) -> list[str]:
    if feature.key not in features.ranges:
        return []
    low, high = features.ranges[feature.key]
    ends = to_units(feature, np.array(feature.scale.limits).T)
    reach = float(np.max(np.abs(np.concatenate([low, high]))))
    possible = float(np.max(np.abs(ends)))
    if not TOO_NEAR * possible <= reach <= TOO_FAR * possible:
        units = ", ".join(dict.fromkeys(feature.units))
        return [
            f"{feature.key}: units: the checkpoint was trained on values up to {reach:.3g}, but in {units} these joints"
            f" reach {possible:.3g}; it was trained in another unit"
        ]
    return []


def _size(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _values(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} values" if len(shape) == 1 else _size(shape)
