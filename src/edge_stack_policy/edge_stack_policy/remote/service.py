# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The stack's own policy server: any policy of `make_policy`, for clients elsewhere, over gRPC (policy_service.proto).

Its unit of work is one observation. Every client has a session with a policy of its own; one inference runs at a time. What
is late, superseded or cancelled is not computed; whatever is wrong with a request is said in its refusal, and nothing that a
client sends ends the server. It listens on loopback unless told otherwise, and beyond it only with TLS or --insecure.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import Policy
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote import policy_service_pb2_grpc as pb_grpc
from edge_stack_policy.remote.description import describe
from edge_stack_policy.remote.sessions import Letter, Mailbox, Seat, Seats, is_client_id, session_thread
from edge_stack_policy.remote.wire import (
    OBSERVATION_BYTES_MAX,
    REPLY_BYTES_MAX,
    check_chunk,
    decode_observation,
    encode_array,
)
from edge_stack_policy.settings import PolicySettings

OPEN_LIMIT_S = 5.0  # a client that says nothing for so long at first is no client
_SPARE_CALLS = 8  # metadata, and sessions that are being opened or refused
_TEXT_MAX = 500

OPTIONS = (
    ("grpc.max_receive_message_length", OBSERVATION_BYTES_MAX),
    ("grpc.max_send_message_length", REPLY_BYTES_MAX),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not a lottery
    # A client whose link is gone is given up within seconds, and clients may ask as often themselves.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.server_handshake_timeout_ms", 5000),
)


class PolicyService(pb_grpc.PolicyServiceServicer):
    """Answers the calls of policy_service.proto. policies: loaded, alike, one for each session."""

    def __init__(self, policies: Sequence[Policy], settings: PolicySettings) -> None:
        self.metadata = describe(policies[0], settings)
        self._seats = Seats(policies)
        self._turn = threading.Lock()

    def GetMetadata(self, request: pb.MetadataRequest, context: Any) -> pb.Metadata:  # noqa: N802 (gRPC's name)
        """Return what the policy is."""
        return self.metadata

    def Predict(self, requests: Iterator[pb.Request], context: Any) -> Iterator[pb.Reply]:  # noqa: N802
        """Serve one session."""
        mailbox = Mailbox()
        session_thread(requests, mailbox)
        seat = self._open(mailbox, context)
        try:
            yield pb.Reply(opened=pb.Opened())
            while True:
                letter, superseded = mailbox.take()
                for sequence in superseded:
                    yield _refusal(sequence, pb.Refusal.SUPERSEDED, "a newer observation came", pb.Timing())
                if letter is None:
                    return
                seat.used_s = letter.arrival_s
                reply = self._answer(seat, letter, context)
                if not context.is_active():
                    return
                yield reply
        finally:
            self._seats.leave(seat)

    # ---- a session

    def _open(self, mailbox: Mailbox, context: Any) -> Seat:
        """Take the first request and find a seat; otherwise end the call with the reason."""
        letter = mailbox.take_first(OPEN_LIMIT_S)
        if letter is None or letter.request.WhichOneof("kind") != "open":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a session begins with `open`")
        assert letter is not None
        asked = letter.request.open
        if not is_client_id(asked.client_id):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "open.client_id: 16 bytes are needed")
        if asked.fingerprint != self.metadata.fingerprint:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"another policy is served now ({self.metadata.policy}); read its metadata anew",
            )

        def end(_reason: str) -> None:
            mailbox.close()
            context.cancel()

        seat = self._seats.take(asked.client_id, end)
        if seat is None:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"all sessions are taken, {len(self._seats)} of them; start the server with more --sessions",
            )
        assert seat is not None
        return seat

    def _answer(self, seat: Seat, letter: Letter, context: Any) -> pb.Reply:
        """Compute one observation, when its turn comes."""
        message, timing = letter.request.observation, pb.Timing()
        sequence = message.sequence
        if letter.request.WhichOneof("kind") != "observation":
            return _refusal(sequence, pb.Refusal.BAD_REQUEST, "an observation is needed", timing)
        began_s = time.monotonic()
        limit_s = message.time_limit_s if message.time_limit_s > 0.0 else math.inf
        joints = len(self.metadata.action_names)
        try:
            observation = decode_observation(message, joints)
            missing = [key for key in self.metadata.input_features if key not in observation]
            if missing:
                raise ValueError(f"{', '.join(missing)}: missing in the observation")
        except ValueError as error:
            return _refusal(sequence, pb.Refusal.BAD_REQUEST, str(error), timing)
        timing.decode_s = time.monotonic() - began_s
        with self._turn:
            turn_s = time.monotonic()
            timing.queue_s = turn_s - letter.arrival_s - timing.decode_s
            try:
                if message.task_count != seat.task_count:
                    seat.policy.reset()
                    seat.task_count = message.task_count
                if not context.is_active() or turn_s - letter.arrival_s > limit_s:
                    return _refusal(sequence, pb.Refusal.LATE, "its time limit had passed", timing)
                chunk = check_chunk(seat.policy.predict_action_chunk(observation), joints)
            except Exception as error:  # noqa: BLE001 (a policy that raises must not end the session)
                text = str(error) or type(error).__name__
                return _refusal(sequence, pb.Refusal.POLICY, text, timing)
            finally:
                timing.inference_s = time.monotonic() - turn_s
        problem = seat.policy.problem[:_TEXT_MAX]
        return pb.Reply(
            chunk=pb.Chunk(sequence=sequence, actions=encode_array(chunk), problem=problem, timing=timing)
        )


class PolicyServer:
    """
    A running server. address: HOST:PORT; port 0: a free one. credentials: of TLS; None: without.

    Raises ConfigurationError if the address cannot be listened on, or may not be without TLS and `insecure`.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        settings: PolicySettings,
        address: str = "127.0.0.1:0",
        *,
        credentials: grpc.ServerCredentials | None = None,
        insecure: bool = False,
    ) -> None:
        if credentials is None and not insecure and not is_loopback(address):
            raise ConfigurationError(
                f"address: {address} can be reached from other machines; give --certificate and --key (TLS), or"
                " --insecure if the network is trusted"
            )
        self.service = PolicyService(policies, settings)
        calls = len(policies) + _SPARE_CALLS
        self._server = grpc.server(
            ThreadPoolExecutor(calls, "policy service"), options=OPTIONS, maximum_concurrent_rpcs=calls
        )
        pb_grpc.add_PolicyServiceServicer_to_server(self.service, self._server)
        try:
            if credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise ConfigurationError(f"address: cannot listen on {address}; another program may use the port")
        self._server.start()

    def stop(self) -> None:
        """End every session and the server."""
        self._server.stop(grace=0.0).wait(5.0)


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT can be reached from this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(sequence: int, reason: Any, text: str, timing: pb.Timing) -> pb.Reply:
    return pb.Reply(
        refusal=pb.Refusal(sequence=sequence, reason=reason, text=text[:_TEXT_MAX], timing=timing)
    )
