# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Models on a Triton server: the repository that a robot.yaml asks for, the yolo node's engine, the policy, bad servers.

Against a server of our own that speaks Triton's protocol; and against a real Triton where EDGE_STACK_TRITONSERVER names one.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from google.protobuf import text_format
from hostile_servers import silent, tcp_server, trickle

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.stack_config import load_config
from edge_stack_inference.engines import ModelError
from edge_stack_inference.engines.triton import TritonEngine
from edge_stack_inference.testing.model_servers import free_port, kserve, triton
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx
from edge_stack_inference.triton.address import ModelAddress, is_served
from edge_stack_inference.triton.client import BadAnswer, ServedModel, ServerUnavailable
from edge_stack_perception.vision.model import VisionModel
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, STATE, PolicyUnavailable
from edge_stack_policy.contract import ImageFeature, plain_contract
from edge_stack_policy.registry import make_policy
from edge_stack_policy.settings import PolicySettings
from edge_stack_policy.testing.micro_smolvla import FOLDER, IMAGE, TASK, make_case
from edge_stack_policy.triton.repository import main, write_repository

config_pb = pytest.importorskip(
    "tritonclient.grpc", reason="needs tritonclient: ./edge setup --with triton"
).model_config_pb2

NAMES = ("cube", "hand")
ROBOT = load_robot(find_robot("so101_sim"))
IMAGE_SIDES = (64, 96)
STACK = """
robot: so101_sim
nodes:
  detect:
    {{package: edge_stack_perception,
    executable: yolo, class: essential, rate_hz: 5.0, parameters: {{task: detect, model: {folder}/detect.onnx}}}}
  look:
    {{package: edge_stack_perception,
    executable: yolo, class: background, rate_hz: 2.0, parameters: {{task: detect, model: {folder}/free.onnx}}}}
  watch:
    {{package: edge_stack_perception,
    executable: yolo, class: essential, rate_hz: 10.0, parameters: {{task: detect, model: {folder}/free.onnx}}}}
  policy:
    {{package: edge_stack_policy,
    executable: policy, class: critical, parameters: {{policy: triton, policy_path: {policy}}}}}
  spare:
    {{package: edge_stack_perception,
    executable: yolo, class: background, enabled: false, parameters: {{task: detect, model: nowhere.onnx}}}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a robot.yaml and its models: one that always finds one hand, one whose first side is free, a policy."""
    folder = tmp_path_factory.mktemp("stack")
    rows = [end2end_rows([10, 20, 30, 40, 0.9, 1])]
    write_toy_onnx(folder / "detect.onnx", rows, metadata_of("detect", NAMES))
    write_free_batch_onnx(folder / "free.onnx", rows[0])
    (folder / "robot.yaml").write_text(STACK.format(folder=folder, policy=FOLDER))
    return folder / "robot.yaml"


@pytest.fixture(scope="module")
def repository(stack: Path) -> Path:
    """Write the stack's model repository; its models run by Triton's Python backend, which the installable Triton has."""
    out = stack.parent / "repository"
    write_repository(load_config(stack), out, engine="python")
    return out


@pytest.fixture(scope="module", params=["own", "triton"])
def port(request: pytest.FixtureRequest, repository: Path) -> Iterator[int]:
    """Serve the repository: by our server, and by a real Triton."""
    with ExitStack() as stack:
        if request.param == "own":
            yield stack.enter_context(kserve(repository))[1]
        else:
            yield stack.enter_context(triton(repository))[1]


def write_free_batch_onnx(path: Path, rows: np.ndarray) -> None:
    """Write a model that yields the same rows [1, N, 6] for each image of a batch of any size."""
    from onnx import TensorProto, helper, numpy_helper

    count = rows.shape[1]
    nodes = [
        helper.make_node("Shape", ["images"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "rest"], ["shape"], axis=0),
        helper.make_node("Expand", ["rows", "shape"], ["output0"]),
    ]
    values = {"rows": rows, "rest": np.array([count, 6])}
    graph = helper.make_graph(
        nodes,
        "free",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, *IMAGE_SIDES])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", count, 6])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {k: str(v) for k, v in metadata_of("detect", NAMES).items()})
    path.write_bytes(model.SerializeToString())


def config_of(repository: Path, name: str) -> Any:
    return text_format.Parse((repository / name / "config.pbtxt").read_text(), config_pb.ModelConfig())


def image() -> np.ndarray:
    return np.full((128, 192, 3), 90, np.uint8)


# ---- addresses


@hypothesis.settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(["triton://", "tritons://", "box", ":", "8001", "/", "policy", "1", "é", " "]),
        max_size=8,
    ).map("".join)
)
def test_a_text_is_an_address_that_reads_back_as_itself_or_is_refused(text: str) -> None:
    try:
        address = ModelAddress.parse(text)
    except ConfigurationError:
        return
    assert ModelAddress.parse(str(address)) == address
    assert is_served(text)


def test_an_address_has_a_server_a_model_and_perhaps_a_version() -> None:
    assert ModelAddress.parse("triton://box:8001/detect") == ModelAddress("box:8001", "detect")
    assert ModelAddress.parse("triton://[::1]:8001/a.b/12") == ModelAddress("[::1]:8001", "a.b", "12")
    assert ModelAddress.parse("triton://box:8001", "policy") == ModelAddress("box:8001", "policy")
    assert ModelAddress.parse("tritons://box:8001", "policy") == ModelAddress("box:8001", "policy", tls=True)


# ---- the model repository


def test_a_repository_has_a_folder_for_each_model_of_an_enabled_node(repository: Path, stack: Path) -> None:
    names = {"detect", "look", "watch", "policy_vision", "policy_prefix", "policy_denoise"}
    assert {folder.name for folder in repository.iterdir()} == names
    for name in names:
        assert config_of(repository, name).name == name
    model = (repository / "detect" / "1" / "model.onnx").read_bytes()
    assert model == (stack.parent / "detect.onnx").read_bytes()


def test_queues_and_batches_follow_the_class_and_the_rate(repository: Path) -> None:
    essential, background = config_of(repository, "detect"), config_of(repository, "look")
    assert essential.max_batch_size == 0, "its first side is fixed"
    assert list(essential.input[0].dims) == [1, 3, *IMAGE_SIDES]
    assert background.max_batch_size == 8
    assert list(background.input[0].dims) == [3, *IMAGE_SIDES]
    assert background.dynamic_batching.max_queue_delay_microseconds == 20_000
    watch = config_of(repository, "watch")
    assert (watch.max_batch_size, watch.dynamic_batching.max_queue_delay_microseconds) == (4, 2_000)
    for config, level, period_us in ((essential, 2, 200_000), (background, 3, 500_000)):
        queue = config.dynamic_batching
        assert (queue.priority_levels, queue.default_priority_level) == (3, level)
        rules = queue.default_queue_policy
        assert rules.timeout_action == config_pb.ModelQueuePolicy.REJECT
        assert (rules.default_timeout_microseconds, rules.max_queue_size) == (period_us, 2)
        assert config.instance_group[0].rate_limiter.priority == level
    critical = config_of(repository, "policy_denoise")
    assert not critical.HasField("dynamic_batching") and critical.max_batch_size == 0
    assert critical.instance_group[0].rate_limiter.priority == 1


def test_gpus_robots_versions_links_and_the_onnx_runtime_engine_can_be_asked_for(
    stack: Path, tmp_path: Path
) -> None:
    write_repository(load_config(stack), tmp_path, robots=3, gpus=[0, 1], version=2, link=True)
    config = config_of(tmp_path, "detect")
    assert config.backend == "onnxruntime" and config.default_model_filename == "model.onnx"
    assert config.instance_group[0].kind == config_pb.ModelInstanceGroup.KIND_GPU
    assert list(config.instance_group[0].gpus) == [0, 1]
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 6
    assert (tmp_path / "detect" / "2" / "model.onnx").resolve() == stack.parent / "detect.onnx"
    assert not (tmp_path / "detect" / "2" / "model.py").exists()


def test_a_model_that_the_stack_has_on_a_server_needs_its_file_named(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = tmp_path / "robot.yaml"
    old = f"{stack.parent}/detect.onnx"
    served.write_text(stack.read_text().replace(old, "triton://box:8001/finder"))
    command = ["--config", str(served), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "nodes.detect.parameters.model: is triton://box:8001/finder" in capsys.readouterr().err
    assert main([*command, "--file", f"detect={old}"]) == 0
    assert (tmp_path / "out" / "finder" / "config.pbtxt").is_file()
    assert main([*command, "--file", f"detekt={old}", "--file", f"detect={old}"]) == 1
    assert "no enabled yolo or policy node is called detekt" in capsys.readouterr().err


# ---- vision models


@pytest.mark.parametrize("name", ["detect", "look"])
def test_a_served_model_finds_what_the_file_finds(port: int, stack: Path, name: str) -> None:
    served = VisionModel.served(TritonEngine(f"triton://127.0.0.1:{port}/{name}"), "detect")
    local = VisionModel.open(stack.parent / "detect.onnx", "detect")
    assert served.meta == local.meta
    here, _ = local(image())
    there, times = served(image())
    np.testing.assert_array_equal(there.boxes, here.boxes)
    np.testing.assert_array_equal(there.scores, here.scores)
    assert times.inference_ms > 0.0
    served.close()
    local.close()


def test_what_does_not_fit_is_named_at_connect(port: int) -> None:
    server = f"triton://127.0.0.1:{port}"
    cases: dict[str, tuple[str, str]] = {
        f"{server}/nothing": (
            "detect",
            "the server has loaded: detect, look, policy_denoise, policy_prefix, policy_vision, watch",
        ),
        f"{server}/detect": ("segment", "is a model of task detect, not segment"),
        f"{server}/policy_prefix": ("detect", "one float image [1, 3, height, width] is needed"),
        f"triton://127.0.0.1:{free_port()}/detect": ("detect", "no Triton server answers"),
    }
    for address, (task, reason) in cases.items():
        with pytest.raises(ModelError) as caught:
            VisionModel.served(TritonEngine(address), task)
        assert reason in str(caught.value) and address in str(caught.value)


def test_a_request_tells_the_server_its_priority_and_its_limit(repository: Path) -> None:
    with kserve(repository) as (server, port):
        for level, name in enumerate(("critical", "essential", "background"), start=1):
            limits = iter((5.0, 0.25))
            engine = TritonEngine(
                f"triton://127.0.0.1:{port}/detect", name, lambda limits=limits: next(limits)
            )
            engine.connect()
            engine.run(np.zeros((1, 3, *IMAGE_SIDES), np.float32))
            engine.run(np.zeros((1, 3, *IMAGE_SIDES), np.float32))
            parameters = server.requests[-1].parameters
            assert parameters["priority"].uint64_param == level
            assert parameters["timeout"].int64_param == 250_000
            engine.close()


def _resized(answer: Any) -> None:
    del answer.outputs[0].shape[:]
    answer.outputs[0].shape.extend([1, 10, 5])
    answer.raw_output_contents[0] = bytes(200)


def _not_a_number(answer: Any) -> None:
    answer.raw_output_contents[0] = np.full((1, 10, 6), np.nan, np.float32).tobytes()


def _huge(answer: Any) -> None:
    answer.raw_output_contents[0] = bytes(65 * 2**20)


TWISTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "another shape": (_resized, r"answered output0 FP32 \[1, 10, 5\]"),
    "another type": (lambda a: setattr(a.outputs[0], "datatype", "INT32"), "answered output0 INT32"),
    "an unheard-of type": (lambda a: setattr(a.outputs[0], "datatype", "PICKLE"), "answered output0 PICKLE"),
    "another name": (
        lambda a: setattr(a.outputs[0], "name", "else"),
        "lacks output output0; its outputs: else",
    ),
    "no output": (lambda a: a.ClearField("outputs"), "lacks output output0; its outputs: none"),
    "too few bytes": (lambda a: a.raw_output_contents.__setitem__(0, b"12345678"), "cannot be read"),
    "bytes of no number": (lambda a: a.raw_output_contents.__setitem__(0, b"123"), "cannot be read"),
    "no bytes": (lambda a: a.ClearField("raw_output_contents"), "cannot be read"),
    "NaN": (_not_a_number, "not finite"),
    "65 MiB": (_huge, "over 64 MiB is refused"),
}


@pytest.mark.parametrize("twist", TWISTS)
def test_an_answer_of_no_use_is_refused_and_the_next_good_one_is_taken(repository: Path, twist: str) -> None:
    change, reason = TWISTS[twist]
    tensor = np.zeros((1, 3, *IMAGE_SIDES), np.float32)
    with kserve(repository) as (server, port):
        engine = TritonEngine(f"triton://127.0.0.1:{port}/detect", time_limit_s=lambda: 60.0)
        engine.connect()
        server.twist = change
        with pytest.raises(BadAnswer, match=reason):
            engine.run(tensor)
        server.twist = lambda answer: None
        assert engine.run(tensor)[0].shape == (1, 10, 6)
        engine.close()


@pytest.mark.parametrize("serve", [silent, trickle], ids=["silent", "trickling"])
def test_a_server_that_says_nothing_useful_costs_the_time_limit_at_most(serve: Any) -> None:
    with tcp_server(serve) as port:
        model = ServedModel(ModelAddress(f"127.0.0.1:{port}", "detect"), connect_limit_s=0.3)
        with pytest.raises(ServerUnavailable, match="no Triton server answers"):
            model.connect()


def test_a_server_that_goes_away_costs_the_inferences_meanwhile_only(repository: Path) -> None:
    tensor = np.zeros((1, 3, *IMAGE_SIDES), np.float32)
    with kserve(repository) as (_, port):
        engine = TritonEngine(f"triton://127.0.0.1:{port}/detect", time_limit_s=lambda: 5.0)
        engine.connect()
        engine.run(tensor)
    with pytest.raises(ServerUnavailable):
        engine.run(tensor)
    with kserve(repository, port):
        assert eventually(lambda: engine.run(tensor))[0].shape == (1, 10, 6)
    engine.close()


def eventually(attempt: Callable[[], Any]) -> Any:
    """Return what attempt returns once the server is there."""
    end = time.monotonic() + 60.0
    while True:
        try:
            return attempt()
        except (ServerUnavailable, PolicyUnavailable):
            assert time.monotonic() < end, "the connection does not come back"
            time.sleep(0.05)


# ---- the policy


def settings(port: int, path: Path = FOLDER) -> PolicySettings:
    contract = replace(plain_contract(ROBOT), images=(ImageFeature(IMAGE, "image_raw"),))
    return PolicySettings(ROBOT, path=str(path), contract=contract, address=f"triton://127.0.0.1:{port}")


def observation() -> dict[str, Any]:
    case = make_case()
    return {
        IMAGE: case.image,
        STATE: case.state,
        "task": TASK,
        LEFTOVER: case.leftover,
        DELAY_STEPS: case.delay,
    }


def test_a_served_policy_gives_the_chunks_of_the_folder(port: int) -> None:
    local, served = make_policy("smolvla", settings(port)), make_policy("triton", settings(port))
    local.load()
    served.load()
    assert served.guides_chunks and served.action_names == local.action_names
    seen = observation()
    np.testing.assert_allclose(served.predict_action_chunk(seen), local.predict_action_chunk(seen), atol=1e-6)
    assert served.rtt_s > 0.0
    served.close()
    local.close()


def test_a_policy_says_that_its_server_is_away_too_late_or_wrong_and_works_again(repository: Path) -> None:
    with kserve(repository) as (server, port):
        policy = make_policy("triton", settings(port))
        policy.load()
        policy.time_limit_s = 0.0
        with pytest.raises(PolicyUnavailable, match="no time is left"):
            policy.predict_action_chunk(observation())
        policy.time_limit_s = 20.0
        server.twist = lambda answer: answer.ClearField("outputs")
        with pytest.raises(PolicyUnavailable, match="lacks output"):
            policy.predict_action_chunk(observation())
    with pytest.raises(PolicyUnavailable):
        policy.predict_action_chunk(observation())
    with pytest.raises(PolicyUnavailable, match="no Triton server answers"):
        make_policy("triton", settings(port)).load()
    with kserve(repository, port):
        assert eventually(lambda: policy.predict_action_chunk(observation())).shape == (10, 6)
    policy.close()


def test_a_server_with_graphs_of_another_export_is_refused(repository: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(repository, tmp_path / "other"))
    file = other / "policy_prefix" / "config.pbtxt"
    sha256 = config_of(other, "policy_prefix").parameters["sha256"].string_value
    file.write_text(file.read_text().replace(sha256, "0" * 64))
    with (
        kserve(other) as (_, port),
        pytest.raises(ConfigurationError, match=r"policy_prefix: is not the prefix\.onnx of"),
    ):
        make_policy("triton", settings(port)).load()
