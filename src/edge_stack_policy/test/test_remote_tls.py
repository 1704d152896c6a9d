# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The policy server over TLS: whom a client believes, and whom a server serves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.tls import channel_credentials, server_credentials
from edge_stack_inference.tls_files import TlsFiles
from edge_stack_policy.base import PolicyUnavailable
from edge_stack_policy.remote.service import PolicyServer

sys.path.insert(0, str(Path(__file__).parent))
from toy_remote import ToyPolicy, connected, observation, serving

from edge_stack_inference.testing.tls_files import TlsWorld, certificate, needs_openssl, tls_world

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsWorld:
    return tls_world(tmp_path_factory.mktemp("tls"))


def secured(server: PolicyServer) -> str:
    return f"grpcs://127.0.0.1:{server.port}"


def test_a_client_that_knows_the_authority_is_served(files: TlsWorld) -> None:
    with (
        serving(ToyPolicy(), credentials=server_credentials(*files.server)) as server,
        connected(secured(server), ca_file=str(files.ca)) as client,
    ):
        assert client.predict_action_chunk(observation()).shape == (4, 6)


def test_with_tls_it_listens_beyond_loopback(files: TlsWorld) -> None:
    with (
        serving(ToyPolicy(), address="0.0.0.0:0", credentials=server_credentials(*files.server)) as server,
        connected(secured(server), ca_file=str(files.ca)) as client,
    ):
        assert client.predict_action_chunk(observation()).shape == (4, 6)


@pytest.mark.parametrize(
    "what", ["of another authority", "expired", "for another host", "unknown to the system"]
)
def test_a_wrong_certificate_is_not_believed(what: str, files: TlsWorld) -> None:
    pair, ca = files.server, str(files.ca)
    if what == "of another authority":
        ca = str(files.other_ca)
    elif what == "expired":
        pair = certificate(files.folder, "expired", files.ca, days=-1)
    elif what == "for another host":
        pair = certificate(files.folder, "elsewhere", files.ca, host="DNS:elsewhere.example")
    else:
        ca = ""
    toy = ToyPolicy()
    with (
        serving(toy, credentials=server_credentials(*pair)) as server,
        pytest.raises(PolicyUnavailable, match="unavailable"),
        connected(secured(server), ca_file=ca),
    ):
        pass
    assert not toy.seen


def test_a_client_without_tls_gets_nothing_from_a_server_with_it(files: TlsWorld) -> None:
    with (
        serving(ToyPolicy(), credentials=server_credentials(*files.server)) as server,
        pytest.raises(PolicyUnavailable),
        connected(f"grpc://127.0.0.1:{server.port}", load_timeout_s=2.0),
    ):
        pass


def test_a_client_with_tls_does_not_talk_to_a_server_without_it(files: TlsWorld) -> None:
    with (
        serving(ToyPolicy()) as server,
        pytest.raises(PolicyUnavailable),
        connected(secured(server), ca_file=str(files.ca), load_timeout_s=2.0),
    ):
        pass


def test_a_server_that_asks_for_certificates_serves_who_has_one(files: TlsWorld) -> None:
    credentials = server_credentials(*files.server, str(files.ca))
    pem, key = files.client
    with serving(ToyPolicy(), credentials=credentials) as server:
        with connected(secured(server), ca_file=str(files.ca), certificate_file=pem, key_file=key) as client:
            assert client.predict_action_chunk(observation()).shape == (4, 6)
        for own in ({}, {"certificate_file": files.stranger[0], "key_file": files.stranger[1]}):
            with (
                pytest.raises(PolicyUnavailable),
                connected(secured(server), ca_file=str(files.ca), load_timeout_s=2.0, **own),
            ):
                pass


def test_files_that_are_wrong_are_said(files: TlsWorld, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("hello", encoding="utf-8")
    pem, key = files.server
    with pytest.raises(ConfigurationError, match="certificate: there is no file"):
        server_credentials(str(tmp_path / "no.pem"), key)
    with pytest.raises(ConfigurationError, match="no PEM certificate and its key"):
        server_credentials(pem, files.client[1])
    with pytest.raises(ConfigurationError, match="client_ca: .* has no certificates in PEM"):
        server_credentials(pem, key, str(text))
    with pytest.raises(ConfigurationError, match="ca_file: .* has no certificates in PEM"):
        channel_credentials(TlsFiles(str(tmp_path / "no.pem")))
    with pytest.raises(ConfigurationError, match="give both or neither"):
        channel_credentials(TlsFiles(str(files.ca), pem))
