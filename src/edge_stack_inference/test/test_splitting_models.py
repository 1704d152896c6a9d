# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Models cut into slices give what the whole model gives, also when admission admits each model_slice."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edge_stack_core.admission import BackgroundJob, CriticalJob, Refused
from edge_stack_core.admission.status import read_status
from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.splitting import SlicedModel, SlicePlan, split_model
from edge_stack_inference.splitting import __main__ as command
from edge_stack_inference.splitting.build import open_session

onnx = pytest.importorskip("onnx")


def write_model(path: Path, layers: int = 8, channels: int = 16) -> Path:
    """Write a network with a skip over all layers, weights in half precision behind casts, and two outputs."""
    helper, kinds = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(1)
    nodes, weights = [], []
    x = "image"
    for layer in range(layers):
        inputs = 3 if layer == 0 else channels
        values = (rng.standard_normal((channels, inputs, 3, 3)) / np.sqrt(9 * inputs)).astype(np.float16)
        weights.append(onnx.numpy_helper.from_array(values, f"half{layer}"))
        nodes.append(helper.make_node("Cast", [f"half{layer}"], [f"weight{layer}"], to=kinds.FLOAT))
        nodes.append(helper.make_node("Conv", [x, f"weight{layer}"], [f"conv{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]))
        x = f"relu{layer}"
    nodes.append(helper.make_node("Add", [x, "relu0"], ["features"]))
    nodes.append(helper.make_node("GlobalMaxPool", ["features"], ["peak"]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", kinds.FLOAT, [1, 3, 64, 64])],
        [
            helper.make_tensor_value_info("peak", kinds.FLOAT, [1, channels, 1, 1]),
            helper.make_tensor_value_info("features", kinds.FLOAT, [1, channels, 64, 64]),
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.helper.set_model_props(model, {"task": "test"})
    onnx.save(model, str(path))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "net.onnx")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(2).random((1, 3, 64, 64), np.float32)


def assert_same(one, other) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_slices_give_exactly_what_the_whole_gives(model: Path, image: np.ndarray, slices: int) -> None:
    sliced = SlicedModel.open(model, slices=slices)
    assert min(slices, 2) <= len(sliced) <= slices
    for _ in range(2):
        assert_same(sliced.run({"image": image}), open_session(model, 1).run(None, {"image": image}))


def test_inputs_outputs_and_metadata_are_those_of_the_whole(model: Path) -> None:
    plan = SlicedModel.open(model, slices=3).plan
    assert plan.inputs == ("image",)
    assert plan.outputs == ("peak", "features")
    assert plan.metadata == {"task": "test"}
    assert plan.difference == 0.0


def test_no_segment_takes_longer_than_asked_for(model: Path) -> None:
    whole = split_model(model, slices=1)[0]
    # The model is small and the figures are measured: far from the limit they must be right.
    plan, _ = split_model(model, max_ms=whole.whole_ms / 3)
    assert len(plan.slices) >= 2
    assert plan.longest_ms < whole.whole_ms


def test_cut_once_a_model_runs_without_the_onnx_package(model: Path) -> None:
    split_model(model, slices=2)
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import numpy as np\n"
        "from edge_stack_inference.splitting import SlicedModel\n"
        f"model = SlicedModel.open({str(model)!r}, slices=2)\n"
        "print(len(model.run({'image': np.zeros((1, 3, 64, 64), np.float32)})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_without_the_onnx_package_a_model_that_is_not_cut_says_what_is_missing(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigurationError, match="pip install onnx"):
        split_model(model, slices=2)
    assert not list(model.parent.glob("*.slices/*"))


def test_another_model_under_the_same_name_is_cut_anew(model: Path) -> None:
    before = split_model(model, slices=2)[1]
    write_model(model, layers=5)
    assert split_model(model, slices=2)[1] != before


def test_a_folder_that_cannot_be_written_is_replaced_by_the_users_cache(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "net.onnx.slices").write_text("a file where the folder should be")
    _, folder = split_model(model, slices=2)
    assert folder.is_relative_to(tmp_path / "cache")


def test_a_damaged_plan_is_named(model: Path) -> None:
    _, folder = split_model(model, slices=2)
    (folder / "plan.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="remove the folder"):
        SlicePlan.read(folder)


def test_a_missing_segment_is_named(model: Path) -> None:
    _, folder = split_model(model, slices=2)
    (folder / "slice_01.onnx").unlink()
    with pytest.raises(ConfigurationError, match="slice_01.onnx"):
        split_model(model, slices=2)


@pytest.mark.parametrize("wish", [{}, {"slices": 2, "max_ms": 3.0}])
def test_exactly_one_wish_is_needed(model: Path, wish: dict) -> None:
    with pytest.raises(ConfigurationError, match="either"):
        split_model(model, **wish)


def test_the_command_says_what_it_made(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(model), "--slices", "2"]) == 0
    assert "2 slices" in capsys.readouterr().out
    assert command.main([str(model.with_name("none.onnx")), "--slices", "2"]) == 1
    assert "none.onnx" in capsys.readouterr().err


def test_each_segment_is_admitted_by_the_admission(
    model: Path, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))
    sliced = SlicedModel.open(model, slices=3)
    job = BackgroundJob("gpu", "net", policy="split")
    sliced.prime(job)
    assert_same(sliced.run({"image": image}, job), open_session(model, 1).run(None, {"image": image}))
    assert read_status("gpu").background[0].admitted == 3


def test_a_refused_segment_ends_the_inference(
    model: Path, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))
    sliced = SlicedModel.open(model, slices=3)
    job, critical = BackgroundJob("gpu", "net"), CriticalJob("gpu", "policy", period_s=30.0, budget_s=10.0)
    critical.begin()
    with pytest.raises(Refused):
        sliced.run({"image": image}, job, wait_s=0.01)
    critical.end()
    critical.withdraw()
    assert len(sliced.run({"image": image}, job)) == 2


def demo_weights() -> list[Path]:
    found = find_spec("edge_stack_ultralytics")
    if found is None or not found.submodule_search_locations:
        return []
    return sorted(Path(found.submodule_search_locations[0], "weights").glob("*.onnx"))


@pytest.mark.parametrize("path", demo_weights(), ids=lambda path: path.stem)
def test_the_demos_models_in_segments_give_what_they_give_whole(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    whole = open_session(copy, 1)
    (value,) = whole.get_inputs()
    dtype = np.float16 if value.type == "tensor(float16)" else np.float32
    feeds = {value.name: np.random.default_rng(3).random(value.shape).astype(dtype)}
    sliced = SlicedModel.open(copy, slices=3)
    assert len(sliced) > 1
    for mine, theirs in zip(sliced.run(feeds), whole.run(None, feeds), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)
