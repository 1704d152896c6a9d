# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where a served model is: triton://host:port/model, or triton://host:port/model/version; a policy: triton://host:port.

With TLS it is tritons://. Its unit of work is one address. It looks nothing up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.served_models import SCHEMES, is_served

__all__ = ["SCHEMES", "ModelAddress", "is_served"]

_PATTERN = re.compile(
    r"(?P<scheme>tritons?://)(?P<server>(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5}))"
    r"/(?P<model>[A-Za-z0-9._-]+)(?:/(?P<version>[1-9]\d*))?/?"
)


@dataclass(frozen=True)
class ModelAddress:
    """
    A served model's address.

    server: host:port of its gRPC endpoint. model: its name there. version: empty for the one that the server prefers.
    tls: whether the server is to prove who it is, and the connection to be encrypted.
    """

    server: str
    model: str
    version: str = ""
    tls: bool = False

    @classmethod
    def parse(cls, text: str, default_model: str = "") -> ModelAddress:
        """Read an address. default_model: if it names none. ConfigurationError if it is no address."""
        match = _PATTERN.fullmatch(text.rstrip("/") + (f"/{default_model}" if text.count("/") == 2 else ""))
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ConfigurationError(
                f"{text!r} is no address of a served model; triton://host:port/model or triton://host:port/model/version"
                " is needed, such as triton://192.168.1.10:8001/detect; tritons:// with TLS"
            )
        return cls(match["server"], match["model"], match["version"] or "", match["scheme"] == SCHEMES[True])

    def __str__(self) -> str:
        """Return the address as it is written in robot.yaml."""
        return f"{SCHEMES[self.tls]}{self.server}/{self.model}" + (f"/{self.version}" if self.version else "")
