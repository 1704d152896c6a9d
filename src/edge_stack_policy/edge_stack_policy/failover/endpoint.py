# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
An endpoint where a policy can be computed, and how it is written in the policy node's parameter `endpoints`.

Its unit is one such text. Nothing is loaded or connected here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qsl

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.base import Policy
from edge_stack_policy.registry import make_policy
from edge_stack_policy.remote.settings import RemoteSettings
from edge_stack_policy.settings import PolicySettings

LOCAL = "local"
SCHEMES = {
    "grpc": "remote",
    "grpcs": "remote",
    "lerobot": "lerobot_server",
    "triton": "triton",
    "tritons": "triton",
}
"""Which policy speaks to a server whose address begins with this and "://"."""
# A server that is down is tried again while the robot works: configure need not wait for it any longer.
_LOAD_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Endpoint:
    """Where a policy can be computed. on_board: it takes this computer's processor or device."""

    name: str
    policy: Policy
    on_board: bool = True


def make_endpoint(text: str, policy: str, settings: PolicySettings) -> Endpoint:
    """
    Make the endpoint that a text names.

    "grpc://HOST:PORT" (grpcs with TLS) is the stack's policy server, "lerobot://HOST:PORT" LeRobot's, "triton://HOST:PORT"
    (tritons with TLS) a Triton server; "?images=raw&timeout_s=1.5" behind it sets what OffBoardSettings has, and `path`.
    "local" is the policy named by `policy` and `settings` on this computer, "local:PATH" the same with other weights,
    "NAME:PATH" another.
    ConfigurationError names the text.
    """
    scheme, is_address, rest = text.partition("://")
    try:
        if is_address:
            if scheme not in SCHEMES:
                known = ", ".join(f"{name}://HOST:PORT" for name in SCHEMES)
                raise ConfigurationError(f"is no address of a server; those are {known}")
            server, _, query = rest.partition("?")
            address = f"{scheme}://{server}"
            options = dict(parse_qsl(query, keep_blank_values=True))
            there = replace(settings, address=address, path=options.pop("path", settings.path))
            remote = replace(settings.remote, load_timeout_s=_LOAD_TIMEOUT_S)
            there = replace(there, remote=_with_options(remote, options))
            return Endpoint(address, make_policy(SCHEMES[scheme], there), on_board=False)
        name, _, path = text.partition(":")
        kind = policy if name == LOCAL else name
        default = settings.path if name == LOCAL else ""
        return Endpoint(text, make_policy(kind, replace(settings, path=path or default)))
    except ConfigurationError as error:
        raise ConfigurationError(f"endpoints: '{text}': {error}") from None


def _with_options(remote: RemoteSettings, options: Mapping[str, str]) -> RemoteSettings:
    """Return settings with options put in; each value gets the type of its default."""
    types: dict[str, Any] = {field.name: type(field.default) for field in fields(RemoteSettings)}
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name not in types:
            raise ConfigurationError(f"'{name}' is not known; known are path, {', '.join(types)}")
        try:
            values[name] = types[name](text)
        except ValueError:
            raise ConfigurationError(f"{name}: '{text}' is not a number") from None
    return replace(remote, **values)
