# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A Triton server as the endpoint where a policy is computed: used, left when it is killed, used again; and hostile ones.

Against a server of our own that speaks Triton's protocol; and against a real Triton where EDGE_STACK_TRITONSERVER names one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from hostile_servers import TCP, tcp_server

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.stack_config import load_config
from edge_stack_inference.testing.model_servers import KServe, free_port, kserve, triton
from edge_stack_policy.base import STATE, Policy, PolicyUnavailable
from edge_stack_policy.contract import ImageFeature, plain_contract
from edge_stack_policy.failover.policy import FailoverPolicy, make_failover
from edge_stack_policy.registry import make_policy
from edge_stack_policy.remote.settings import RemoteSettings
from edge_stack_policy.settings import PolicySettings
from edge_stack_policy.testing.micro_smolvla import FOLDER, IMAGE, TASK, make_case
from edge_stack_policy.triton.repository import write_repository

ROBOT = load_robot(find_robot("so101_sim"))
STACK = """
robot: so101_sim
nodes:
  policy:
    {{package: edge_stack_policy,
    executable: policy, class: critical, parameters: {{policy: triton, policy_path: {policy}}}}}
"""
LIMIT_S = 20.0
RETURN_LIMIT_S = 60.0  # a real Triton starts in ten seconds, and is probed every four by then

Serve = Callable[[int], AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the model repository of a stack with one policy."""
    folder = tmp_path_factory.mktemp("stack")
    (folder / "robot.yaml").write_text(STACK.format(policy=FOLDER))
    write_repository(load_config(folder / "robot.yaml"), folder / "repository", engine="python")
    return folder / "repository"


@contextmanager
def killed_at_the_end(repository: Path, port: int) -> Iterator[None]:
    with triton(repository, port) as (process, _):
        yield
        process.kill()


@pytest.fixture(params=["own", "triton"])
def serve(request: pytest.FixtureRequest, repository: Path) -> Serve:
    """Return what serves the repository on a port until the end of a block, and is gone at once then."""
    return partial(kserve if request.param == "own" else killed_at_the_end, repository)


def settings(port: int) -> PolicySettings:
    contract = replace(plain_contract(ROBOT), images=(ImageFeature(IMAGE, "image_raw"),))
    limits = RemoteSettings(timeout_s=LIMIT_S)
    return PolicySettings(
        ROBOT, path=str(FOLDER), contract=contract, address=f"triton://127.0.0.1:{port}", remote=limits
    )


def observation(seed: int = 0) -> dict[str, Any]:
    case = make_case(seed)
    return {IMAGE: case.image, STATE: case.state, "task": TASK}


# ---- failover


def test_a_failover_policy_uses_triton_falls_back_when_it_is_killed_and_returns(serve: Serve) -> None:
    port = free_port()
    address = f"triton://127.0.0.1:{port}"
    policy = make_failover([address, "local"], "smolvla", settings(port))
    local = make_policy("smolvla", settings(port))
    local.load()
    expected = local.predict_action_chunk(observation())
    local.close()

    def chunks_until(endpoint: str) -> None:
        end_s = time.monotonic() + RETURN_LIMIT_S
        while True:
            chunk = policy.predict_action_chunk(observation())
            np.testing.assert_allclose(chunk, expected, atol=1e-6)
            if policy.endpoint == endpoint:
                return
            assert time.monotonic() < end_s, policy.status().reason
            time.sleep(0.02)

    policy.time_limit_s = LIMIT_S
    policy.load()
    try:
        with serve(port):
            chunks_until(address)
            assert policy.status().endpoints[0].rtt_p50_ms > 0.0
        chunks_until("local")
        assert policy.status().reason.startswith(address)
        with serve(port):
            chunks_until(address)
        assert policy.status().changes == 3
    finally:
        policy.close()


def test_a_triton_that_stands_still_is_left_within_the_same_chunk(repository: Path) -> None:
    go_on = threading.Event()
    with kserve(repository) as (server, port):
        policy: FailoverPolicy = make_failover(
            [f"triton://127.0.0.1:{port}", "local"], "smolvla", settings(port)
        )
        policy.time_limit_s = LIMIT_S
        policy.load()
        try:
            end_s = time.monotonic() + RETURN_LIMIT_S
            while policy.endpoint == "local":
                policy.predict_action_chunk(observation())
                assert time.monotonic() < end_s
                time.sleep(0.02)
            server.before = lambda _request: go_on.wait(LIMIT_S)
            policy.time_limit_s = 1.0
            assert policy.predict_action_chunk(observation(1)).shape == (10, 6)
            assert policy.endpoint == "local"
        finally:
            go_on.set()
            policy.close()


# ---- hostile


@pytest.mark.parametrize("what", TCP)
def test_what_is_no_triton_is_given_up_in_time(what: str) -> None:
    with tcp_server(TCP[what]) as port:
        policy = make_policy("triton", replace(settings(port), remote=RemoteSettings(load_timeout_s=0.3)))
        began_s = time.monotonic()
        with pytest.raises(PolicyUnavailable, match="no Triton server answers"):
            policy.load()
        assert time.monotonic() - began_s < 0.5 * LIMIT_S


@contextmanager
def loaded(repository: Path) -> Iterator[tuple[KServe, Policy]]:
    with kserve(repository) as (server, port):
        policy = make_policy("triton", settings(port))
        policy.load()
        try:
            yield server, policy
        finally:
            policy.close()


def _reshaped(answer: Any) -> None:
    answer.outputs[0].shape[1] += 1
    answer.raw_output_contents[0] += answer.raw_output_contents[0]


def _one_axis(answer: Any) -> None:
    del answer.outputs[0].shape[:]
    answer.outputs[0].shape.append(len(answer.raw_output_contents[0]) // 4)


def _not_finite(answer: Any) -> None:
    count = len(answer.raw_output_contents[0]) // 4
    answer.raw_output_contents[0] = np.full(count, np.inf, np.float32).tobytes()


TWISTS: dict[str, Callable[[Any], object]] = {
    "another shape": _reshaped,
    "one axis": _one_axis,
    "a shape that takes all memory": lambda a: a.outputs[0].shape.__setitem__(1, 2**40),
    "a negative size": lambda a: a.outputs[0].shape.__setitem__(1, -1),
    "not finite": _not_finite,
    "no bytes": lambda a: a.ClearField("raw_output_contents"),
    "65 MiB": lambda a: a.raw_output_contents.__setitem__(0, bytes(65 * 2**20)),
    "nothing": lambda a: a.ClearField("outputs"),
}


@pytest.mark.parametrize("graph", ["vision", "prefix", "denoise"])
@pytest.mark.parametrize("name", TWISTS)
def test_an_answer_of_no_use_is_unavailable_and_the_next_good_one_is_taken(
    repository: Path, name: str, graph: str
) -> None:
    with loaded(repository) as (server, policy):
        expected = policy.predict_action_chunk(observation(1))
        server.twist = lambda answer: TWISTS[name](answer) if answer.model_name == f"policy_{graph}" else None
        with pytest.raises(PolicyUnavailable, match=f"policy_{graph}") as error:
            policy.predict_action_chunk(observation(2))
        assert len(str(error.value)) < 1000
        server.twist = lambda answer: None
        np.testing.assert_array_equal(policy.predict_action_chunk(observation(1)), expected)


def test_a_server_that_stalls_in_the_middle_of_a_chunk_costs_the_time_limit(repository: Path) -> None:
    go_on = threading.Event()
    with loaded(repository) as (server, policy):
        server.before = lambda request: (
            go_on.wait(LIMIT_S) if request.model_name == "policy_denoise" else None
        )
        policy.time_limit_s = 0.3  # type: ignore[attr-defined]
        began_s = time.monotonic()
        with pytest.raises(PolicyUnavailable, match="no answer within"):
            policy.predict_action_chunk(observation(1))
        assert time.monotonic() - began_s < 0.5 * LIMIT_S
        go_on.set()


def test_a_server_whose_free_sizes_hide_a_wrong_shape_is_found_out(repository: Path) -> None:
    with kserve(repository) as (server, port):
        velocity = server._configs["policy_denoise"].output[0]
        velocity.dims[1] = -1  # numpy would spread one action over all ten

        def one_action(answer: Any) -> None:
            if answer.model_name == "policy_denoise":
                answer.outputs[0].shape[1] = 1
                answer.raw_output_contents[0] = answer.raw_output_contents[0][:32]

        server.twist = one_action
        with pytest.raises(PolicyUnavailable, match=r"answered velocity \[1, 1, 8\]; \[1, 10, 8\] is needed"):
            make_policy("triton", settings(port)).load()


def test_a_server_without_an_output_is_refused_by_its_name(repository: Path) -> None:
    with kserve(repository) as (server, port):
        server._configs["policy_prefix"].output[1].name = "else"
        with pytest.raises(
            ConfigurationError, match="policy_prefix: does not fit policy.json: it lacks outputs values"
        ):
            make_policy("triton", settings(port)).load()
