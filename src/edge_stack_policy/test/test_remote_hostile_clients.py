# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Clients that are hostile or broken are refused, and the policy server goes on serving the others."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_policy.base import STATE
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote import service
from edge_stack_policy.remote.images import decode_image, encode_image
from edge_stack_policy.remote.service import PolicyServer
from edge_stack_policy.remote.wire import OBSERVATION_BYTES_MAX, encode_observation

sys.path.insert(0, str(Path(__file__).parent))
from toy_remote import LIMIT_S, TABLE, ToyPolicy, connected, observation, serving

PREDICT = "/edge_stack_policy.remote.v1.PolicyService/Predict"


@pytest.fixture(scope="module")
def server() -> Iterator[PolicyServer]:
    with serving(ToyPolicy()) as running:
        yield running


@contextlib.contextmanager
def raw_channel(server: PolicyServer) -> Iterator[grpc.Channel]:
    channel = grpc.insecure_channel(
        f"127.0.0.1:{server.port}",
        [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)],
    )
    yield channel
    channel.close()


def call(server: PolicyServer, *messages: bytes) -> list[pb.Reply]:
    """Send raw messages in one session and return the replies."""
    with raw_channel(server) as channel:
        predict = channel.stream_stream(PREDICT, response_deserializer=pb.Reply.FromString)
        return list(predict(iter(messages), timeout=LIMIT_S))


def refusal_of(server: PolicyServer, message: pb.Observation) -> pb.Refusal:
    """Open a session, send one observation and return why it is refused."""
    go_on = threading.Event()

    def requests() -> Iterator[bytes]:
        yield opening(server)
        yield pb.Request(observation=message).SerializeToString()
        go_on.wait(LIMIT_S)

    with raw_channel(server) as channel:
        predict = channel.stream_stream(PREDICT, response_deserializer=pb.Reply.FromString)
        replies = predict(requests(), timeout=LIMIT_S)
        assert next(replies).WhichOneof("kind") == "opened"
        reply = next(replies)
        go_on.set()
        assert reply.WhichOneof("kind") == "refusal"
        return reply.refusal


def opening(server: PolicyServer, **changes: Any) -> bytes:
    fields = {"fingerprint": server.service.metadata.fingerprint, "client_id": b"0123456789abcdef", **changes}
    return pb.Request(open=pb.Open(**fields)).SerializeToString()


def assert_serves(server: PolicyServer) -> None:
    """The server still works for a client that behaves."""
    end_s = time.monotonic() + LIMIT_S
    with connected(server) as client:
        while True:
            try:
                assert client.predict_action_chunk(observation()).shape == (4, 6)
                return
            except Exception:  # noqa: BLE001 (the seat is not free yet)
                assert time.monotonic() < end_s
                time.sleep(0.02)


def good() -> pb.Observation:
    message = encode_observation(observation(), (STATE, TABLE), "raw", 90)
    message.sequence = 5
    return message


def test_bytes_that_are_no_grpc_do_nothing(server: PolicyServer) -> None:
    for data in (
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 999,
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(data)
    assert_serves(server)


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (lambda s: [b"\xff" * 50], "INVALID_ARGUMENT"),
        (lambda s: [], "INVALID_ARGUMENT"),
        (lambda s: [b""], "INVALID_ARGUMENT"),
        (lambda s: [pb.Request(observation=good()).SerializeToString()], "INVALID_ARGUMENT"),
        (lambda s: [opening(s, client_id=b"")], "INVALID_ARGUMENT"),
        (lambda s: [opening(s, client_id=b"x" * 100_000)], "INVALID_ARGUMENT"),
        (lambda s: [opening(s, fingerprint="another")], "FAILED_PRECONDITION"),
        (lambda s: [b"\0" * (OBSERVATION_BYTES_MAX + 1)], "RESOURCE_EXHAUSTED"),
    ],
    ids=["no protobuf", "nothing", "empty", "no opening", "no id", "huge id", "other policy", "huge message"],
)
def test_a_session_that_begins_wrongly_is_refused(
    server: PolicyServer, messages: Callable[[PolicyServer], list[bytes]], code: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        call(server, *messages(server))
    # A message that cannot be taken cancels the call on the server's side; which code wins is gRPC's matter.
    assert error.value.code().name in (code, "INTERNAL", "CANCELLED", "UNKNOWN")
    assert_serves(server)


def changed(change: Callable[[pb.Observation], Any]) -> pb.Observation:
    message = good()
    change(message)
    return message


def image(data: bytes, encoding: int, height: int = 48, width: int = 64) -> pb.Observation:
    message = good()
    message.images[TABLE].CopyFrom(pb.Image(encoding=encoding, height=height, width=width, data=data))
    return message


PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
PNG, JPEG = encode_image(PICTURE, "png", 90), encode_image(PICTURE, "jpeg", 90)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    height: int, width: int, data: bytes = b"", extra: bytes = b"", form: bytes = b"\x08\x02\0\0\0"
) -> bytes:
    header = struct.pack(">II", width, height) + form
    return PNG[:8] + png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def jpeg_with_size(height: int, width: int) -> bytes:
    start = JPEG.index(b"\xff\xc0")
    return JPEG[: start + 5] + struct.pack(">HH", height, width) + JPEG[start + 9 :]


def progressive() -> bytes:
    bgr = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])


BOMB = zlib.compress(b"\0" * 40_000_000)  # 40 kB
SCANS = JPEG[:-2] + (b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 100_000) + b"\xff\xd9"

WRONG = {
    "NaN": changed(lambda m: m.arrays[STATE].CopyFrom(pb.Array(type=1, shape=[1], data=b"\0\0\xc0\x7f"))),
    "no state": changed(lambda m: m.arrays.pop(STATE)),
    "no image": changed(lambda m: m.images.pop(TABLE)),
    "an array of another size": changed(lambda m: m.arrays[STATE].shape.append(7)),
    "an array that takes all memory": changed(
        lambda m: m.arrays[STATE].CopyFrom(pb.Array(type=1, shape=[0xFFFFFFFF] * 4))
    ),
    "an array of unknown type": changed(lambda m: setattr(m.arrays[STATE], "type", 9)),
    "a thousand arrays": changed(lambda m: [m.arrays[str(n)].CopyFrom(m.arrays[STATE]) for n in range(1000)]),
    "a thousand images": changed(
        lambda m: [
            m.images[str(n)].CopyFrom(pb.Image(encoding=1, height=1, width=1, data=b"abc"))
            for n in range(1000)
        ]
    ),
    "a long key": changed(lambda m: m.arrays["x" * 10_000].CopyFrom(m.arrays[STATE])),
    "a long task": changed(lambda m: setattr(m, "task", "x" * 100_000)),
    "a time that is none": changed(lambda m: setattr(m, "time_s", float("nan"))),
    "a left-over chunk of other joints": changed(
        lambda m: m.left_over.CopyFrom(pb.Array(type=2, shape=[1, 2], data=b"\0" * 16))
    ),
    "a raw image of another size": image(b"\0" * 10, pb.Image.RAW),
    "an image of no size": image(b"", pb.Image.RAW, 0, 0),
    "an image in an unknown encoding": image(PNG, 9),
    "a raw image that takes all memory": image(b"", pb.Image.RAW, 0xFFFFFFFF, 0xFFFFFFFF),
    "many large images": changed(
        lambda m: [m.images[str(n)].CopyFrom(pb.Image(encoding=3, height=2160, width=4096)) for n in range(9)]
    ),
    "noise as PNG": image(bytes(range(256)), pb.Image.PNG),
    "noise as JPEG": image(bytes(range(256)), pb.Image.JPEG),
    "a JPEG as PNG": image(JPEG, pb.Image.PNG),
    "a PNG that is cut off": image(PNG[:100], pb.Image.PNG),
    "a JPEG that is cut off": image(JPEG[:100], pb.Image.JPEG),
    "a PNG of another size than announced": image(PNG, pb.Image.PNG, 64, 48),
    "a PNG bomb": image(png(60_000, 60_000, BOMB), pb.Image.PNG, 60_000, 60_000),
    "a PNG bomb that hides its size": image(png(60_000, 60_000, BOMB), pb.Image.PNG),
    "a JPEG bomb": image(jpeg_with_size(65_000, 65_000), pb.Image.JPEG, 65_000, 65_000),
    "a JPEG bomb that hides its size": image(jpeg_with_size(65_000, 65_000), pb.Image.JPEG),
    "a PNG with a profile bomb": image(png(48, 64, b"", png_chunk(b"iCCP", b"x\0\0" + BOMB)), pb.Image.PNG),
    "a PNG with 16 bits": image(png(48, 64, b"", form=b"\x10\x02\0\0\0"), pb.Image.PNG),
    "an interlaced PNG": image(png(48, 64, b"", form=b"\x08\x02\0\0\1"), pb.Image.PNG),
    "a PNG without pixels": image(png(48, 64), pb.Image.PNG),
    "a progressive JPEG": image(progressive(), pb.Image.JPEG),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_observation_is_refused_with_the_reason(name: str, server: PolicyServer) -> None:
    tracemalloc.start()
    try:
        refusal = refusal_of(server, WRONG[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refusal.reason == pb.Refusal.BAD_REQUEST, refusal.text
    assert refusal.sequence == 5
    assert 0 < len(refusal.text) <= 500
    assert peak < 64 * 1024 * 1024
    assert_serves(server)


def test_a_jpeg_of_many_scans_costs_no_more_than_one() -> None:
    decode_image(SCANS, "jpeg", 48, 64)


@given(
    st.sampled_from(["png", "jpeg"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_images_with_changed_bytes_are_refused_or_of_the_announced_size(
    encoding: str, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(PNG if encoding == "png" else JPEG)
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    with contextlib.suppress(ValueError):
        assert decode_image(bytes(data), encoding, 48, 64).shape == (48, 64, 3)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_observation_or_refused(data: bytes) -> None:
    from google.protobuf.message import DecodeError

    from edge_stack_policy.remote.wire import decode_observation

    with contextlib.suppress(DecodeError, ValueError):
        decode_observation(pb.Observation.FromString(data), 6)


def test_clients_that_open_calls_and_say_nothing_do_not_keep_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "OPEN_LIMIT_S", 3.0)  # all of them have called by then
    stop = threading.Event()

    def nothing() -> Iterator[bytes]:
        stop.wait(LIMIT_S)
        yield from ()

    with serving(ToyPolicy()) as server, raw_channel(server) as channel:
        calls = [channel.stream_stream(PREDICT)(nothing(), timeout=LIMIT_S) for _ in range(40)]
        codes = {silent.code().name for silent in calls}
        stop.set()
        assert codes == {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
        assert_serves(server)


def test_a_seat_whose_client_is_silent_goes_to_a_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_stack_policy.remote.sessions.SEAT_IDLE_S", 0.2)
    with serving(ToyPolicy()) as server, connected(server) as first:
        first.predict_action_chunk(observation())
        assert_serves(server)


def test_a_client_that_breaks_off_while_it_is_computed_frees_its_seat() -> None:
    toy = ToyPolicy()
    with serving(toy) as server:
        toy.go_on.clear()
        with connected(server) as client:
            client.time_limit_s = 2.0  # enough for it to arrive and be begun
            with contextlib.suppress(Exception):
                client.predict_action_chunk(observation())
            assert toy.begun.acquire(timeout=LIMIT_S)
        toy.go_on.set()
        assert_serves(server)
