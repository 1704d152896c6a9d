# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Policy `remote`: another machine computes, through the stack's own policy server.

Its unit is one prediction: an observation out, a chunk back, within a time limit. What the server says about itself is
checked against the robot and its contract before anything moves; what it answers is checked each time. A server that does
not answer, or answers nonsense, costs the time limit at most and raises PolicyUnavailable.
"""

from __future__ import annotations

import json
import time

import grpc
import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.tls import channel_credentials
from edge_stack_policy.base import Observation, PolicyUnavailable
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote import policy_service_pb2_grpc as pb_grpc
from edge_stack_policy.remote.base import ServedPolicy
from edge_stack_policy.remote.description import description, differences
from edge_stack_policy.remote.session import Session, channel_options, error_text
from edge_stack_policy.remote.settings import IMAGE_ENCODINGS, parse_address
from edge_stack_policy.remote.wire import check_chunk, decode_array, encode_observation
from edge_stack_policy.settings import PolicySettings

_NAMES_MAX = 256
_STEP_MIN_S, _STEP_MAX_S = 1e-4, 10.0


class RemotePolicy(ServedPolicy):
    """The policy of the server at settings.address: grpc://HOST:PORT, or grpcs://HOST:PORT with TLS."""

    def __init__(self, settings: PolicySettings) -> None:
        super().__init__("remote", settings, parse_address(settings.address, "grpc", "grpcs"))
        if self._remote.images not in IMAGE_ENCODINGS:
            raise ConfigurationError(
                f"images: '{self._remote.images}' is not known; known are {', '.join(IMAGE_ENCODINGS)}"
            )
        self._channel: grpc.Channel | None = None
        self._session: Session | None = None
        self._sequence = 0
        self._task_count = 0

    def load(self) -> None:
        """
        Connect and read what the server's policy is.

        Raises:
            ConfigurationError: files of ours are wrong, or the server's policy is for another robot or contract.
            PolicyUnavailable: nobody answers there, or nothing that makes sense.
        """
        self.close()
        if self._address.scheme == "grpcs":
            credentials = channel_credentials(self._remote)
            channel = grpc.secure_channel(self._address.target, credentials, channel_options())
        else:
            channel = grpc.insecure_channel(self._address.target, channel_options())
        self._channel = channel
        try:
            metadata = self._metadata(channel)
            self._check(metadata)
        except BaseException:
            self.close()
            raise
        self.action_names = tuple(metadata.action_names)
        self.step_s = metadata.step_s
        self.input_features = tuple(metadata.input_features)
        self.class_names = tuple(metadata.class_names)
        self.guides_chunks = metadata.guides_chunks
        self._session = Session(channel, metadata.fingerprint)

    def reset(self) -> None:
        """Forget the task; the next request tells the server."""
        self.problem = ""
        self._task_count += 1

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return the server's chunk [H, A]; PolicyUnavailable when the time limit passes at the latest."""
        if self._session is None:
            raise self._unavailable("not connected")
        until_s = time.monotonic() + self._limit_s()
        message = encode_observation(
            observation, self.input_features, self._remote.images, self._remote.jpeg_quality
        )
        self._sequence += 1
        message.sequence, message.task_count = self._sequence, self._task_count
        request = pb.Request(observation=message)
        self.bytes_sent, self.bytes_received = request.ByteSize(), 0
        sent_s = time.monotonic()
        try:
            reply = self._session.ask(request, until_s)
        except PolicyUnavailable as error:
            raise self._unavailable(str(error)) from None
        self.rtt_s = time.monotonic() - sent_s
        self.bytes_received = reply.ByteSize()
        if reply.WhichOneof("kind") == "refusal":
            raise self._unavailable(f"refused: {reply.refusal.text[:300]}")
        return self._chunk(reply.chunk)

    def close(self) -> None:
        """End the session and the connection."""
        session, self._session = self._session, None
        channel, self._channel = self._channel, None
        if session is not None:
            session.close()
        if channel is not None:
            channel.close()

    def _chunk(self, message: pb.Chunk) -> NDArray[np.float64]:
        timing = message.timing
        self.server_s = timing.queue_s + timing.decode_s + timing.inference_s
        try:
            chunk = check_chunk(decode_array(message.actions), len(self.action_names))
        except ValueError as error:
            raise self._unavailable(f"sent {error}") from None
        self.problem = message.problem[:300]
        return chunk

    def _metadata(self, channel: grpc.Channel) -> pb.Metadata:
        try:
            call = pb_grpc.PolicyServiceStub(channel).GetMetadata
            return call(pb.MetadataRequest(), timeout=self._remote.load_timeout_s)
        except grpc.RpcError as error:
            raise self._unavailable(error_text(error)) from None

    def _check(self, metadata: pb.Metadata) -> None:
        """Check what the server says about itself."""
        counts = (metadata.input_features, metadata.action_names, metadata.class_names)
        if any(len(names) > _NAMES_MAX for names in counts) or not metadata.action_names:
            raise self._unavailable("its metadata make no sense")
        if not _STEP_MIN_S <= metadata.step_s <= _STEP_MAX_S:
            raise self._unavailable(f"its policy has a step of {metadata.step_s} s")
        try:
            theirs = json.loads(metadata.contract_json)
        except (ValueError, RecursionError):
            raise self._unavailable("its contract is not JSON") from None
        joints = self._settings.robot.joint_names
        unknown = [name for name in metadata.action_names if name not in joints]
        if unknown:
            raise ConfigurationError(
                f"{self._address}: its policy moves {', '.join(unknown[:8])}, which {self._settings.robot.name} does not"
                f" have; it has {', '.join(joints)}"
            )
        ours = json.loads(json.dumps(description(self._settings, metadata.input_features)))
        different = differences(ours, theirs)
        if different:
            raise ConfigurationError(
                f"{self._address}: its policy was set up with another contract: {'; '.join(different[:8])}"
            )
