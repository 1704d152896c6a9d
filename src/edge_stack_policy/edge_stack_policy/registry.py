# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Finds policies by name: this package's own as well as a stranger's, each by an entry point of the group edge_stack.policies.

Its unit is one policy, made and not loaded. An entry point's object is a callable that takes `PolicySettings` and returns
a `Policy`.
"""

from __future__ import annotations

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.plugins import find_plugins
from edge_stack_policy.base import Policy
from edge_stack_policy.settings import PolicySettings

GROUP = "edge_stack.policies"

# Of modules that a policy imports and that not every robot has: the packages to install.
_PACKAGES = {"grpc": "grpcio and protobuf", "google": "grpcio and protobuf"}


def policy_names() -> tuple[str, ...]:
    """Names of all policies that `make_policy` knows, sorted."""
    return tuple(sorted(find_plugins(GROUP, __name__)))


def make_policy(name: str, settings: PolicySettings) -> Policy:
    """Make the policy of that name, not loaded yet. ConfigurationError names the known ones, or why it cannot be made."""
    known = find_plugins(GROUP, __name__)
    if name not in known:
        raise ConfigurationError(f"policy: '{name}' is not known; known are: {', '.join(sorted(known))}")
    entry = known[name]
    try:
        policy = entry.load()(settings)
    except ConfigurationError:
        raise
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        what = f"needs {_PACKAGES[module]}" if module in _PACKAGES else f"({entry.value}) cannot be made"
        raise ConfigurationError(f"policy {name} {what}: {error}") from error
    except Exception as error:
        raise ConfigurationError(f"policy {name} ({entry.value}) cannot be made: {error}") from error
    if not isinstance(policy, Policy):
        raise ConfigurationError(
            f"policy {name} ({entry.value}) is not a policy: it lacks some of its members"
        )
    return policy
