# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of TLS that a client has. Imports nothing of gRPC, so that everybody may import it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TlsFiles:
    """
    What a client of a server with TLS is given, as paths of PEM files.

    ca_file: certificates that the server's is checked against; empty: the system's. certificate_file, key_file: our own,
    where the server asks for one.
    """

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


NO_FILES = TlsFiles()
