# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot's own, unmodified PolicyServer as the place where a policy is computed. Needs lerobot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.testing import free_port
from edge_stack_policy.base import IMAGES, STATE, TASK, Policy, PolicyUnavailable
from edge_stack_policy.contract import ImageFeature, PolicyContract, load_contract, plain_contract
from edge_stack_policy.registry import make_policy
from edge_stack_policy.remote.settings import RemoteSettings
from edge_stack_policy.settings import PolicySettings

sys.path.insert(0, str(Path(__file__).parent))
from tiny_lerobot import SIDE, needs_lerobot, tiny_checkpoint

pytestmark = needs_lerobot

ROBOT = load_robot(find_robot("so101_sim"))
IMAGE = IMAGES + "table"
CONTRACT = replace(plain_contract(ROBOT), images=(ImageFeature(IMAGE, "image_raw", "table", SIDE, SIDE),))
START_S = 120.0
RAW = RemoteSettings(timeout_s=30.0, images="raw")


class Server:
    """A PolicyServer in its own process, as LeRobot's manual starts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "lerobot.async_inference.policy_server", "--host=127.0.0.1"]
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, f"--port={self.port}", "--fps=24", "--inference_latency=0"],
                cwd=self._folder,
                stdout=output,
                stderr=output,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        end_s = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < end_s, log.read_text()
            time.sleep(0.1)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("act"), "act")


@contextmanager
def client_of(port: int, path: Path, contract: PolicyContract = CONTRACT) -> Iterator[Policy]:
    settings = PolicySettings(
        ROBOT,
        path=str(path),
        contract=contract,
        horizon=12,
        device="cpu",
        address=f"lerobot://127.0.0.1:{port}",
        remote=RemoteSettings(timeout_s=30.0),
    )
    client = make_policy("lerobot_server", settings)
    try:
        client.load()
        yield client
    finally:
        client.close()


def observation(seed: int = 0) -> dict[str, object]:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return {IMAGE: image, STATE: random.uniform(-0.5, 0.5, 6).astype(np.float32), TASK: "wave"}


def local(path: Path, contract: PolicyContract = CONTRACT) -> Policy:
    policy = make_policy("lerobot", PolicySettings(ROBOT, path=str(path), contract=contract, device="cpu"))
    policy.load()
    return policy


def test_its_chunks_are_those_of_the_same_checkpoint_in_this_process(server: Server, act: Path) -> None:
    here = local(act)
    with client_of(server.port, act) as there:
        for seed in range(3):
            np.testing.assert_allclose(
                there.predict_action_chunk(observation(seed)),
                here.predict_action_chunk(observation(seed)),
                atol=1e-5,
            )
        assert there.bytes_received > 12 * 6 * 4
        assert 0.0 < there.rtt_s < 30.0


def test_observations_that_hardly_differ_are_computed_all_the_same(server: Server, act: Path) -> None:
    """The server's filter drops what moved less than 1.0 since the last one."""
    with client_of(server.port, act) as there:
        chunks = [there.predict_action_chunk(observation()) for _ in range(4)]
    assert all(np.array_equal(chunk, chunks[0]) for chunk in chunks)


def test_units_of_the_contract_are_undone(server: Server, act: Path, tmp_path: Path) -> None:
    joints = "[shoulder_pan, shoulder_lift, elbow_flex, wrist_flex, wrist_roll, gripper]"
    file = tmp_path / "degrees.yaml"
    file.write_text(
        f"images: {{{IMAGE}: {{topic: image_raw, camera: table, resize: {{height: {SIDE}, width: {SIDE}}}}}}}\n"
        f"state: {{fields: {joints}, units: deg}}\naction: {{joints: {joints}, units: deg}}\n",
        encoding="utf-8",
    )
    with client_of(server.port, act) as there:
        in_rad = there.predict_action_chunk(observation())
    with client_of(server.port, act, load_contract(file, ROBOT)) as there:
        in_deg = there.predict_action_chunk(observation())
    np.testing.assert_allclose(in_deg, np.radians(in_rad), atol=1e-6)


def test_a_tiny_smolvla_answers(server: Server, tmp_path: Path) -> None:
    from edge_stack_policy.lerobot.smolvla_offline import build_smolvla

    built = build_smolvla(tmp_path, camera_shape=(SIDE, SIDE), image_size=SIDE, chunk_size=12)
    with client_of(server.port, built.folder) as there:
        assert there.predict_action_chunk(observation()).shape == (12, 6)


def test_a_checkpoint_that_the_server_cannot_load_is_said(server: Server, act: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"type": "act"}', encoding="utf-8")
    with (
        pytest.raises(PolicyUnavailable, match="Exception calling application"),
        client_of(server.port, tmp_path),
    ):
        pass


def test_a_server_that_was_started_anew_is_set_up_again_in_the_background(server: Server, act: Path) -> None:
    """The last test here: the server is another one afterwards."""
    with client_of(server.port, act) as there:
        before = there.predict_action_chunk(observation())
        server.stop()
        with pytest.raises(PolicyUnavailable):
            there.predict_action_chunk(observation())
        server.start()
        end_s = time.monotonic() + START_S
        while True:
            try:
                chunk = there.predict_action_chunk(observation())
                break
            except PolicyUnavailable:
                assert time.monotonic() < end_s
                time.sleep(0.1)
    np.testing.assert_allclose(chunk, before, atol=1e-6)


# ---- the stack's own server


def test_our_own_server_serves_the_same_checkpoint(act: Path) -> None:
    from edge_stack_policy.remote.service import PolicyServer

    here = local(act)
    settings = PolicySettings(ROBOT, path=str(act), contract=CONTRACT, device="cpu")
    server = PolicyServer([local(act)], settings)
    there = make_policy("remote", replace(settings, address=f"grpc://127.0.0.1:{server.port}", remote=RAW))
    try:
        there.load()
        assert set(there.input_features) == {IMAGE, STATE}
        np.testing.assert_allclose(
            there.predict_action_chunk(observation(1)), here.predict_action_chunk(observation(1)), atol=1e-6
        )
    finally:
        there.close()
        server.stop()
