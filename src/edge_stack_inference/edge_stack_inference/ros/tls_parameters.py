# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of TLS, of every node that has a server compute something.

Its unit is one set of files. They count where the server's address says so: grpcs://, tritons://.
"""

from __future__ import annotations

from edge_stack_core.ros.parameters import Parameter, ParameterValues
from edge_stack_inference.tls_files import TlsFiles

TLS_PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "server_ca_file", "", "Certificates (PEM) that a server's is checked against; empty: the system's."
    ),
    Parameter("server_certificate_file", "", "Own certificate (PEM), where a server asks for one."),
    Parameter("server_key_file", "", "Its key (PEM)."),
)


def tls_files(p: ParameterValues) -> TlsFiles:
    """Return what the node's clients show and believe."""
    return TlsFiles(p.server_ca_file, p.server_certificate_file, p.server_key_file)
