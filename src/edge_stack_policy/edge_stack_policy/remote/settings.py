# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""How policies reach their servers: settings and addresses. Imports nothing of gRPC, so that everybody may import it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.tls_files import TlsFiles

IMAGE_ENCODINGS = ("jpeg", "png", "raw")


@dataclass(frozen=True)
class RemoteSettings(TlsFiles):
    """
    What every policy on a server is made from, beside its address.

    timeout_s: of one chunk, where the caller sets no time limit. load_timeout_s: of the metadata. server_load_timeout_s:
    until LeRobot's server has loaded the weights. images: how they travel to the stack's own server; png and raw lose
    nothing. jpeg_quality: 1 to 100. policy_type: LeRobot's name of the kind of checkpoint (act, smolvla, ...), for its
    server; empty: read from the checkpoint's config.json. The weights there are PolicySettings.path.
    """

    timeout_s: float = 2.0
    load_timeout_s: float = 10.0
    server_load_timeout_s: float = 120.0
    images: str = "jpeg"
    jpeg_quality: int = 90
    policy_type: str = ""


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    scheme: str
    host: str
    port: int

    @property
    def target(self) -> str:
        """As gRPC wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.target}"


def parse_address(text: str, *schemes: str) -> Address:
    """Read "SCHEME://HOST:PORT" with one of the schemes; ConfigurationError says what would be right."""
    example = " or ".join(f"{scheme}://HOST:PORT" for scheme in schemes)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"address: '{text}': {error}; {example} is right") from error
    extra = parts.path or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in schemes or not host or not port or extra:
        raise ConfigurationError(f"address: '{text}' is not {example}")
    return Address(parts.scheme, host, port)
