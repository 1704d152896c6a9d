# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The node base class, by a small node in a real process over DDS."""

from __future__ import annotations

import signal
import socket
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from edge_stack_msgs.msg import NodeStatus
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter as RosParameter
from rclpy.parameter import parameter_dict_from_yaml_file
from std_msgs.msg import Float64

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer


@pytest.fixture
def toy(peer: Peer) -> Iterator[NodeProcess]:
    with NodeProcess("toy_node", "toy") as process:
        yield process


def state(peer: Peer, label: str):
    return peer.spin_until(
        lambda: "toy" in peer.statuses and peer.statuses["toy"].state == label and peer.statuses["toy"]
    )


def resting(peer: Peer, label: str) -> NodeStatus:
    """Return a status of the state that says what is wrong; in a repeated attempt the reason is that of the last one."""
    return peer.spin_until(
        lambda: next((s for s in peer.said("toy") if s.message and s.state == label), None),
        what=f"a reason in state {label}",
    )


def test_a_node_reports_itself_unconfigured_on_start(peer: Peer, toy: NodeProcess) -> None:
    status = state(peer, "unconfigured")
    assert status.pid == toy.pid
    assert status.rss_mb > 1.0


def test_a_node_works_only_while_active(peer: Peer, toy: NodeProcess) -> None:
    out = peer.collect(Float64, "out", qos.result(offered=False))
    numbers = peer.node.create_publisher(Float64, "in", qos.result())
    peer.bring_up("toy")

    def answered() -> bool:
        numbers.publish(Float64(data=3.0))
        return bool(out)

    peer.spin_until(answered)
    assert out[0].data == 6.0
    assert peer.transition("toy", "deactivate")
    state(peer, "inactive")
    out.clear()
    numbers.publish(Float64(data=4.0))
    # The node's executor has gone round since, so that the number has come.
    published_s = peer.now_s()
    peer.spin_until(lambda: len(peer.said("toy", published_s)) >= 2)
    assert peer.transition("toy", "activate")
    peer.spin_until(answered)
    assert {m.data for m in out} == {6.0}, "a number that came while inactive was answered"


def test_a_refused_configure_says_why_and_can_be_mended(peer: Peer) -> None:
    with NodeProcess("toy_node", "toy", {"model": "missing"}):
        diagnostics = peer.collect(DiagnosticArray, "diagnostics", qos.status())
        assert not peer.transition("toy", "configure")
        assert "missing.onnx does not exist" in resting(peer, "unconfigured").message
        peer.spin_until(
            lambda: any(
                s.level == b"\x02" and "missing.onnx" in s.message for d in diagnostics for s in d.status
            )
        )
        assert peer.set_parameter("toy", "model", "") == (True, "")
        peer.bring_up("toy")


def test_a_refused_activate_leaves_the_node_inactive_with_its_reason(peer: Peer) -> None:
    with NodeProcess("toy_node", "toy", {"fail_activate": True}):
        assert peer.transition("toy", "configure")
        assert not peer.transition("toy", "activate")
        assert "told to fail" in resting(peer, "inactive").message


def test_a_wrong_start_value_fails_configure_and_names_the_parameter(peer: Peer) -> None:
    with NodeProcess("toy_node", "toy", {"mode": "medium", "gain": "much"}):
        assert not peer.transition("toy", "configure")
        status = peer.spin_until(lambda: peer.statuses["toy"].message and peer.statuses["toy"])
        assert "mode: 'medium' is not one of fast, slow" in status.message
        assert "gain: 'much' is not of type float" in status.message


def test_a_whole_number_is_taken_for_a_float_parameter(peer: Peer) -> None:
    with NodeProcess("toy_node", "toy", {"gain": 5}):
        peer.bring_up("toy")


def test_live_parameters_change_at_once_and_others_only_while_unconfigured(
    peer: Peer, toy: NodeProcess
) -> None:
    peer.bring_up("toy")
    ok, why = peer.set_parameter("toy", "gain", 3.0)
    assert ok, why
    ok, why = peer.set_parameter("toy", "gain", 11.0)
    assert not ok and "gain" in why
    ok, why = peer.set_parameter("toy", "mode", "slow")
    assert not ok and "takes effect at configure" in why
    ok, why = peer.set_parameter("toy", "mode", "other")
    assert not ok and "not one of" in why


def sent_by_ros2_param_load(peer: Peer, node: str, folder: Path) -> list[RosParameter]:
    """Return the parameters that `ros2 param load` sends of what `ros2 param dump` has written."""
    names = peer.call(ListParameters, f"{node}/list_parameters", ListParameters.Request()).result.names
    values = peer.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=names)).values
    written = {
        name: RosParameter.from_parameter_msg(ParameterMessage(name=name, value=value)).value
        for name, value in zip(names, values, strict=True)
    }
    plain = {n: list(v) if isinstance(v, (list, array)) else v for n, v in written.items()}
    file = folder / "dump.yaml"
    file.write_text(yaml.safe_dump({f"/{node}": {"ros__parameters": plain}}), encoding="utf-8")
    return list(parameter_dict_from_yaml_file(str(file)).values())


def test_an_unchanged_dump_of_all_parameters_loads_in_every_state(
    peer: Peer, toy: NodeProcess, tmp_path: Path
) -> None:
    parameters = sent_by_ros2_param_load(peer, "toy", tmp_path)
    assert len(parameters) > 20
    for bring in (
        lambda: None,
        lambda: peer.transition("toy", "configure"),
        lambda: peer.transition("toy", "activate"),
    ):
        bring()
        request = SetParameters.Request(parameters=parameters)
        results = peer.call(SetParameters, "toy/set_parameters", request).results
        refused = {p.name: r.reason for p, r in zip(parameters, results, strict=True) if not r.successful}
        assert refused == {}
    assert sent_by_ros2_param_load(peer, "toy", tmp_path) == parameters
    ok, why = peer.set_parameter("toy", "text", 124)
    assert not ok, "a number is no text, unless it is how the present one is read"
    ok, why = peer.set_parameter("toy", "gain", 3)
    assert ok, why
    ok, why = peer.set_parameter("toy", "names", ["other"])
    assert not ok and "takes effect at configure" in why


def test_a_status_is_named_as_diagnostic_updater_names_it_on_the_absolute_topic(peer: Peer) -> None:
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics", qos.status())
    with (
        NodeProcess("toy_node", "toy", namespace="/left"),
        NodeProcess("toy_node", "toy", namespace="/right"),
    ):
        peer.spin_until(lambda: len({s.name for d in diagnostics for s in d.status}) >= 2)
    assert {s.name for d in diagnostics for s in d.status} == {"left/toy: work", "right/toy: work"}
    assert {s.hardware_id for d in diagnostics for s in d.status} == {socket.gethostname()}
    assert all(d.header.stamp.sec for d in diagnostics)


def test_an_unknown_parameter_is_shown_with_the_nearest_known_one(peer: Peer) -> None:
    with NodeProcess("toy_node", "toy", {"gian": 3.0}):
        peer.bring_up("toy")
        status = peer.spin_until(lambda: peer.statuses["toy"].state == "active" and peer.statuses["toy"])
        assert status.message == "unknown parameters are ignored: gian (did you mean gain?)"


def test_a_state_is_logged_once_whatever_figures_its_text_holds(peer: Peer, toy: NodeProcess) -> None:
    numbers = peer.node.create_publisher(Float64, "in", qos.result())
    peer.bring_up("toy")
    told: set[str] = set()

    def published() -> bool:
        numbers.publish(Float64(data=2000.0 + len(peer.heard)))
        told.add(peer.statuses["toy"].message)
        return len(told) >= 5

    peer.spin_until(published, what="five texts")
    assert toy.output().count("is too much") == 1, "the status tells each, the log one"


def test_a_node_that_starts_itself_logs_once_why_it_cannot(peer: Peer) -> None:
    with NodeProcess("toy_node", "toy", {"model": "missing", "autostart": True}) as toy:

        def attempts() -> int:
            return sum(status.state == "configuring" for status in peer.said("toy"))

        peer.spin_until(lambda: attempts() >= 3, what="three attempts")
        assert toy.output().count("missing.onnx does not exist") == 1
        assert peer.set_parameter("toy", "model", "") == (True, "")
        state(peer, "active")


def test_subscribers_with_other_qos_are_named_once_with_the_policy_in_plain_words(
    peer: Peer, toy: NodeProcess
) -> None:
    peer.bring_up("toy")
    for _ in range(2):
        other = peer.node.create_subscription(Float64, "out", print, qos.state())
        since_s = peer.now_s()

        def counted(since_s: float = since_s) -> bool:
            return any(e.event == "incompatible_qos" for s in peer.said("toy", since_s) for e in s.events)

        peer.spin_until(counted, what="the event")
        peer.node.destroy_subscription(other)
    assert toy.output().count("incompatible QoS (durability)") == 1
    assert "rmw_qos_policy_kind" not in toy.output()


def test_a_callback_that_raises_is_counted_and_the_node_lives(peer: Peer, toy: NodeProcess) -> None:
    numbers = peer.node.create_publisher(Float64, "in", qos.result())
    peer.bring_up("toy")

    def counted() -> bool:
        numbers.publish(Float64(data=-1.0))
        return any(e.event == "raised_ValueError" and e.count > 1 for e in peer.statuses["toy"].events)

    peer.spin_until(counted)
    assert toy.alive()
    assert toy.output().count("ValueError") == 1, "each kind is logged once"


def test_an_impossible_transition_is_refused_and_the_node_lives(peer: Peer, toy: NodeProcess) -> None:
    assert not peer.transition("toy", "activate")
    assert (
        toy.output().count("transition 3 refused in state unconfigured: there are configure, shutdown") == 1
    )
    assert peer.transition("toy", "configure")
    assert not peer.transition("toy", "configure")
    assert toy.alive()
    assert "rcl_lifecycle" not in toy.output()


def test_a_transition_that_outlasts_a_repeated_request_is_no_refusal(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_stack_core.ros.testing.ANSWER_S", 0.3)
    monkeypatch.setattr("edge_stack_core.ros.testing.TRANSITION_ANSWER_S", 0.3)
    with NodeProcess("toy_node", "toy", {"configure_s": 2.0}) as slow:
        assert peer.transition("toy", "configure"), slow.output()
        assert not peer.transition("toy", "configure"), "it is inactive, and the repeated request was refused"
        assert "refused" not in slow.output(), "nobody asked for anything that was not done"


def test_a_node_can_be_cleaned_up_and_configured_again(peer: Peer, toy: NodeProcess) -> None:
    for _ in range(2):
        peer.bring_up("toy")
        assert peer.transition("toy", "deactivate")
        assert peer.transition("toy", "cleanup")
    peer.bring_up("toy")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_active_node_with_code_0_and_no_traceback(
    peer: Peer, toy: NodeProcess, number: int
) -> None:
    peer.bring_up("toy")
    assert toy.stop(number) == 0
    assert "Traceback" not in toy.output()


def test_a_node_reports_itself_while_simulated_time_stands_still(peer: Peer) -> None:
    statuses = peer.collect(NodeStatus, "node_status", qos.status())
    with NodeProcess("toy_node", "toy", {"use_sim_time": True}):
        peer.spin_until(lambda: len(statuses) >= 4)
    assert {status.header.stamp.sec for status in statuses} == {0}


def test_a_ctrl_c_that_was_held_back_while_modules_were_imported_ends_the_process_well(domain: int) -> None:
    held = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT}
    )  # a child inherits it, as under `env --block-signal`
    try:
        process = NodeProcess("toy_node", "toy")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    with process:
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(60.0) == 0
        assert "Traceback" not in process.output()
