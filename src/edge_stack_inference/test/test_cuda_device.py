# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The CUDA device: what it says where there is none, what it asks of its packages, and what it does on a GPU."""

from __future__ import annotations

import mmap
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_stack_inference.cuda import CudaUnavailable, Partition, capture_torch, mps, open_device
from edge_stack_inference.cuda.captured import Workspace
from edge_stack_inference.cuda.device import CudaDevice


def gpu_or_reason() -> str:
    """Return why there is no GPU to test on; empty if there is one."""
    try:
        open_device("cuda:0")
    except CudaUnavailable as error:
        return str(error)
    return ""


NO_GPU = gpu_or_reason()
needs_gpu = pytest.mark.skipif(bool(NO_GPU), reason=NO_GPU or "there is a GPU")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("cuda:", "is not one of cpu, cuda, cuda:N"),
        ("cuda:x", "is not one of cpu, cuda, cuda:N"),
        ("gpu:0", "is not one of cpu, cuda, cuda:N"),
        ("cuda:-1", "is not one of cpu, cuda, cuda:N"),
        ("cpu", "cuda:0, cuda:1"),
    ],
)
def test_a_name_that_is_no_device_is_refused(name: str, known: str):
    with pytest.raises(CudaUnavailable, match=known):
        open_device(name)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(CudaUnavailable, match="cuda-core and cuda-bindings are not installed.*--with cuda"):
        open_device("cuda:0")


def install(monkeypatch: pytest.MonkeyPatch, devices: Any) -> None:
    """Put packages in place that find some devices."""
    core: Any = ModuleType("cuda.core")
    core.Device = SimpleNamespace(get_all_devices=devices)
    bindings: Any = ModuleType("cuda.bindings")
    bindings.driver = SimpleNamespace()
    package: Any = ModuleType("cuda")
    package.core, package.bindings = core, bindings
    for name, module in (("cuda", package), ("cuda.core", core), ("cuda.bindings", bindings)):
        monkeypatch.setitem(sys.modules, name, module)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch):
    def no_driver() -> None:
        raise RuntimeError("libcuda.so.1 cannot be found\nand more")

    install(monkeypatch, no_driver)
    with pytest.raises(
        CudaUnavailable, match=r"no NVIDIA GPU with a driver here \(libcuda.so.1 cannot be found\)"
    ):
        open_device("cuda:0")


def test_a_device_that_is_not_there_is_named_with_those_that_are(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, lambda: (object(), object()))
    with pytest.raises(CudaUnavailable, match="cuda:2: no such GPU; there is cuda:0, cuda:1"):
        open_device("cuda:2")


class FakeGpu:
    """Packages that find one GPU of 20 multiprocessors, split by 4, and remember what they are asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        record = self.asked.append

        def options(kind: str) -> Any:
            return lambda **given: (kind, given)

        def sms(count: int) -> Any:
            return SimpleNamespace(sm_count=count, min_partition_size=4, coscheduled_alignment=2, split=split)

        def split(wish: Any) -> Any:
            record(wish)
            return [sms(wish[1]["count"])], sms(20 - wish[1]["count"])

        stream = SimpleNamespace(handle=7, close=lambda: record("stream closed"))
        event = SimpleNamespace(sync=lambda: record("sync"), close=lambda: None)
        green = SimpleNamespace(
            create_stream=lambda wish: record(("green", wish)) or stream, close=lambda: record("green closed")
        )
        device = SimpleNamespace(
            name="GPU",
            properties=SimpleNamespace(multiprocessor_count=20),
            resources=SimpleNamespace(sm=sms(20)),
            set_current=lambda: record("current"),
            create_stream=lambda options: record(options) or stream,
            create_event=lambda options: record(options) or event,
            create_context=lambda wish: record(wish) or green,
        )

        class Device:
            get_all_devices = staticmethod(lambda: (device,))

            def __new__(cls, index: int) -> Any:
                return device

        self.core = SimpleNamespace(
            Device=Device,
            **{f"{kind}Options": options(kind) for kind in ("Stream", "Event", "SMResource", "Context")},
        )
        ok, bad = SimpleNamespace(name="ok"), SimpleNamespace(name="CUDA_ERROR_OUT_OF_MEMORY")
        self.driver = SimpleNamespace(
            CUctx_flags=SimpleNamespace(CU_CTX_SCHED_BLOCKING_SYNC=4),
            CUresult=SimpleNamespace(CUDA_SUCCESS=ok),
            cuDevicePrimaryCtxSetFlags=lambda index, flags: record(("flags", index, flags)),
            cuCtxGetStreamPriorityRange=lambda: (ok, 0, -5),
            cuMemAlloc=lambda size: (ok, 4096) if size < 1000 else (bad, 0),
            cuMemHostRegister=lambda address, size, flags: record(("lock", address, size)) or (ok,),
            cuMemHostUnregister=lambda address: record(("unlock", address)) or (ok,),
            cuMemcpyHtoDAsync=lambda *what: record(("in", *what)) or (ok,),
            cuMemcpyDtoHAsync=lambda *what: record(("out", *what)) or (ok,),
        )

    def open(self, partition: Partition | None = None) -> CudaDevice:
        return CudaDevice(self.core, self.driver, 0, partition)


def test_the_context_is_told_to_sleep_before_it_is_made():
    gpu = FakeGpu()
    gpu.open()
    assert gpu.asked[:2] == [("flags", 0, 4), "current"]


@pytest.mark.parametrize(("priority", "number"), [("high", -5), ("low", 0)])
def test_streams_are_made_with_an_end_of_the_range_that_the_device_has(priority: Any, number: int):
    gpu = FakeGpu()
    stream = gpu.open().stream(priority)
    assert gpu.asked[-1] == ("Stream", {"nonblocking": True, "priority": number})
    assert (stream.handle, stream.priority) == (7, number)


def test_events_block():
    gpu = FakeGpu()
    event = gpu.open().event()
    assert gpu.asked[-1] == ("Event", {"blocking_sync": True})
    event.wait()
    assert gpu.asked[-1] == "sync"


def test_copies_name_target_source_size_and_stream():
    gpu = FakeGpu()
    device = gpu.open()
    stream, array = device.stream("low"), device.pin((2, 3), np.float32)
    stream.copy_in(4096, array)
    stream.copy_out(array, 4096)
    assert gpu.asked[-2:] == [("in", 4096, array.ctypes.data, 24, 7), ("out", array.ctypes.data, 4096, 24, 7)]


def test_pinned_arrays_have_pages_of_their_own_and_stay_valid():
    gpu = FakeGpu()
    device = gpu.open()
    first, second = device.pin((3,), np.float32), device.pin((3,), np.float32)
    for array in (first, second):
        assert ("lock", array.ctypes.data, mmap.PAGESIZE) in gpu.asked
        assert array.ctypes.data % mmap.PAGESIZE == 0
    device.unpin(first)
    assert gpu.asked[-1] == ("unlock", first.ctypes.data)
    first[:] = 1.0


def test_a_driver_error_is_named():
    with pytest.raises(RuntimeError, match="cuda:0: CUDA driver: CUDA_ERROR_OUT_OF_MEMORY"):
        FakeGpu().open().allocate(1000)


@pytest.mark.parametrize(
    ("wanted", "critical", "rest"), [(0, 8, 12), (4, 4, 16), (7, 4, 16), (1, 4, 16), (16, 16, 4)]
)
def test_a_partition_is_rounded_to_what_the_gpu_splits(wanted: int, critical: int, rest: int):
    for role, count in (("critical", critical), ("background", rest)):
        gpu = FakeGpu()
        device = gpu.open(Partition(role, wanted))
        assert device.sm_count == count
        device.stream("high")
        assert gpu.asked[-1] == ("green", ("Stream", {"nonblocking": True, "priority": -5}))
        device.close()
        assert gpu.asked[-1] == "green closed"


def test_a_partition_that_leaves_nothing_is_refused():
    with pytest.raises(CudaUnavailable, match="20 SMs, split by 4: 20 cannot be set apart"):
        FakeGpu().open(Partition("critical", 20))


def test_the_packages_have_every_name_that_the_device_uses():
    core = pytest.importorskip("cuda.core", reason="cuda-core is not installed: ./edge setup --with cuda")
    from cuda.bindings import driver

    assert core.StreamOptions(nonblocking=True, priority=-1).priority == -1
    assert core.EventOptions(blocking_sync=True).blocking_sync
    assert core.SMResourceOptions(count=8).count == 8
    assert core.ContextOptions(resources=[]).resources == []
    for name in ("get_all_devices", "set_current", "create_stream", "create_event", "create_context"):
        assert callable(getattr(core.Device, name))
    for owner, names in (
        (core.Device, ("properties", "resources", "name")),
        (core.SMResource, ("split", "sm_count", "min_partition_size", "coscheduled_alignment")),
        (core.Context, ("create_stream", "close")),
        (core.Stream, ("handle", "record", "close")),
        (core.Event, ("sync", "close")),
        (core.DeviceResources, ("sm",)),
        (driver, ("cuDevicePrimaryCtxSetFlags", "cuCtxGetStreamPriorityRange", "cuMemAlloc", "cuMemFree")),
        (driver, ("cuMemHostRegister", "cuMemHostUnregister", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync")),
        (driver.CUctx_flags, ("CU_CTX_SCHED_BLOCKING_SYNC",)),
        (driver.CUresult, ("CUDA_SUCCESS",)),
    ):
        for name in names:
            assert hasattr(owner, name), name


def test_mps_is_told_apart(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert not mps.running()
    (tmp_path / "control").touch()
    assert mps.running()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "nvidia-cuda-mps-control is not installed" in mps.missing()


def test_a_private_daemon_is_ended_with_its_block(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "nvidia-cuda-mps-control"
    program.write_text(
        '#!/bin/sh\nread word < /dev/stdin\necho "$@$word" >> "$CUDA_MPS_PIPE_DIRECTORY/control"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert mps.missing() == ""
    with mps.private_daemon(tmp_path) as variables:
        control = tmp_path / "pipes" / "control"
        assert control.read_text() == "-d\n"
        assert variables["CUDA_MPS_PIPE_DIRECTORY"] == str(tmp_path / "pipes")
    assert control.read_text() == "-d\nquit\n"


def test_a_daemon_that_does_not_start_says_why(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "nvidia-cuda-mps-control"
    program.write_text("#!/bin/sh\necho 'no permission' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(RuntimeError, match="no permission"), mps.private_daemon(tmp_path):
        pass


# On a GPU.


@needs_gpu
def test_streams_have_the_two_ends_of_the_priority_range():
    device = open_device("cuda:0")
    high, low = device.stream("high"), device.stream("low")
    assert high.priority < low.priority
    high.close()
    low.close()


@needs_gpu
def test_what_is_copied_in_comes_out_behind_the_event():
    device = open_device("cuda:0")
    with Workspace(device, "low") as work:
        shape, dtype = (1000, 1000), np.dtype(np.float32)
        address = work.memory(shape, dtype)
        source, target = work.port("a", address, shape, dtype), work.port("b", address, shape, dtype)
        source.array[:] = np.random.default_rng(0).random(shape, np.float32)
        event = device.event()
        work.stream.copy_in(address, source.array)
        work.stream.copy_out(target.array, address)
        work.stream.record(event)
        event.wait()
        np.testing.assert_array_equal(target.array, source.array)
        event.close()


@needs_gpu
def test_two_partitions_share_the_multiprocessors():
    try:
        critical, rest = (open_device("cuda:0", Partition(role)) for role in ("critical", "background"))
    except CudaUnavailable as error:
        pytest.skip(str(error))
    assert critical.sm_count + rest.sm_count <= open_device("cuda:0").sm_count
    for device in (critical, rest):
        device.stream("high").close()
        device.close()


@needs_gpu
@pytest.mark.parametrize("slices", [0, 3])
def test_onnx_on_the_gpu_gives_what_the_processor_gives(tmp_path: Any, slices: int):
    pytest.importorskip("onnx")
    from test_splitting_models import write_model

    from edge_stack_inference.cuda import open_onnx
    from edge_stack_inference.splitting.build import open_session

    path = write_model(tmp_path / "net.onnx")
    try:
        inference = open_onnx(path, open_device("cuda:0"), "high", slices=slices)
    except CudaUnavailable as error:
        pytest.skip(str(error))
    assert inference.note == ""
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    wanted = open_session(path, 1).run(None, {"image": image})
    for _ in range(3):
        for found, one in zip(inference.run({"image": image}), wanted, strict=True):
            np.testing.assert_allclose(found, one, rtol=2e-2, atol=2e-2)  # TF32
    inference.close()


@needs_gpu
def test_torch_stages_give_what_they_give_eagerly():
    torch = pytest.importorskip("torch")
    device = open_device("cuda:0")
    torch.manual_seed(0)
    stages = [torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()).cuda().eval() for _ in range(3)]
    example = np.zeros((4, 64), np.float32)
    try:
        inference = capture_torch(stages, {"x": example}, device, "high")
    except CudaUnavailable as error:
        pytest.skip(str(error))
    assert len(inference) == 3
    for seed in range(3):
        x = np.random.default_rng(seed).random((4, 64), np.float32)
        with torch.inference_mode():
            y = torch.from_numpy(x).cuda()
            for stage in stages:
                y = stage(y)
        np.testing.assert_allclose(inference.run({"x": x})[0], y.cpu().numpy(), rtol=1e-5, atol=1e-6)
    inference.close()
