# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
TLS between the robot and its servers: files in, gRPC credentials out.

Its unit is one set of PEM files. They are tried with Python's own TLS first: gRPC says little about what is wrong with them.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.tls_files import TlsFiles


def server_credentials(certificate: str, key: str, client_ca: str = "") -> grpc.ServerCredentials:
    """Make a server's credentials. client_ca: clients must show a certificate that it signed; empty: none is asked for."""
    _try_pair("certificate", certificate, "key", key)
    authority = _authority("client_ca", client_ca) if client_ca else None
    pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def channel_credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    """Make a client's credentials."""
    certificate, key = files.certificate_file, files.key_file
    if bool(certificate) != bool(key):
        raise ConfigurationError("certificate_file and key_file: give both or neither")
    if certificate:
        _try_pair("certificate_file", certificate, "key_file", key)
    return grpc.ssl_channel_credentials(
        root_certificates=_authority("ca_file", files.ca_file) if files.ca_file else None,
        private_key=Path(key).read_bytes() if key else None,
        certificate_chain=Path(certificate).read_bytes() if certificate else None,
    )


def _try_pair(what: str, certificate: str, what_key: str, key: str) -> None:
    for name, path in ((what, certificate), (what_key, key)):
        if not Path(path).is_file():
            raise ConfigurationError(f"{name}: there is no file '{path}'; give a PEM file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{what}, {what_key}: {certificate} and {key} are no PEM certificate and its key: {error}"
        ) from error


def _authority(what: str, path: str) -> bytes:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return Path(path).read_bytes()
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"{what}: '{path}' has no certificates in PEM: {error}") from error


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a password, readable to its user alone")
