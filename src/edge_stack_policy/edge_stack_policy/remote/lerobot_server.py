# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Policy `lerobot_server`: a LeRobot checkpoint on LeRobot's own server, lerobot.async_inference.policy_server.

Its unit is one prediction: an observation is sent, its actions are asked for. Needs neither lerobot nor torch here, and
unpickles nothing (see lerobot_wire). That server has one policy, for whoever set it up last; after a restart it is set up
anew in the background. It speaks no TLS and runs whatever it is sent: loopback, or a tunnel (docs/policies.md).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import IMAGES, STATE, TASK, Observation, PolicyUnavailable
from edge_stack_policy.contract import from_units, plain_contract, to_units
from edge_stack_policy.remote import lerobot_transport_pb2 as pb
from edge_stack_policy.remote.base import ServedPolicy
from edge_stack_policy.remote.images import check_size
from edge_stack_policy.remote.inert_pickle import PickleRefused
from edge_stack_policy.remote.lerobot_wire import decode_actions, encode_observation, encode_setup
from edge_stack_policy.remote.session import channel_options, error_text
from edge_stack_policy.remote.settings import parse_address
from edge_stack_policy.settings import PolicySettings

ANSWER_BYTES_MAX = 16 * 1024 * 1024
_PIECE_BYTES = 2 * 1024 * 1024  # as LeRobot's client cuts
_INFERENCE_LIMIT_S = 60.0  # an answer that has not come by then never will
_EMPTY_ANSWERS_MAX = 2  # in a row: it has lost its policy, or cannot compute
_SETUP_PAUSE_S, _SETUP_PAUSE_MAX_S = 1.0, 30.0
_DEFAULT_SIDE = 224  # of the example image of a camera whose size is not known


class LeRobotServerPolicy(ServedPolicy):
    """The checkpoint settings.path, as the server at settings.address (lerobot://HOST:PORT) finds it there."""

    def __init__(self, settings: PolicySettings) -> None:
        super().__init__("lerobot_server", settings, parse_address(settings.address, "lerobot"))
        self._contract = settings.contract or plain_contract(settings.robot, settings.step_s)
        self.action_names = self._contract.action.joints
        self.step_s = 1.0 / self._contract.rate_hz
        if self._contract.state is None or self._contract.state.key != STATE:
            raise ConfigurationError(f"policy lerobot_server: the contract must have the state, as {STATE}")
        self._state = self._contract.state
        wrong = [image.key for image in self._contract.images if not image.key.startswith(IMAGES)]
        if wrong:
            raise ConfigurationError(
                f"policy lerobot_server: {', '.join(wrong)}: must begin with {IMAGES} for this server"
            )
        self.input_features = (*(image.key for image in self._contract.images), STATE)
        self._policy_type = _policy_type(settings)
        self._channel: grpc.Channel | None = None
        self._pending: Any = None  # a GetActions that was given up; the server is still at it
        self._timestep = 0
        self._empty_answers = 0
        self._setup: threading.Thread | None = None
        self._setup_failed = ""
        self._setup_pause_s = _SETUP_PAUSE_S
        self._setup_due_s = 0.0

    def load(self) -> None:
        """
        Connect, let the server load the checkpoint, and try one observation.

        Raises PolicyUnavailable: nobody answers there, or what answers does not make sense; the server's log says more.
        """
        self.close()
        options = channel_options(ANSWER_BYTES_MAX)
        channel = grpc.insecure_channel(self._address.target, options)
        self._channel = channel
        try:
            self._set_up(channel)
            self.time_limit_s, wanted = self._settings.remote.server_load_timeout_s, self.time_limit_s
            try:
                self.predict_action_chunk(self._example())
            finally:
                self.time_limit_s = wanted
        except BaseException:
            self.close()
            raise

    def reset(self) -> None:
        """Nothing to forget: the server is asked with every observation anew."""
        self.problem = ""

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return the server's chunk [H, A], rad; PolicyUnavailable when the time limit passes at the latest."""
        channel = self._channel
        if channel is None:
            raise self._unavailable("not connected")
        until_s = time.monotonic() + self._limit_s()
        self._check_setup(channel)
        self._finish_pending(until_s)
        self._timestep += 1
        data = encode_observation(self._raw(observation), self._timestep, self._timestep * self.step_s)
        self.bytes_sent, self.bytes_received = len(data), 0
        sent_s = time.monotonic()
        try:
            self._send(channel, data, until_s - sent_s)
            self._pending = _unary(channel, "GetActions", pb.Empty, pb.Actions).future(
                pb.Empty(), timeout=_INFERENCE_LIMIT_S
            )
            answer = self._pending.result(timeout=max(0.0, until_s - time.monotonic())).data
            self._pending = None
        except grpc.FutureTimeoutError:
            raise self._unavailable("no answer in time") from None
        except grpc.RpcError as error:
            self._pending = None
            raise self._unavailable(error_text(error)) from None
        self.rtt_s = time.monotonic() - sent_s
        self.bytes_received = len(answer)
        return self._chunk(answer)

    def close(self) -> None:
        """End the connection."""
        channel, self._channel, self._pending = self._channel, None, None
        if channel is not None:
            channel.close()
        setup, self._setup = self._setup, None
        if setup is not None:
            setup.join(2.0)
        self._empty_answers, self._setup_failed = 0, ""

    # ---- one prediction

    def _finish_pending(self, until_s: float) -> None:
        """Wait for the answer that was given up: the server would compute both at a time."""
        if self._pending is None:
            return
        try:
            self._pending.result(timeout=max(0.0, until_s - time.monotonic()))
        except grpc.FutureTimeoutError:
            raise self._unavailable("still busy with an earlier observation") from None
        except grpc.RpcError:
            pass
        self._pending = None

    def _raw(self, observation: Observation) -> dict[str, Any]:
        """Return the observation as the server's robots give it."""
        for key in self.input_features:
            if key not in observation:
                raise ValueError(f"{key}: is missing in the observation")
        state = np.asarray(observation[STATE], dtype=np.float64)
        if state.shape != (len(self._state.fields),):
            raise ValueError(f"{STATE}: has shape {list(state.shape)}; [{len(self._state.fields)}] is needed")
        raw: dict[str, Any] = {name: float(value) for name, value in zip(self._names(), state)}
        for image in self._contract.images:
            value = np.asarray(observation[image.key])
            if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
                raise ValueError(
                    f"{image.key}: is {value.dtype} {list(value.shape)}; uint8 [H, W, 3] is needed"
                )
            check_size(*value.shape[:2])
            raw[image.key.removeprefix(IMAGES)] = value
        raw["task"] = str(observation.get(TASK, ""))
        return raw

    def _send(self, channel: grpc.Channel, data: bytes, limit_s: float) -> None:
        call = channel.stream_unary(
            "/transport.AsyncInference/SendObservations",
            request_serializer=pb.Observation.SerializeToString,
            response_deserializer=pb.Empty.FromString,
        )
        call(_pieces(data), timeout=max(1e-3, limit_s))

    def _chunk(self, answer: bytes) -> NDArray[np.float64]:
        if not answer:
            self._empty_answers += 1
            raise self._unavailable("it computed nothing; its log says why")
        self._empty_answers, self._setup_pause_s = 0, _SETUP_PAUSE_S
        try:
            first, values = decode_actions(answer)
        except PickleRefused as error:
            raise self._unavailable(f"sent {error}") from None
        if first != self._timestep:
            raise self._unavailable("answered another observation; does another client use it?")
        if values.shape[1] != len(self.action_names):
            raise self._unavailable(
                f"sent actions of {values.shape[1]} values; {len(self.action_names)} are needed"
            )
        return from_units(self._contract.action, values)

    # ---- set-up

    def _names(self) -> list[str]:
        return [f"{name}.pos" for name in self._state.fields]

    def _features(self) -> dict[str, dict[str, Any]]:
        """Return `lerobot_features`."""
        names = self._names()
        features: dict[str, dict[str, Any]] = {
            STATE: {"dtype": "float32", "shape": (len(names),), "names": names}
        }
        for image, size in self._sizes().items():
            features[image] = {
                "dtype": "image",
                "shape": (*size, 3),
                "names": ["height", "width", "channels"],
            }
        return features

    def _sizes(self) -> dict[str, tuple[int, int]]:
        sizes = {}
        for image in self._contract.images:
            camera = self._settings.robot.cameras.get(image.camera)
            height = image.height or (camera.height if camera else _DEFAULT_SIDE)
            width = image.width or (camera.width if camera else _DEFAULT_SIDE)
            sizes[image.key] = (height, width)
        return sizes

    def _set_up(self, channel: grpc.Channel) -> None:
        """Let the server load the checkpoint. PolicyUnavailable with what it says."""
        settings, limits = self._settings, self._settings.remote
        setup = encode_setup(
            self._policy_type,
            str(Path(settings.path).resolve()) if Path(settings.path).exists() else settings.path,
            self._features(),
            settings.horizon,
            settings.device or "cpu",
        )
        try:
            _unary(channel, "Ready", pb.Empty, pb.Empty)(pb.Empty(), timeout=limits.load_timeout_s)
            _unary(channel, "SendPolicyInstructions", pb.PolicySetup, pb.Empty)(
                pb.PolicySetup(data=setup), timeout=limits.server_load_timeout_s
            )
        except grpc.RpcError as error:
            raise self._unavailable(error_text(error)) from None

    def _check_setup(self, channel: grpc.Channel) -> None:
        """Begin a new set-up where one is needed; PolicyUnavailable while it is under way."""
        if self._setup is not None:
            if self._setup.is_alive():
                raise self._unavailable("it is loading the checkpoint")
            self._setup = None
            self._empty_answers = _EMPTY_ANSWERS_MAX if self._setup_failed else 0
        if self._empty_answers < _EMPTY_ANSWERS_MAX:
            return
        now_s = time.monotonic()
        if now_s < self._setup_due_s:
            raise self._unavailable(self._setup_failed or "it computes nothing; its log says why")
        self._setup_pause_s = min(2.0 * self._setup_pause_s, _SETUP_PAUSE_MAX_S)
        self._setup_due_s = now_s + self._setup_pause_s
        self._setup = threading.Thread(
            target=self._set_up_again, args=(channel,), name="lerobot set-up", daemon=True
        )
        self._setup.start()
        raise self._unavailable("it is loading the checkpoint")

    def _set_up_again(self, channel: grpc.Channel) -> None:
        self._setup_failed = ""
        try:
            self._set_up(channel)
        except PolicyUnavailable as error:
            self._setup_failed = str(error)
        except ValueError:  # the channel was closed meanwhile
            self._setup_failed = "the connection was closed"

    def _example(self) -> dict[str, Any]:
        """Return an observation of the right shapes: the robot at home, black images."""
        home = dict(zip(self._settings.robot.joint_names, self._settings.robot.home))
        example: dict[str, Any] = {
            key: np.zeros((*size, 3), dtype=np.uint8) for key, size in self._sizes().items()
        }
        example[STATE] = to_units(self._state, [home[name] for name in self._state.fields])
        example[TASK] = self._contract.task_default
        return example


def _unary(channel: grpc.Channel, method: str, request: Any, response: Any) -> Any:
    return channel.unary_unary(
        f"/transport.AsyncInference/{method}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )


def _pieces(data: bytes) -> Iterator[pb.Observation]:
    """Cut an observation as LeRobot's server puts it together."""
    for start in range(0, len(data), _PIECE_BYTES):
        end = start + _PIECE_BYTES >= len(data)
        state = pb.TRANSFER_END if end else pb.TRANSFER_MIDDLE if start else pb.TRANSFER_BEGIN
        yield pb.Observation(transfer_state=state, data=data[start : start + _PIECE_BYTES])


def _policy_type(settings: PolicySettings) -> str:
    """Return what kind of checkpoint it is; ConfigurationError if that is not known, or its kind cannot be served."""
    path = settings.path
    if not path:
        raise ConfigurationError(
            "policy_path: policy lerobot_server needs a checkpoint, as its server finds it"
        )
    config: Any = None
    with contextlib.suppress(OSError, ValueError, RecursionError):
        config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    config = config if isinstance(config, dict) else {}
    steps = config.get("n_obs_steps", 1)
    if isinstance(steps, int) and steps > 1:
        raise ConfigurationError(
            f"policy_path: {path} looks back over {steps} observations, and LeRobot's server keeps none; the stack's own"
            " does: ./edge policy-server --policy lerobot"
        )
    kind = settings.remote.policy_type or config.get("type")
    if isinstance(kind, str):
        return kind
    raise ConfigurationError(
        f"policy_type: {path}/config.json cannot be read here, so say what kind it is (act, smolvla, ...)"
    )
