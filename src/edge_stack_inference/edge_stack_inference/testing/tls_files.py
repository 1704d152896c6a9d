# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes certificates for tests, with the openssl program as docs/policies.md has it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl program")
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def authority(folder: Path, name: str) -> Path:
    """Make a certificate authority; returns NAME.pem, its key is beside it."""
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    _openssl("req", "-x509", *_KEY, "-keyout", key, "-out", pem, "-days", "2", "-subj", f"/CN={name}")
    return pem


def certificate(
    folder: Path, name: str, ca: Path, *, host: str = "IP:127.0.0.1", days: int = 2
) -> tuple[str, str]:
    """Make a certificate that `ca` signed; returns the paths of NAME.pem and NAME.key. days: -1 has expired."""
    pem, key, request = folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.csr"
    names = folder / f"{name}.names"
    names.write_text(f"subjectAltName={host}", encoding="utf-8")
    _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    signer: list[str | Path] = ["-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial"]
    _openssl("x509", "-req", "-in", request, *signer, "-out", pem, "-days", str(days), "-extfile", names)
    return str(pem), str(key)


@dataclass(frozen=True)
class TlsWorld:
    """Two authorities; certificate and key of a server and of a client that the first signed, of a stranger of the other."""

    folder: Path
    ca: Path
    other_ca: Path
    server: tuple[str, str]
    client: tuple[str, str]
    stranger: tuple[str, str]


def tls_world(folder: Path) -> TlsWorld:
    """Make all of it in a folder."""
    ca, other = authority(folder, "ca"), authority(folder, "other")
    return TlsWorld(
        folder,
        ca,
        other,
        certificate(folder, "server", ca),
        certificate(folder, "client", ca, host="DNS:robot"),
        certificate(folder, "stranger", other),
    )
