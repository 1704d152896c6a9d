# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Builds a policy and fills it from its checkpoint, all of it or not at all.

LeRobot's pi0, pi0.5 and pi0-FAST print a warning when their file cannot be read or does not fit, and go on with random
weights. On a robot that must be an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError


def load_policy(kind: str, folder: Path, config: Any) -> Any:
    """Return a policy in eval mode. ConfigurationError if weights are missing; other errors as LeRobot raises them."""
    from lerobot.policies.factory import get_policy_class

    class Watched(get_policy_class(kind)):  # type: ignore[misc]
        failure: str = "model.safetensors cannot be read"

        def load_state_dict(self, state_dict: Any, strict: bool = True, **options: Any) -> Any:
            try:
                result = super().load_state_dict(state_dict, strict=False, **options)
            except RuntimeError as error:
                self.failure = f"model.safetensors does not fit: {str(error).splitlines()[-1].strip()}"
                raise
            wrong = [
                *(f"lacks {name}" for name in _without_tied(self, result.missing_keys)),
                *(f"has {name}, which this policy does not" for name in result.unexpected_keys),
            ]
            self.failure = f"model.safetensors {', '.join(wrong[:3])}" if strict and wrong else ""
            if self.failure:
                raise RuntimeError(self.failure)
            return result

    policy = Watched.from_pretrained(folder, config=config, strict=True)
    if policy.failure:
        raise ConfigurationError(policy.failure)
    policy.eval()
    return policy


def _without_tied(policy: Any, names: Iterable[str]) -> list[str]:
    """Return those names whose values are not also another name's: files have tied weights once."""
    missing = set(names)
    state = policy.state_dict()
    filled = {tensor.data_ptr() for name, tensor in state.items() if name not in missing}
    return sorted(name for name in missing if state[name].data_ptr() not in filled)
