# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What LeRobot's PolicyServer is told and what it answers (lerobot.async_inference, 0.4 to 0.6), without lerobot or torch.

Its unit is one pickle of theirs: a policy's set-up and an observation out, a list of actions back. Nothing of an answer is
unpickled (see inert_pickle): exactly the structure of a list of TimedAction is taken, each a torch tensor of one axis whose
storage is a torch.save of the older form; everything else is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_policy.remote.inert_pickle import (
    Global,
    Instance,
    Made,
    Persistent,
    PickleRefused,
    Reader,
    dumps,
)

ACTIONS_MAX = 1000
VALUES_MAX = 256
_STORAGE_VALUES_MAX = ACTIONS_MAX * VALUES_MAX

_HELPERS = "lerobot.async_inference.helpers"
_TIMED_ACTION = f"{_HELPERS} TimedAction"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_STORAGE = "torch.storage _load_from_bytes"
_ORDERED_DICT = "collections OrderedDict"
_ALLOWED = (_TIMED_ACTION, _TENSOR, _STORAGE, _ORDERED_DICT)

_BFLOAT16 = "torch BFloat16Storage"
_STORAGE_DTYPES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    _BFLOAT16: "<u2",
}
_TORCH_MAGIC, _TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def encode_setup(
    policy_type: str,
    path: str,
    features: Mapping[str, Mapping[str, Any]],
    actions_per_chunk: int,
    device: str,
) -> bytes:
    """Pickle a RemotePolicyConfig. features: `lerobot_features`, as in a LeRobot dataset."""
    attributes = {
        "policy_type": policy_type,
        "pretrained_name_or_path": path,
        "lerobot_features": {key: dict(feature) for key, feature in features.items()},
        "actions_per_chunk": actions_per_chunk,
        "device": device,
        "rename_map": {},
    }
    return dumps(Instance(f"{_HELPERS} RemotePolicyConfig", attributes))


def encode_observation(observation: Mapping[str, Any], timestep: int, timestamp_s: float) -> bytes:
    """
    Pickle a TimedObservation. observation: floats by the names of the state, uint8 images by camera, "task".

    It must go: the server's own filter drops what moved less than 1.0 since the last one, which in rad is nearly all.
    """
    attributes = {
        "timestamp": timestamp_s,
        "timestep": timestep,
        "observation": dict(observation),
        "must_go": True,
    }
    return dumps(Instance(f"{_HELPERS} TimedObservation", attributes))


def decode_actions(data: bytes) -> tuple[int, NDArray[np.float64]]:
    """
    Return the first action's time step, and the actions [H, A], in the server's units.

    PickleRefused: anything but actions of consecutive time steps with as many finite values each.
    """
    reader = Reader(data, _ALLOWED)
    timed = reader.read()
    if reader.rest():
        raise PickleRefused("something comes after the actions")
    if not isinstance(timed, list) or not 1 <= len(timed) <= ACTIONS_MAX:
        raise PickleRefused(f"not a list of 1 to {ACTIONS_MAX} actions")
    storages: dict[bytes, NDArray[np.float64]] = {}  # each action brings the whole chunk's
    actions, first = [], 0
    for index, made in enumerate(timed):
        state = _made(made, _TIMED_ACTION, 0).state
        if state is None or set(state) != {"timestamp", "timestep", "action"}:
            raise PickleRefused("a TimedAction with other attributes than timestamp, timestep, action")
        timestep = state["timestep"]
        if type(timestep) is not int or abs(timestep) >= 1 << 62:
            raise PickleRefused("a time step that is no whole number")
        first = timestep if index == 0 else first
        if timestep != first + index:
            raise PickleRefused("time steps that do not follow each other")
        actions.append(_tensor(state["action"], storages))
    if len({len(action) for action in actions}) != 1:
        raise PickleRefused("actions of different lengths")
    chunk = np.stack(actions)
    if not np.isfinite(chunk).all():
        raise PickleRefused("actions with values that are not finite")
    return first, chunk


def _made(value: Any, by: str, arguments: int) -> Made:
    if not isinstance(value, Made) or value.by.name != by or len(value.arguments) != arguments:
        raise PickleRefused(f"something else where {by.replace(' ', '.')} is expected")
    return value


def _tensor(value: Any, storages: dict[bytes, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return a tensor of one axis."""
    made = _made(value, _TENSOR, 6)
    storage, offset, size, stride, _, hooks = made.arguments
    _made(hooks, _ORDERED_DICT, 0)
    (data,) = _made(storage, _STORAGE, 1).arguments
    if not isinstance(data, bytes):
        raise PickleRefused("a tensor's storage that is no bytes")
    if data not in storages:
        storages[data] = _torch_storage(data)
    values = storages[data]
    if not (_is_sizes(size, 1) and _is_sizes(stride, 1) and _is_sizes((offset,), 1)):
        raise PickleRefused("a tensor that has not one axis")
    (count,), (step,) = size, stride
    if not 1 <= count <= VALUES_MAX or step < 1 or offset + (count - 1) * step >= len(values):
        raise PickleRefused(f"a tensor beyond its storage, or of more than {VALUES_MAX} values")
    return values[offset : offset + (count - 1) * step + 1 : step]


def _torch_storage(data: bytes) -> NDArray[np.float64]:
    """Return the values of a storage that torch.save wrote, of the form before zip files."""
    reader = Reader(data, tuple(_STORAGE_DTYPES), 200)
    if reader.read() != _TORCH_MAGIC or reader.read() != _TORCH_PROTOCOL:
        raise PickleRefused("a storage that torch did not save")
    system = reader.read()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleRefused("a storage that is not little-endian")
    persistent, keys = reader.read(), reader.read()
    identity = persistent.identity if isinstance(persistent, Persistent) else None
    if not isinstance(identity, tuple) or len(identity) != 6 or not isinstance(identity[1], Global):
        raise PickleRefused("a storage that is described otherwise")
    kind, dtype_name, key, _, count, view = identity
    if kind != "storage" or not isinstance(key, str) or keys != [key] or view is not None:
        raise PickleRefused("a storage that is described otherwise")
    dtype = np.dtype(_STORAGE_DTYPES[dtype_name.name])
    if not _is_sizes((count,), 1) or count > _STORAGE_VALUES_MAX:
        raise PickleRefused(f"a storage of more than {_STORAGE_VALUES_MAX} values")
    raw = reader.rest()
    if len(raw) != 8 + count * dtype.itemsize or struct.unpack("<q", raw[:8])[0] != count:
        raise PickleRefused("a storage of another size than it says")
    values = np.frombuffer(raw, dtype, offset=8)
    if dtype_name.name == _BFLOAT16:  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64)


def _is_sizes(value: Any, count: int) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == count
        and all(type(item) is int and 0 <= item < 1 << 31 for item in value)
    )
