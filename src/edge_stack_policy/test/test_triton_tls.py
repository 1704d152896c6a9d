# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A Triton server over TLS: whom the clients believe, and whom the server serves.

Against a server of our own that speaks Triton's protocol; and against a real Triton where EDGE_STACK_TRITONSERVER names one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.stack_config import load_config
from edge_stack_inference.engines import ModelError
from edge_stack_inference.engines.triton import TritonEngine
from edge_stack_inference.testing.model_servers import kserve, triton
from edge_stack_inference.testing.tls_files import TlsWorld, certificate, needs_openssl, tls_world
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx
from edge_stack_inference.tls import server_credentials
from edge_stack_inference.tls_files import TlsFiles
from edge_stack_policy.base import STATE, PolicyUnavailable
from edge_stack_policy.contract import ImageFeature, plain_contract
from edge_stack_policy.registry import make_policy
from edge_stack_policy.remote.settings import RemoteSettings
from edge_stack_policy.settings import PolicySettings
from edge_stack_policy.testing.micro_smolvla import FOLDER, IMAGE, TASK, make_case
from edge_stack_policy.triton.repository import write_repository

pytestmark = needs_openssl

ROBOT = load_robot(find_robot("so101_sim"))
STACK = """
robot: so101_sim
nodes:
  detect:
    {{package: edge_stack_perception,
    executable: yolo, class: essential, rate_hz: 5.0, parameters: {{task: detect, model: {folder}/detect.onnx}}}}
  policy:
    {{package: edge_stack_policy,
    executable: policy, class: critical, parameters: {{policy: triton, policy_path: {policy}}}}}
"""
PATIENCE_S = 60.0

Serve = Callable[..., AbstractContextManager[tuple[Any, int]]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TlsWorld:
    return tls_world(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the model repository of a detector that always finds one thing, and of a policy."""
    folder = tmp_path_factory.mktemp("stack")
    write_toy_onnx(
        folder / "detect.onnx",
        [end2end_rows([10, 20, 30, 40, 0.9, 1])],
        metadata_of("detect", ("cube", "hand")),
    )
    (folder / "robot.yaml").write_text(STACK.format(folder=folder, policy=FOLDER))
    write_repository(load_config(folder / "robot.yaml"), folder / "repository", engine="python")
    return folder / "repository"


def serve(
    kind: str, repository: Path, pair: tuple[str, str], client_ca: str = ""
) -> AbstractContextManager[Any]:
    """Serve over TLS, by our server or by a real Triton; client_ca: clients are asked for certificates, too."""
    if kind == "own":
        return kserve(repository, credentials=server_credentials(*pair, client_ca))
    options = ["--grpc-use-ssl", "1", "--grpc-server-cert", pair[0], "--grpc-server-key", pair[1]]
    if client_ca:
        options += ["--grpc-use-ssl-mutual", "1", "--grpc-root-cert", client_ca]
    return triton(repository, options=options)


@pytest.fixture(scope="module", params=["own", "triton"])
def port(request: pytest.FixtureRequest, repository: Path, world: TlsWorld) -> Iterator[int]:
    """Serve whoever knows the authority."""
    with serve(request.param, repository, world.server) as (_, port):
        yield port


@pytest.fixture(scope="module", params=["own", "triton"])
def choosy_port(request: pytest.FixtureRequest, repository: Path, world: TlsWorld) -> Iterator[int]:
    """Serve only whoever has a certificate of the authority."""
    with serve(request.param, repository, world.server, str(world.ca)) as (_, port):
        yield port


def detect(port: int, tls: TlsFiles, scheme: str = "tritons") -> list[np.ndarray]:
    """Run the detector once."""
    engine = TritonEngine(f"{scheme}://127.0.0.1:{port}/detect", time_limit_s=lambda: PATIENCE_S, tls=tls)
    try:
        engine.connect()
        return list(engine.run(np.zeros((1, 3, 64, 96), np.float32)))
    finally:
        engine.close()


def chunk(port: int, tls: TlsFiles, scheme: str = "tritons") -> np.ndarray:
    """Load the policy and ask for one chunk."""
    contract = replace(plain_contract(ROBOT), images=(ImageFeature(IMAGE, "image_raw"),))
    remote = RemoteSettings(
        tls.ca_file, tls.certificate_file, tls.key_file, timeout_s=PATIENCE_S, load_timeout_s=PATIENCE_S
    )
    settings = PolicySettings(
        ROBOT,
        path=str(FOLDER),
        contract=contract,
        address=f"{scheme}://127.0.0.1:{port}",
        remote=remote,
    )
    policy = make_policy("triton", settings)
    try:
        policy.load()
        case = make_case()
        return policy.predict_action_chunk({IMAGE: case.image, STATE: case.state, "task": TASK})
    finally:
        policy.close()


def refused(
    port: int, tls: TlsFiles, scheme: str = "tritons", said: str = "no Triton server answers"
) -> None:
    """Check that neither client takes the server, says why, and does not wait for its limit."""
    began_s = time.monotonic()
    with pytest.raises(ModelError, match=said):
        detect(port, tls, scheme)
    with pytest.raises(PolicyUnavailable, match=said):
        chunk(port, tls, scheme)
    assert time.monotonic() - began_s < 0.5 * PATIENCE_S


def test_clients_that_know_the_authority_are_served(port: int, world: TlsWorld) -> None:
    tls = TlsFiles(str(world.ca))
    assert detect(port, tls)[0].shape == (1, 10, 6)
    assert chunk(port, tls).shape == (10, 6)


def test_clients_of_another_authority_and_without_tls_get_nothing(port: int, world: TlsWorld) -> None:
    refused(port, TlsFiles(str(world.other_ca)), said="no Triton server answers .* whose certificate")
    refused(port, TlsFiles(), said="no Triton server answers .* whose certificate")
    refused(port, TlsFiles(), scheme="triton", said="no Triton server answers .* tritons:// if it has TLS")


def test_a_server_that_asks_for_certificates_serves_who_has_one(choosy_port: int, world: TlsWorld) -> None:
    ca = str(world.ca)
    assert detect(choosy_port, TlsFiles(ca, *world.client))[0].shape == (1, 10, 6)
    assert chunk(choosy_port, TlsFiles(ca, *world.client)).shape == (10, 6)
    for tls in (TlsFiles(ca), TlsFiles(ca, *world.stranger)):
        refused(choosy_port, tls)


@pytest.mark.parametrize("what", ["expired", "for another host"])
def test_a_wrong_certificate_is_not_believed(what: str, repository: Path, world: TlsWorld) -> None:
    if what == "expired":
        pair = certificate(world.folder, "expired", world.ca, days=-1)
    else:
        pair = certificate(world.folder, "elsewhere", world.ca, host="DNS:elsewhere.example")
    with serve("own", repository, pair) as (server, port):
        refused(port, TlsFiles(str(world.ca)), said="no Triton server answers .* whose certificate")
        assert not server.requests


def test_a_client_with_tls_does_not_talk_to_a_server_without_it(repository: Path, world: TlsWorld) -> None:
    with kserve(repository) as (server, port):
        refused(port, TlsFiles(str(world.ca)))
        assert not server.requests


def test_files_that_are_wrong_are_said(world: TlsWorld, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ca_file: .* has no certificates in PEM"):
        detect(1, TlsFiles(str(tmp_path / "no.pem")))
    with pytest.raises(ConfigurationError, match="give both or neither"):
        chunk(1, TlsFiles(str(world.ca), world.client[0]))
