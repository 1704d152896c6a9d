# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The stack's own policy server and its client over real gRPC: what arrives, what is dropped, who has a session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import (
    DELAY_STEPS,
    ENVIRONMENT_STATE,
    LEFTOVER,
    STATE,
    TASK,
    TIME_S,
    Policy,
    PolicyUnavailable,
)
from edge_stack_policy.contract import load_contract
from edge_stack_policy.registry import make_policy
from edge_stack_policy.remote import lerobot_transport_pb2
from edge_stack_policy.remote import policy_service_pb2 as pb
from edge_stack_policy.remote import server as server_program
from edge_stack_policy.remote.service import PolicyServer
from edge_stack_policy.remote.settings import parse_address

sys.path.insert(0, str(Path(__file__).parent))
from toy_remote import LIMIT_S, ROBOT, SETTINGS, TABLE, ToyPolicy, connected, observation, serving


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.01)


def test_the_client_is_a_policy_that_is_what_the_server_says() -> None:
    with serving(ToyPolicy()) as server, connected(server) as client:
        assert isinstance(client, Policy)
        assert client.action_names == ROBOT.joint_names
        assert client.input_features == (STATE, TABLE)
        assert client.step_s == SETTINGS.step_s
        assert client.guides_chunks


def test_an_observation_arrives_as_it_was_and_the_chunk_comes_back() -> None:
    toy = ToyPolicy()
    left_over = np.arange(18.0).reshape(3, 6)
    sent = observation(0.25, **{LEFTOVER: left_over, DELAY_STEPS: 2})
    with serving(toy) as server, connected(server) as client:
        chunk = client.predict_action_chunk(sent)
    np.testing.assert_array_equal(chunk, np.full((4, 6), 0.25))
    (seen,) = toy.seen
    assert seen[STATE].dtype == np.float32
    np.testing.assert_array_equal(seen[TABLE], sent[TABLE])
    np.testing.assert_array_equal(seen[LEFTOVER], left_over)
    assert (seen[DELAY_STEPS], seen[TASK], seen[TIME_S]) == (2, "wave", 12.5)


@pytest.mark.parametrize(("encoding", "off_by"), [("raw", 0), ("png", 0), ("jpeg", 6)])
def test_images_travel_as_chosen(encoding: str, off_by: int) -> None:
    toy = ToyPolicy()
    ramp = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    image = np.stack([ramp, ramp + 40, 255 - ramp], axis=2)
    with serving(toy) as server, connected(server, images=encoding) as client:
        client.predict_action_chunk(observation(**{TABLE: image}))
    difference = np.abs(toy.seen[0][TABLE].astype(int) - image)
    assert difference.max() <= off_by


def test_the_client_knows_times_and_sizes_of_its_last_call() -> None:
    with serving(ToyPolicy()) as server, connected(server) as client:
        client.predict_action_chunk(observation())
        assert 0.0 < client.server_s < client.rtt_s < LIMIT_S
        assert client.bytes_sent > 48 * 64 * 3
        assert 4 * 6 * 8 < client.bytes_received < 1000


def test_a_reset_reaches_the_policy_with_the_next_observation() -> None:
    toy = ToyPolicy()
    with serving(toy) as server, connected(server) as client:
        client.predict_action_chunk(observation())
        before = toy.resets
        client.reset()
        assert toy.resets == before
        client.predict_action_chunk(observation())
        client.predict_action_chunk(observation())
        assert toy.resets == before + 1


def test_a_late_chunk_is_not_waited_for_and_not_taken_for_the_next_one() -> None:
    toy = ToyPolicy()
    with serving(toy) as server, connected(server) as client:
        client.predict_action_chunk(observation())
        toy.go_on.clear()
        client.time_limit_s = 0.05
        with pytest.raises(PolicyUnavailable, match="no answer in time"):
            client.predict_action_chunk(observation(0.2))
        toy.go_on.set()
        client.time_limit_s = None
        assert client.predict_action_chunk(observation(0.3))[0, 0] == pytest.approx(0.3)


def test_of_observations_that_wait_the_newest_is_computed_and_no_other() -> None:
    toy = ToyPolicy()
    with serving(toy) as server, connected(server) as client:
        toy.go_on.clear()
        # The first one is given the time to arrive, and is being computed while the others come.
        for value, limit_s in ((0.1, 2.0), (0.2, 0.05), (0.3, 0.05)):
            client.time_limit_s = limit_s
            with pytest.raises(PolicyUnavailable):
                client.predict_action_chunk(observation(value))
        assert toy.begun.acquire(timeout=LIMIT_S)
        toy.go_on.set()
        client.time_limit_s = LIMIT_S
        client.predict_action_chunk(observation(0.4))
    states = [float(seen[STATE][0]) for seen in toy.seen]
    assert states == pytest.approx([0.1, 0.4])


def test_what_is_late_when_its_turn_comes_is_not_computed() -> None:
    slow, other = ToyPolicy(), ToyPolicy()
    with serving(slow, other) as server, connected(server) as first, connected(server) as second:
        first.predict_action_chunk(observation())
        second.predict_action_chunk(observation())
        users = {id(toy): toy for toy in (slow, other)}
        assert all(len(toy.seen) == 1 for toy in users.values())
        slow.go_on.clear()
        other.go_on.clear()
        worker = threading.Thread(target=first.predict_action_chunk, args=(observation(0.2),))
        worker.start()
        until(lambda: len(slow.seen) + len(other.seen) == 3)
        second.time_limit_s, sent_s = 0.05, time.monotonic()
        with pytest.raises(PolicyUnavailable):
            second.predict_action_chunk(observation(0.3))

        def late_at_the_server() -> bool:
            """Whether the limit has passed since it arrived: the server counts from there, the client from before."""
            arrived_s = max(seat.used_s for seat in server.service._seats._seats)
            return sent_s < arrived_s < time.monotonic() - 0.05

        until(late_at_the_server)
        slow.go_on.set()
        other.go_on.set()
        worker.join()
        second.time_limit_s = None
        second.predict_action_chunk(observation(0.4))
        seen = [float(s[STATE][0]) for toy in users.values() for s in toy.seen]
        assert not any(value == pytest.approx(0.3) for value in seen)


def test_each_client_has_a_policy_of_its_own() -> None:
    toys = ToyPolicy(), ToyPolicy()
    with serving(*toys) as server, connected(server) as first, connected(server) as second:
        first.predict_action_chunk(observation(0.1))
        second.predict_action_chunk(observation(0.2))
        first.predict_action_chunk(observation(0.1))
    assert sorted(len(toy.seen) for toy in toys) == [1, 2]


def test_one_client_too_many_is_refused_with_the_remedy_and_served_when_a_seat_is_free() -> None:
    with serving(ToyPolicy()) as server, connected(server) as first:
        first.predict_action_chunk(observation())
        with connected(server) as second:
            with pytest.raises(PolicyUnavailable, match="all sessions are taken, 1 of them; .*--sessions"):
                second.predict_action_chunk(observation())
            first.close()
            until(lambda: answers(second))


def answers(client: Policy) -> bool:
    try:
        client.predict_action_chunk(observation())
    except PolicyUnavailable:
        return False
    return True


def test_a_client_that_comes_back_takes_its_own_seat() -> None:
    """Its former call may still look alive to the server."""
    toy = ToyPolicy()
    with serving(toy) as server, connected(server) as client:
        client.predict_action_chunk(observation())
        session = client._session
        assert session is not None
        opening = session._open
        from edge_stack_policy.remote.session import Session

        again = Session(client._channel, opening.open.fingerprint)
        again._open = opening
        request = pb.Request(observation=pb.Observation(sequence=7))
        try:
            until(lambda: _asks(again, request))
        finally:
            again.close()


def _asks(session: Any, request: pb.Request) -> bool:
    try:
        reply = session.ask(request, time.monotonic() + LIMIT_S)
    except PolicyUnavailable:
        return False
    return reply.refusal.reason == pb.Refusal.BAD_REQUEST


def test_a_server_that_died_is_used_again_when_it_is_back() -> None:
    first = PolicyServer([ToyPolicy()], SETTINGS)
    with connected(first) as client:
        client.predict_action_chunk(observation())
        first.stop()
        began_s = time.monotonic()
        with pytest.raises(PolicyUnavailable):
            client.predict_action_chunk(observation())
        assert time.monotonic() - began_s < 0.5 * LIMIT_S
        with serving(ToyPolicy(), address=f"127.0.0.1:{first.port}"):
            until(lambda: answers(client))


def test_a_server_with_another_policy_is_not_used_on() -> None:
    first = PolicyServer([ToyPolicy()], SETTINGS)
    other = ToyPolicy()
    other.action_names = tuple(reversed(other.action_names))
    with connected(first) as client:
        client.predict_action_chunk(observation())
        first.stop()
        with serving(other, address=f"127.0.0.1:{first.port}"):

            def refused() -> bool:
                try:
                    client.predict_action_chunk(observation())
                except PolicyUnavailable as error:
                    return "another policy is served now" in str(error)
                return False

            until(refused)
    assert not other.seen


@pytest.mark.parametrize(
    ("error", "text"), [(ValueError("no such object"), "no such object"), (RuntimeError(), "RuntimeError")]
)
def test_a_policy_that_raises_is_a_refusal_and_the_session_goes_on(error: Exception, text: str) -> None:
    toy = ToyPolicy()
    with serving(toy) as server, connected(server) as client:
        toy.error = error
        with pytest.raises(PolicyUnavailable, match=text):
            client.predict_action_chunk(observation())
        toy.error = None
        assert client.predict_action_chunk(observation()).shape == (4, 6)


def test_a_contract_that_differs_is_named_field_by_field(tmp_path: Path) -> None:
    joints = "[shoulder_pan, shoulder_lift, elbow_flex, wrist_flex, wrist_roll, gripper]"
    file = tmp_path / "degrees.yaml"
    file.write_text(
        f"state: {{fields: {joints}, units: deg}}\naction: {{joints: {joints}, units: rad}}\n",
        encoding="utf-8",
    )
    contract = load_contract(file, ROBOT)
    with serving(ToyPolicy()) as server:
        client = make_policy(
            "remote", replace(SETTINGS, address=f"grpc://127.0.0.1:{server.port}", contract=contract)
        )
        with pytest.raises(ConfigurationError, match=r'state.units: \["deg".* here, \["rad".* at the server'):
            client.load()


def test_joints_that_the_robot_does_not_have_are_refused() -> None:
    toy = ToyPolicy()
    toy.action_names = (*toy.action_names[:5], "tail")
    with (
        serving(toy) as server,
        pytest.raises(ConfigurationError, match="moves tail, which so101_sim does not have"),
        connected(server),
    ):
        pass


def test_nobody_there_is_unavailable_not_an_error_of_the_configuration() -> None:
    with (
        pytest.raises(PolicyUnavailable, match="grpc://127.0.0.1:1: unavailable"),
        connected("grpc://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:80", "http://a:1", "grpc://a", "grpc://a:99999", "grpc://a:1/x", "grpc://u@a:1"],
)
def test_an_address_that_is_none_is_an_error_that_says_what_would_be_right(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"grpc://HOST:PORT"):
        parse_address(address, "grpc", "grpcs")


def test_addresses_of_both_families_are_read() -> None:
    assert parse_address("grpcs://[::1]:8443", "grpc", "grpcs").target == "[::1]:8443"
    assert str(parse_address("grpc://robot.local:1", "grpc")) == "grpc://robot.local:1"


# ---- the program


def test_beyond_loopback_it_listens_only_with_tls_or_when_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        server_program.main(["--policy", "visual_servo", "--robot", "so101_sim", "--address", "0.0.0.0:0"])
        == 2
    )
    error = capsys.readouterr().err
    assert "0.0.0.0:0 can be reached from other machines" in error
    assert "--certificate" in error and "--insecure" in error


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--policy", "nonsense"], "'nonsense' is not known"),
        (["--policy", "visual_servo", "--certificate", "x.pem"], "--certificate and --key: give both"),
        (["--policy", "visual_servo", "--client-ca", "x.pem"], "--client-ca: needs"),
        (
            ["--policy", "visual_servo", "--certificate", "no.pem", "--key", "no.pem"],
            "there is no file 'no.pem'",
        ),
    ],
)
def test_arguments_that_cannot_work_are_said(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server_program.main([*arguments, "--robot", "so101_sim", "--port", "0"]) == 2
    assert text in capsys.readouterr().err


def test_a_port_that_is_taken_is_said() -> None:
    with (
        serving(ToyPolicy()) as server,
        pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{server.port}"),
    ):
        PolicyServer([ToyPolicy()], SETTINGS, f"127.0.0.1:{server.port}")


def test_the_program_serves_a_built_in_policy_and_ends_on_a_signal() -> None:
    command = [
        sys.executable,
        "-m",
        "edge_stack_policy.remote.server",
        "--policy",
        "visual_servo",
        "--robot",
        "so101_sim",
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("policy-server: visual_servo on 127.0.0.1:")
        port = int(line.partition("127.0.0.1:")[2].partition(",")[0])
        with connected(f"grpc://127.0.0.1:{port}") as client:
            home = np.array(ROBOT.home, dtype=np.float32)
            nothing = np.zeros((0, 8), np.float32)
            chunk = client.predict_action_chunk(
                {STATE: home, TIME_S: 5.0, TASK: "", ENVIRONMENT_STATE: nothing}
            )
        assert chunk.shape == (30, 6)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


# ---- the generated code


@pytest.mark.parametrize("module", [pb, lerobot_transport_pb2])
def test_the_committed_protobuf_code_is_that_of_the_proto_file(module: Any, tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    from google.protobuf import descriptor_pb2

    package = Path(server_program.__file__).parents[2]
    arguments = ["protoc", f"-I{package}", f"--descriptor_set_out={tmp_path}/set"]
    assert protoc.main([*arguments, module.DESCRIPTOR.name]) == 0
    (fresh,) = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    messages = list(fresh.message_type)
    for message in messages:  # protoc writes names for JSON there, and leaves them out in the code
        messages += message.nested_type
        for entry in message.field:
            entry.ClearField("json_name")
    committed = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    assert committed == fresh
