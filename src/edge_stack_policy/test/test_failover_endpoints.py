# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""How endpoints are written, which of them fit together, and what happens in their threads."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.base import STATE, Policy, PolicyUnavailable
from edge_stack_policy.failover.endpoint import Endpoint, make_endpoint
from edge_stack_policy.failover.endpoint_worker import Call, EndpointWorker
from edge_stack_policy.failover.policy import FailoverPolicy, make_failover
from edge_stack_policy.settings import PolicySettings

sys.path.insert(0, str(Path(__file__).parent))
from failover_world import JOINTS, NAMES, OBSERVATION, Still, World, drive

# ---- what does not fit


def test_endpoints_that_do_not_agree_are_refused_by_name() -> None:
    other = Still(0, action_names=("b", "a"))
    policy = FailoverPolicy([Endpoint("remote", other), Endpoint("local", Still(1))])
    with pytest.raises(ConfigurationError, match="remote moves b, a but local moves a, b"):
        policy.load()
    assert other.closed == 1
    slower = Still(0)
    slower.step_s = 0.1
    with pytest.raises(
        ConfigurationError, match=r"remote has an action every 100\.00 ms but local every 41\.67"
    ):
        FailoverPolicy([Endpoint("remote", slower), Endpoint("local", Still(1))]).load()


def test_an_endpoint_that_is_down_at_configure_stops_nothing_and_is_used_later() -> None:
    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    remote = Still(0)
    remote.load_error = PolicyUnavailable("connection refused")
    policy = FailoverPolicy(
        [Endpoint("remote", remote), Endpoint("local", Still(1))], clock=world.clock, worker=world.worker
    )
    policy.load()
    assert policy.action_names == JOINTS
    run = drive(world, policy, 5.0, NAMES)
    assert set(run.endpoints) == {"local"}
    assert (
        policy.status().endpoints[0].reason == "connection refused"
        and not policy.status().endpoints[0].loaded
    )
    remote.load_error = None
    assert drive(world, policy, 15.0, NAMES).endpoints[-1] == "remote"


def test_an_endpoint_that_turns_out_not_to_fit_is_never_used() -> None:
    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    remote = Still(0)
    remote.load_error = PolicyUnavailable("connection refused")
    policy = FailoverPolicy(
        [Endpoint("remote", remote), Endpoint("local", Still(1))], clock=world.clock, worker=world.worker
    )
    policy.load()
    remote.load_error = None
    remote.input_features = (STATE, "observation.images.wrist")
    assert set(drive(world, policy, 20.0, NAMES).endpoints) == {"local"}
    assert "needs observation.images.wrist" in policy.status().endpoints[0].reason


def test_the_last_endpoint_must_load() -> None:
    last = Still(1)
    last.load_error = PolicyUnavailable("no file")
    with pytest.raises(ConfigurationError, match="endpoint local: no file; the last endpoint must work"):
        FailoverPolicy([Endpoint("remote", Still(0)), Endpoint("local", last)]).load()


SETTINGS = PolicySettings(load_robot(find_robot("so101_sim")))


def test_endpoints_are_written_as_addresses_and_names() -> None:
    policy = make_failover(["visual_servo", "local"], "visual_servo", SETTINGS)
    assert isinstance(policy, Policy)
    assert [site.name for site in policy._sites] == ["visual_servo", "local"]
    with pytest.raises(
        ConfigurationError, match="'http://x': is no address of a server; those are grpc://HOST:PORT"
    ):
        make_failover(["http://x", "local"], "visual_servo", SETTINGS)
    with pytest.raises(ConfigurationError, match="'nothing': policy: 'nothing' is not known"):
        make_failover(["nothing"], "visual_servo", SETTINGS)
    with pytest.raises(ConfigurationError, match="local is named more than once"):
        make_failover(["local", "local"], "visual_servo", SETTINGS)


def test_what_follows_an_address_sets_how_its_server_is_spoken_to() -> None:
    pytest.importorskip("grpc")
    endpoint = make_endpoint("grpc://10.0.0.1:8443?images=raw&timeout_s=1.5", "visual_servo", SETTINGS)
    assert endpoint.name == "grpc://10.0.0.1:8443" and not endpoint.on_board
    remote = endpoint.policy._remote  # type: ignore[attr-defined]
    assert (remote.images, remote.timeout_s, remote.load_timeout_s) == ("raw", 1.5, 2.0)
    for wrong, said in (("imgs=raw", "'imgs' is not known"), ("timeout_s=soon", "'soon' is not a number")):
        with pytest.raises(ConfigurationError, match=said):
            make_endpoint(f"grpc://10.0.0.1:8443?{wrong}", "visual_servo", SETTINGS)


def test_a_policy_that_looks_back_is_refused_for_a_server_that_keeps_no_observations(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    (tmp_path / "config.json").write_text('{"type": "diffusion", "n_obs_steps": 2}')
    with pytest.raises(ConfigurationError, match="looks back over 2 observations.*edge policy-server"):
        make_endpoint(f"lerobot://10.0.0.1:8080?path={tmp_path}", "visual_servo", SETTINGS)
    (tmp_path / "config.json").write_text('{"type": "act", "n_obs_steps": 1}')
    assert (
        make_endpoint(f"lerobot://10.0.0.1:8080?path={tmp_path}", "visual_servo", SETTINGS).on_board is False
    )


# ---- real threads


def test_a_call_that_hangs_holds_up_nobody() -> None:
    free, hangs = threading.Event(), threading.Event()

    class Hanging(Still):
        def predict_action_chunk(self, observation: dict[str, object]) -> np.ndarray:
            hangs.set()
            free.wait(30.0)
            return super().predict_action_chunk(observation)

    policy = FailoverPolicy([Endpoint("remote", Hanging(0), on_board=False), Endpoint("local", Still(1))])
    policy.load()
    try:
        for _ in range(3):
            policy.time_limit_s = 10.0
            assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1
        assert hangs.wait(60.0)  # its probe
        free.set()
    finally:
        free.set()
        policy.close()


def test_a_worker_hands_over_what_comes_too_late() -> None:
    free = threading.Event()

    class Slow(Still):
        def predict_action_chunk(self, observation: dict[str, object]) -> np.ndarray:
            free.wait(30.0)
            return super().predict_action_chunk(observation)

    policy = Slow(3)
    worker = EndpointWorker(policy, "test")
    worker.start(Call(OBSERVATION))
    assert worker.take(0.0) is None and worker.busy
    free.set()
    outcome = worker.take(30.0)
    assert outcome is not None and outcome.chunk is not None and outcome.chunk[0, 0] == 3
    assert not worker.busy
    worker.close()
    assert policy.closed == 1
