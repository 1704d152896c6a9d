# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A lasting session with the stack's policy server: one stream, opened anew in the background whenever it breaks.

Its unit of work is one observation out and its reply in. A thread of its own opens the stream, reads replies, and after a
break waits a little longer each time before it tries again. `ask` waits for a reply only while the stream is open, and never
beyond its limit.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import grpc

from edge_stack_policy.base import PolicyUnavailable
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote import policy_service_pb2_grpc as pb_grpc
from edge_stack_policy.remote.wire import OBSERVATION_BYTES_MAX, REPLY_BYTES_MAX

PAUSE_S, PAUSE_MAX_S = 0.1, 0.5  # the channel paces its connections itself, see below
_CLOSE_WAIT_S = 2.0

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", OBSERVATION_BYTES_MAX),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # A link that comes back is used within a second or so; one that swallows everything is given up after three.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),  # connections are this client's own
)


def channel_options(answer_bytes_max: int = REPLY_BYTES_MAX) -> tuple[tuple[str, int], ...]:
    """Return the options of a client's channel. answer_bytes_max: a longer message is refused."""
    return (("grpc.max_receive_message_length", answer_bytes_max), *_CHANNEL_OPTIONS)


def error_text(error: grpc.RpcError) -> str:
    """Say in words what a call failed of."""
    code = error.code() if isinstance(error, grpc.Call) else None
    details = (error.details() or "") if isinstance(error, grpc.Call) else str(error)
    name = code.name.lower().replace("_", " ") if code is not None else "error"
    return f"{name}: {details[:300]}" if details else name


class _Outgoing:
    """What the stream sends: `open`, then observations; of those that wait, the newest."""

    def __init__(self, first: pb.Request) -> None:
        self._changed = threading.Condition()
        self._next: pb.Request | None = first
        self._closed = False

    def put(self, request: pb.Request) -> None:
        with self._changed:
            self._next = request
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[pb.Request]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._closed)
                request, self._next = self._next, None
            if request is None:
                return
            yield request


class Session:
    """One client's session. `ask` is for one thread at a time."""

    def __init__(self, channel: grpc.Channel, fingerprint: str) -> None:
        """fingerprint: of the policy that is expected there."""
        self._stub = pb_grpc.PolicyServiceStub(channel)
        self._open = pb.Request(open=pb.Open(fingerprint=fingerprint, client_id=secrets.token_bytes(16)))
        self._changed = threading.Condition()
        self._outgoing: _Outgoing | None = None  # while the stream is open
        self._call: grpc.Call | None = None
        self._reply: pb.Reply | None = None
        self._reason = "the session is being opened"
        self._broken = False
        self._closed = False
        self._thread = threading.Thread(target=self._keep, name="policy session", daemon=True)
        self._thread.start()

    def ask(self, request: pb.Request, until_s: float) -> pb.Reply:
        """
        Send an observation and return its reply. until_s: on time.monotonic().

        Raises PolicyUnavailable: the stream is not open, broke, or brought nothing in time. It waits for a stream that is
        being opened for the first time; after a break it does not.
        """
        sequence = request.observation.sequence
        with self._changed:
            self._changed.wait_for(
                lambda: self._outgoing is not None or self._broken or self._closed,
                max(0.0, until_s - time.monotonic()),
            )
            outgoing = self._outgoing
            if outgoing is None:
                raise PolicyUnavailable(self._reason)
            self._reply = None
            request.observation.time_limit_s = max(1e-3, until_s - time.monotonic())
            outgoing.put(request)
            self._changed.wait_for(
                lambda: self._outgoing is not outgoing or _sequence(self._reply) == sequence,
                max(0.0, until_s - time.monotonic()),
            )
            reply, self._reply = self._reply, None
            if _sequence(reply) == sequence and reply is not None:
                return reply
            if self._outgoing is not outgoing:
                raise PolicyUnavailable(self._reason)
        raise PolicyUnavailable("no answer in time")

    def close(self) -> None:
        """End the session."""
        with self._changed:
            self._closed = True
            self._reason = "the session is closed"
            call = self._call
            self._changed.notify_all()
        if call is not None:
            call.cancel()
        self._thread.join(_CLOSE_WAIT_S)

    def _keep(self) -> None:
        pause_s = PAUSE_S
        while not self._closed:
            opened = self._run()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, pause_s)
            pause_s = PAUSE_S if opened else min(2.0 * pause_s, PAUSE_MAX_S)

    def _run(self) -> bool:
        """Open the stream and read it until it ends; return whether it was ever open."""
        outgoing, opened = _Outgoing(self._open), False
        reason = "the server ended the session"
        call = self._stub.Predict(iter(outgoing))
        with self._changed:
            self._call = call
        if self._closed:
            call.cancel()
        try:
            for reply in call:
                with self._changed:
                    if reply.WhichOneof("kind") == "opened":
                        opened, self._outgoing, self._broken = True, outgoing, False
                    else:
                        self._reply = reply
                    self._changed.notify_all()
        except grpc.RpcError as error:
            reason = error_text(error)
        outgoing.close()
        with self._changed:
            self._outgoing, self._call = None, None
            self._broken = True
            if not self._closed:
                self._reason = reason
            self._changed.notify_all()
        return opened


def _sequence(reply: pb.Reply | None) -> int | None:
    kind = reply.WhichOneof("kind") if reply is not None else None
    return getattr(reply, kind).sequence if kind in ("chunk", "refusal") else None
