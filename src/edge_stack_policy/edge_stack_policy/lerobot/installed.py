# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the installed lerobot, and is the one place that knows how its versions differ."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from edge_stack_core.errors import ConfigurationError

OLDEST = (0, 4)
# What a kind of policy, or a use of it, needs beside lerobot itself: packages as they are imported.
NEEDS: dict[str, tuple[str, ...]] = {
    "dataset": ("datasets",),
    "diffusion": ("diffusers",),
    "eo1": ("transformers",),
    "evo1": ("transformers",),
    "export": ("onnxscript",),
    "fastwam": ("transformers", "diffusers"),
    "groot": ("transformers", "diffusers", "tree"),
    "lingbot_va": ("transformers", "diffusers"),
    "molmoact2": ("transformers",),
    "multi_task_dit": ("transformers", "diffusers"),
    "pi0": ("transformers",),
    "pi05": ("transformers",),
    "pi0_fast": ("transformers", "scipy"),
    "smolvla": ("transformers",),
    "vla_jepa": ("transformers", "diffusers"),
    "wall_x": ("transformers", "peft", "torchdiffeq", "qwen_vl_utils"),
    "xvla": ("transformers",),
}
EXTRA = ("datasets", "diffusers", "onnxscript", "transformers")
"""Those of them that ./edge setup --with lerobot installs."""
# Where a package has another name than the module.
PACKAGES = {"qwen_vl_utils": "qwen-vl-utils", "tree": "dm-tree"}


def lerobot_version() -> tuple[int, ...] | None:
    """Return the installed version, or None if there is none. Imports nothing."""
    try:
        return tuple(int(part) for part in version("lerobot").split(".")[:2])
    except PackageNotFoundError:
        return None


def require_lerobot(kind: str = "") -> None:
    """Raise ConfigurationError with the remedy if lerobot, or what one of NEEDS needs beside it, is not installed."""
    have = lerobot_version()
    if have is None:
        raise ConfigurationError("LeRobot is not installed; install it by ./edge setup --with lerobot")
    if have < OLDEST:
        raise ConfigurationError(
            f"LeRobot {version('lerobot')} is too old; {OLDEST[0]}.{OLDEST[1]} or later is needed:"
            " ./edge setup --with lerobot"
        )
    missing = [module for module in NEEDS.get(kind, ()) if find_spec(module) is None]
    if not missing:
        return
    packages = [PACKAGES.get(module, module) for module in missing]
    remedy = "./edge setup --with lerobot"
    if not set(missing) <= set(EXTRA):
        remedy = (
            f"{sys.executable} -m pip install {' '.join(packages)} (no part of ./edge setup --with lerobot)"
        )
    raise ConfigurationError(f"LeRobot's {kind} needs {', '.join(packages)}; install it by {remedy}")


def supports_rtc(policy: Any) -> bool:
    """Return whether a policy takes what is left of the running chunk. 0.4 has no method that says so."""
    if hasattr(policy, "supports_rtc"):
        return bool(policy.supports_rtc()) and hasattr(policy, "init_rtc_processor")
    return hasattr(policy.config, "rtc_config") and hasattr(policy, "init_rtc_processor")


def rtc_config() -> Any:
    """Return LeRobot's defaults of real-time chunking."""
    from lerobot.policies.rtc.configuration_rtc import RTCConfig

    return RTCConfig(enabled=True)


def rtc_prefix(actions: Any, normalizer: Any, relative: Any, device: Any) -> Any:
    """
    Return actions [H, A] in the data's units as the model sees them, [H, A] on its device.

    normalizer, relative: the preprocessor's steps, or None. Policies that were trained on actions relative to the state
    (since 0.6) have the second, and get them relative to the present one.
    """
    from lerobot.processor import TransitionKey
    from lerobot.processor.converters import create_transition

    if relative is not None and relative.enabled:
        from lerobot.policies.rtc.relative import reanchor_relative_rtc_prefix

        return reanchor_relative_rtc_prefix(
            actions, relative.get_cached_state(), relative, normalizer, device
        )
    transition = create_transition(action=actions.to(device))
    if normalizer is not None:
        transition = normalizer(transition)
    return transition[TransitionKey.ACTION].to(device)
