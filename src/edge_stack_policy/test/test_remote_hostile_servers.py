# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Servers that are hostile or broken cost a client its time limit at most: they never end, hang or run anything in it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import Policy, PolicyUnavailable
from edge_stack_policy.contract import ImageFeature, plain_contract
from edge_stack_policy.registry import make_policy
from edge_stack_policy.remote import lerobot_transport_pb2 as lerobot
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote.description import describe
from edge_stack_policy.remote.settings import RemoteSettings
from edge_stack_policy.remote.wire import REPLY_BYTES_MAX, encode_array

sys.path.insert(0, str(Path(__file__).parent))
from hostile_pickles import HOSTILE, MARKER, REAL
from hostile_servers import TCP, grpc_server, tcp_server
from toy_remote import LIMIT_S, ROBOT, SETTINGS, TABLE, ToyPolicy, observation

SERVICE = "/edge_stack_policy.remote.v1.PolicyService/"
LEROBOT = "/transport.AsyncInference/"
ACTIONS = np.zeros((4, 6))
SHORT_S = 0.3
CONTRACT = replace(plain_contract(ROBOT), images=(ImageFeature(TABLE, "image_raw", "table", 48, 64),))


def client_of(kind: str, port: int, limit_s: float = LIMIT_S) -> Policy:
    remote = RemoteSettings(
        timeout_s=limit_s, load_timeout_s=limit_s, server_load_timeout_s=limit_s, policy_type="act"
    )
    scheme = {"remote": "grpc", "lerobot_server": "lerobot"}[kind]
    changes: dict[str, Any] = {"contract": CONTRACT, "path": "anything"} if kind == "lerobot_server" else {}
    address = f"{scheme}://127.0.0.1:{port}"
    return make_policy(kind, replace(SETTINGS, address=address, remote=remote, **changes))


# ---- what is no gRPC server


@pytest.mark.parametrize("kind", ["remote", "lerobot_server"])
@pytest.mark.parametrize("what", TCP)
def test_what_is_no_server_of_ours_is_given_up_in_time(kind: str, what: str) -> None:
    with tcp_server(TCP[what]) as port:
        client = client_of(kind, port, SHORT_S)
        began_s = time.monotonic()
        with pytest.raises(PolicyUnavailable, match=f"127.0.0.1:{port}"):
            client.load()
        client.close()
        assert time.monotonic() - began_s < 0.5 * LIMIT_S


# ---- our own protocol


def metadata(**changes: Any) -> bytes:
    message = describe(ToyPolicy(), SETTINGS)
    for field, value in changes.items():
        if isinstance(value, list):
            message.ClearField(field)
            getattr(message, field).extend(value)
        else:
            setattr(message, field, value)
    return message.SerializeToString()


@contextmanager
def policy_server(answer: Callable[[int], list[bytes]], about: bytes | None = None) -> Iterator[int]:
    """Answer each observation, by its sequence number, with these messages."""

    def get_metadata(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield about if about is not None else metadata()

    def predict(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        next(requests)
        yield pb.Reply(opened=pb.Opened()).SerializeToString()
        for request in requests:
            yield from answer(pb.Request.FromString(request).observation.sequence)

    with grpc_server({SERVICE + "GetMetadata": get_metadata, SERVICE + "Predict": predict}) as port:
        yield port


def chunk(sequence: int, actions: pb.Array | None = None) -> bytes:
    array = encode_array(ACTIONS) if actions is None else actions
    return pb.Reply(chunk=pb.Chunk(sequence=sequence, actions=array)).SerializeToString()


def array(shape: list[int], data: bytes, kind: int = pb.Array.FLOAT64) -> pb.Array:
    return pb.Array(type=kind, shape=shape, data=data)


WRONG_CHUNKS: dict[str, Callable[[int], bytes]] = {
    "too few joints": lambda n: chunk(n, encode_array(np.zeros((4, 5)))),
    "too many joints": lambda n: chunk(n, encode_array(np.zeros((4, 7)))),
    "one axis": lambda n: chunk(n, encode_array(np.zeros(6))),
    "no actions": lambda n: chunk(n, array([0, 6], b"")),
    "nothing at all": lambda n: pb.Reply(chunk=pb.Chunk(sequence=n)).SerializeToString(),
    "NaN": lambda n: chunk(n, encode_array(np.full((4, 6), np.nan))),
    "infinite": lambda n: chunk(n, encode_array(np.full((4, 6), -np.inf))),
    "fewer bytes than its shape": lambda n: chunk(n, array([4, 6], b"\0" * 8)),
    "more bytes than its shape": lambda n: chunk(n, array([4, 6], b"\0" * 8 * 25)),
    "a shape that takes all memory": lambda n: chunk(n, array([0xFFFFFFFF, 6], b"")),
    "a shape that overflows": lambda n: chunk(n, array([0x80000000, 0x80000000, 4], b"")),
    "a thousand axes": lambda n: chunk(n, array([1] * 1000, b"\0" * 8)),
    "an unknown type": lambda n: chunk(n, array([4, 6], b"\0" * 192, 77)),
    "a refusal": lambda n: pb.Reply(
        refusal=pb.Refusal(sequence=n, reason=pb.Refusal.POLICY, text="x" * 100_000)
    ).SerializeToString(),
}


@pytest.mark.parametrize("name", WRONG_CHUNKS)
def test_a_wrong_chunk_is_unavailable_and_the_next_good_one_is_taken(name: str) -> None:
    with policy_server(lambda n: [chunk(n) if n > 1 else WRONG_CHUNKS[name](n)]) as port:
        client = client_of("remote", port)
        client.load()
        with pytest.raises(PolicyUnavailable) as error:
            client.predict_action_chunk(observation())
        assert len(str(error.value)) < 1000
        np.testing.assert_array_equal(client.predict_action_chunk(observation()), ACTIONS)
        client.close()


ENDS_THE_STREAM: dict[str, Callable[[int], list[bytes]]] = {
    "no protobuf": lambda n: [b"\xff" * 100],
    "text that is no text": lambda n: [b"\x1a\x06\x08" + bytes([n]) + b"\x1a\x02\xff\xfe"],
    "a huge message": lambda n: [b"\x12" + b"\0" * (REPLY_BYTES_MAX + 1)],
}


@pytest.mark.parametrize("name", ENDS_THE_STREAM)
def test_a_message_that_cannot_be_read_breaks_the_session_and_it_opens_again(name: str) -> None:
    with policy_server(lambda n: [chunk(n)] if n > 1 else ENDS_THE_STREAM[name](n)) as port:
        client = client_of("remote", port)
        client.load()
        with pytest.raises(PolicyUnavailable):
            client.predict_action_chunk(observation())
        np.testing.assert_array_equal(eventually(client), ACTIONS)
        client.close()


def eventually(client: Policy) -> Any:
    end_s = time.monotonic() + LIMIT_S
    while True:
        try:
            return client.predict_action_chunk(observation())
        except PolicyUnavailable:
            assert time.monotonic() < end_s
            time.sleep(0.02)


NO_ANSWER: dict[str, Callable[[int], list[bytes]]] = {
    "silence": lambda n: [],
    "other sequence numbers": lambda n: [chunk(n + 1), chunk(n - 1), chunk(0)],
    "an empty message": lambda n: [b""],
    "opened again": lambda n: [pb.Reply(opened=pb.Opened()).SerializeToString()],
    "a message of the future": lambda n: [b"\xa2\x06\x03abc"],
    "ten thousand answers to nothing": lambda n: [chunk(n + 7)] * 10_000,
}


@pytest.mark.parametrize("name", NO_ANSWER)
def test_a_server_that_does_not_answer_costs_the_time_limit(name: str) -> None:
    with policy_server(NO_ANSWER[name]) as port:
        client = client_of("remote", port)
        client.load()
        client.time_limit_s = 0.1  # type: ignore[attr-defined]
        for _ in range(3):
            began_s = time.monotonic()
            with pytest.raises(PolicyUnavailable, match="no answer in time|being opened"):
                client.predict_action_chunk(observation())
            assert time.monotonic() - began_s < 0.5 * LIMIT_S
        client.close()


def test_a_server_that_never_opens_the_session_costs_the_time_limit() -> None:
    stop = threading.Event()

    def predict(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.add_callback(stop.set)
        stop.wait(LIMIT_S)
        yield b""

    def get_metadata(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield metadata()

    with grpc_server({SERVICE + "GetMetadata": get_metadata, SERVICE + "Predict": predict}) as port:
        client = client_of("remote", port)
        client.load()
        client.time_limit_s = 0.1  # type: ignore[attr-defined]
        with pytest.raises(PolicyUnavailable, match="being opened"):
            client.predict_action_chunk(observation())
        client.close()
    assert stop.is_set()


def test_a_server_that_dies_in_the_middle_of_an_answer_is_noticed_at_once() -> None:
    def die(sequence: int) -> list[bytes]:
        raise RuntimeError

    with policy_server(die) as port:
        client = client_of("remote", port)
        client.load()
        began_s = time.monotonic()
        with pytest.raises(PolicyUnavailable):
            client.predict_action_chunk(observation())
        assert time.monotonic() - began_s < 0.5 * LIMIT_S
        client.close()


WRONG_METADATA = {
    "no protobuf": b"\xff" * 100,
    "nothing": b"",
    "no joints": metadata(action_names=[]),
    "a thousand features": metadata(input_features=["x"] * 1000),
    "a step that is no time": metadata(step_s=float("nan")),
    "a negative step": metadata(step_s=-1.0),
    "a contract that is not JSON": metadata(contract_json="{"),
    "a contract that is deep": metadata(contract_json="[" * 100_000),
    "a huge message": metadata(policy="x" * (REPLY_BYTES_MAX + 1)),
}


@pytest.mark.parametrize("name", WRONG_METADATA)
def test_metadata_that_make_no_sense_are_unavailable(name: str) -> None:
    with policy_server(lambda n: [], WRONG_METADATA[name]) as port:
        client = client_of("remote", port)
        with pytest.raises(PolicyUnavailable):
            client.load()


@pytest.mark.parametrize("contract", ["null", "[]", "1e999", '{"action": {"units": {"units": 1}}}'])
def test_a_contract_of_another_form_is_another_contract(contract: str) -> None:
    with policy_server(lambda n: [], metadata(contract_json=contract)) as port:
        client = client_of("remote", port)
        with pytest.raises(ConfigurationError, match="another contract") as error:
            client.load()
        assert len(str(error.value)) < 2000


# ---- LeRobot's protocol


def real_answer(timestep: int) -> bytes:
    """Return the recorded answer (time steps 7 to 9) as if for another time step."""
    data = REAL
    for index in (2, 1, 0):
        data = data.replace(b"K" + bytes([7 + index]), b"K" + bytes([timestep + index]))
    return data


class LeRobotServer:
    """Answers with what `answers` makes of the time step; counts its set-ups."""

    def __init__(self, answer: Callable[[int], bytes]) -> None:
        self.answer = answer
        self.set_ups = 0
        self._timestep = 0

    def methods(self) -> dict[str, Callable[..., Any]]:
        return {
            LEROBOT + "Ready": self._empty,
            LEROBOT + "SendPolicyInstructions": self._set_up,
            LEROBOT + "SendObservations": self._observe,
            LEROBOT + "GetActions": self._act,
        }

    def _empty(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield b""

    def _set_up(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self.set_ups += 1
        yield b""

    def _observe(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for _ in requests:
            pass
        self._timestep += 1
        yield b""

    def _act(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield self.answer(self._timestep)


def actions(data: bytes) -> bytes:
    return lerobot.Actions(data=data).SerializeToString()


@contextmanager
def loaded_lerobot(answer: Callable[[int], bytes]) -> Iterator[tuple[Policy, LeRobotServer]]:
    """Load a client with good answers, then answer otherwise."""
    server = LeRobotServer(lambda n: actions(real_answer(n)))
    with grpc_server(server.methods()) as port:
        client = client_of("lerobot_server", port)
        client.load()
        server.answer = answer
        yield client, server
        client.close()


def test_a_good_answer_of_lerobots_protocol_is_taken() -> None:
    with loaded_lerobot(lambda n: actions(real_answer(n))) as (client, _):
        assert client.predict_action_chunk(observation()).shape == (3, 6)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_unavailable_and_the_next_good_answer_is_taken(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with loaded_lerobot(lambda n: actions(HOSTILE[name]) if n == 2 else actions(real_answer(n))) as (
        client,
        _,
    ):
        with pytest.raises(PolicyUnavailable):
            client.predict_action_chunk(observation())
        assert client.predict_action_chunk(observation()).shape == (3, 6)
    assert not (tmp_path / MARKER).exists()


WRONG_ANSWERS: dict[str, Callable[[int], bytes]] = {
    "no protobuf": lambda n: b"\xff" * 100,
    "a huge message": lambda n: actions(b"\0" * (17 * 1024 * 1024)),
    "actions for another observation": lambda n: actions(real_answer(n + 5)),
    "nothing": lambda n: b"",
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_a_wrong_answer_is_unavailable_and_the_next_good_one_is_taken(name: str) -> None:
    def answer(timestep: int) -> bytes:
        return WRONG_ANSWERS[name](timestep) if timestep == 2 else actions(real_answer(timestep))

    with loaded_lerobot(answer) as (client, _):
        with pytest.raises(PolicyUnavailable):
            client.predict_action_chunk(observation())
        assert client.predict_action_chunk(observation()).shape == (3, 6)


def test_lerobots_server_that_does_not_answer_costs_the_time_limit_and_is_not_asked_twice_at_a_time() -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    def answer(timestep: int) -> bytes:
        asked.release()
        go_on.wait(LIMIT_S)
        return actions(real_answer(timestep))

    with loaded_lerobot(answer) as (client, _):
        client.time_limit_s = 0.1  # type: ignore[attr-defined]
        with pytest.raises(PolicyUnavailable, match="no answer in time"):
            client.predict_action_chunk(observation())
        with pytest.raises(PolicyUnavailable, match="still busy with an earlier observation"):
            client.predict_action_chunk(observation())
        assert asked.acquire(timeout=LIMIT_S) and not asked.acquire(blocking=False)
        go_on.set()
        client.time_limit_s = LIMIT_S  # type: ignore[attr-defined]
        assert client.predict_action_chunk(observation()).shape == (3, 6)


def test_lerobots_server_that_computes_nothing_is_set_up_again_without_holding_anybody_up() -> None:
    with loaded_lerobot(lambda n: b"") as (client, server):
        for text in ("it computed nothing", "it computed nothing", "it is loading the checkpoint"):
            with pytest.raises(PolicyUnavailable, match=text):
                client.predict_action_chunk(observation())
        server.answer = lambda n: actions(real_answer(n))
        assert eventually(client).shape == (3, 6)
        assert server.set_ups == 2


def test_lerobots_server_that_dies_while_it_computes_is_noticed_at_once() -> None:
    def die(timestep: int) -> bytes:
        raise RuntimeError

    with loaded_lerobot(die) as (client, _):
        began_s = time.monotonic()
        with pytest.raises(PolicyUnavailable):
            client.predict_action_chunk(observation())
        assert time.monotonic() - began_s < 0.5 * LIMIT_S
