# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a served policy says about itself, and whether a client means the same by it.

Its unit is one Metadata message. Numbers travel without units; what they stand for (joints, units, zeros, limits, sizes) is
described on both ends from their own contracts, and compared before anything moves. Topics are the robot's own matter.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata as packages
from typing import Any

from edge_stack_policy.base import Policy
from edge_stack_policy.contract import ActionFeature, StateFeature, plain_contract
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote.wire import OBSERVATION_BYTES_MAX
from edge_stack_policy.settings import PolicySettings

_VERSIONS_OF = ("grpcio", "protobuf", "numpy", "onnxruntime", "torch", "lerobot")


def description(settings: PolicySettings, features: Iterable[str]) -> dict[str, Any]:
    """Describe what the numbers of these features and of the actions stand for, by the settings' contract."""
    contract = settings.contract or plain_contract(settings.robot, settings.step_s)
    keys = set(features)
    result: dict[str, Any] = {
        "images": {
            image.key: {"height": image.height, "width": image.width}
            for image in contract.images
            if image.key in keys
        },
        "action": _joints(contract.action, contract.action.joints),
    }
    if contract.state is not None and contract.state.key in keys:
        result["state"] = _joints(contract.state, contract.state.fields)
    environment = contract.environment_state
    if environment is not None and environment.key in keys:
        result["environment_state"] = {
            "class_names": list(environment.class_names),
            "rows": environment.rows,
        }
    return result


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Return what differs between two descriptions, in words that name the field."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        keys = dict.fromkeys([*ours, *theirs])
        found = [differences(ours.get(key), theirs.get(key), f"{where}.{key}".lstrip(".")) for key in keys]
        return [text for texts in found for text in texts]
    return [] if ours == theirs else [f"{where}: {_shown(ours)} here, {_shown(theirs)} at the server"]


def describe(policy: Policy, settings: PolicySettings) -> pb.Metadata:
    """Describe a loaded policy."""
    contract = json.dumps(description(settings, policy.input_features), sort_keys=True)
    message = pb.Metadata(
        policy=policy.name,
        input_features=policy.input_features,
        action_names=policy.action_names,
        step_s=policy.step_s,
        horizon=int(getattr(policy, "horizon", 0)),
        guides_chunks=policy.guides_chunks,
        class_names=policy.class_names,
        contract_json=contract,
        contract_hash=hashlib.sha256(contract.encode()).hexdigest(),
    )
    message.fingerprint = hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
    message.observation_bytes_max = OBSERVATION_BYTES_MAX
    message.versions.update({"python": platform.python_version(), **_versions()})
    return message


def _joints(feature: StateFeature | ActionFeature, names: tuple[str, ...]) -> dict[str, Any]:
    scale = feature.scale
    return {
        "joints": list(names),
        "units": list(scale.units),
        # Rounded, so that another way to compute the same does not count as another contract.
        "zero": [round(value, 9) for value in scale.zero],
        "scale": [round(value, 9) for value in scale.scale],
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS_OF:
        try:
            found[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return found


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
