# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Observations and chunks as protobuf messages, and back.

Its unit is one message. Everything from outside is checked here, on both ends: counts, sizes and shapes before memory is
taken, then that values are finite. ValueError says what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, TASK, TIME_S, Observation
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote.images import PIXELS_MAX, decode_image, encode_image

OBSERVATION_BYTES_MAX = 32 * 1024 * 1024
REPLY_BYTES_MAX = 4 * 1024 * 1024
ENTRIES_MAX = 16  # arrays, and images, of one observation
VALUES_MAX = 1 << 18  # of one array
TEXT_MAX = 4096
KEY_MAX = 200

_DTYPES: dict[int, np.dtype[Any]] = {pb.Array.FLOAT32: np.dtype("<f4"), pb.Array.FLOAT64: np.dtype("<f8")}
_ENCODINGS = {"raw": pb.Image.RAW, "jpeg": pb.Image.JPEG, "png": pb.Image.PNG}
_ENCODING_NAMES = {number: name for name, number in _ENCODINGS.items()}


def encode_array(values: Any) -> pb.Array:
    """Pack an array: float32 stays so, everything else becomes float64."""
    array = np.asarray(values)
    kind = pb.Array.FLOAT32 if array.dtype == np.float32 else pb.Array.FLOAT64
    return pb.Array(type=kind, shape=array.shape, data=array.astype(_DTYPES[kind]).tobytes())


def decode_array(message: pb.Array) -> NDArray[Any]:
    """Unpack a finite array."""
    if message.type not in _DTYPES:
        raise ValueError(f"an array of the unknown type {message.type}")
    dtype, shape = _DTYPES[message.type], tuple(message.shape)
    count = math.prod(shape)
    if not 1 <= len(shape) <= 4 or count > VALUES_MAX:
        raise ValueError(f"an array of shape {shape[:8]}; up to 4 axes and {VALUES_MAX} values are taken")
    if len(message.data) != count * dtype.itemsize:
        raise ValueError(f"{len(message.data)} bytes for an array {shape} of {dtype.name}")
    array = np.frombuffer(message.data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    if not np.isfinite(array).all():
        raise ValueError("an array with values that are not finite")
    return array


def encode_observation(
    observation: Observation, features: Iterable[str], images: str, jpeg_quality: int
) -> pb.Observation:
    """Pack what the features need, and what every policy may use. Images are told by their type, uint8 [H, W, 3]."""
    message = pb.Observation(
        time_s=float(observation.get(TIME_S, 0.0)), task=str(observation.get(TASK, ""))[:TEXT_MAX]
    )
    for key in features:
        if key in (TASK, TIME_S):  # have fields of their own
            continue
        if key not in observation:
            raise ValueError(f"{key}: is missing in the observation")
        value = np.asarray(observation[key])
        if value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3:
            data = encode_image(value, images, jpeg_quality)
            message.images[key].CopyFrom(
                pb.Image(encoding=_ENCODINGS[images], height=value.shape[0], width=value.shape[1], data=data)
            )
        else:
            message.arrays[key].CopyFrom(encode_array(value))
    if LEFTOVER in observation:
        message.left_over.CopyFrom(encode_array(np.asarray(observation[LEFTOVER], dtype=np.float64)))
        message.delay_steps = max(0, int(observation.get(DELAY_STEPS, 0)))
    return message


def decode_observation(message: pb.Observation, joints: int) -> dict[str, Any]:
    """Unpack an observation. joints: values of an action."""
    if len(message.arrays) > ENTRIES_MAX or len(message.images) > ENTRIES_MAX:
        raise ValueError(f"more than {ENTRIES_MAX} arrays or images")
    if len(message.task) > TEXT_MAX or any(len(key) > KEY_MAX for key in (*message.arrays, *message.images)):
        raise ValueError(f"a task of more than {TEXT_MAX} characters, or a key of more than {KEY_MAX}")
    if sum(image.height * image.width for image in message.images.values()) > 2 * PIXELS_MAX:
        raise ValueError(f"images of more than {2 * PIXELS_MAX} pixels together")
    if not math.isfinite(message.time_s):
        raise ValueError("time_s is not finite")
    observation: dict[str, Any] = {TIME_S: message.time_s, TASK: message.task}
    for key, array in message.arrays.items():
        try:
            observation[key] = decode_array(array)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    for key, image in message.images.items():
        if image.encoding not in _ENCODING_NAMES:
            raise ValueError(f"{key}: an image in the unknown encoding {image.encoding}")
        try:
            observation[key] = decode_image(
                image.data, _ENCODING_NAMES[image.encoding], image.height, image.width
            )
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    if message.HasField("left_over"):
        left_over = decode_array(message.left_over).astype(np.float64)
        if left_over.ndim != 2 or left_over.shape[1] != joints:
            raise ValueError(f"{LEFTOVER}: has shape {left_over.shape}; [H', {joints}] is needed")
        observation[LEFTOVER] = left_over
        observation[DELAY_STEPS] = min(message.delay_steps, len(left_over))
    return observation


def check_chunk(chunk: Any, joints: int) -> NDArray[np.float64]:
    """Return a chunk as float64 [H, joints] with at least one action, all finite; ValueError otherwise."""
    actions = np.asarray(chunk, dtype=np.float64)
    if actions.ndim != 2 or not len(actions) or actions.shape[1] != joints:
        raise ValueError(f"a chunk of shape {actions.shape}; [H, {joints}] is needed")
    if not np.isfinite(actions).all():
        raise ValueError("a chunk with values that are not finite")
    return actions
