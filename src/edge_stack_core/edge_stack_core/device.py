# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The words for what a model runs on, as torch writes them: cpu, cuda, cuda:N.

Its unit is one word, from a parameter, a file or a command line. Every place that takes one reads it here, so that all of
them know the same words and a mistyped one never falls back to the CPU in silence. Nothing here looks for the device.
"""

from __future__ import annotations

import re

from edge_stack_core.errors import ConfigurationError

CPU = "cpu"
KNOWN_DEVICES = "cpu, cuda, cuda:N"
# As torch: no sign, no leading zero. A number of more digits is no GPU's.
_CUDA = re.compile(r"cuda(?::(0|[1-9][0-9]{0,2}))?")


def parse_device(text: str) -> str:
    """
    Return the canonical form of a device: cpu or cuda:N; cuda is cuda:0.

    Raises:
        ConfigurationError: it is none; the text names the known ones.
    """
    if text == CPU:
        return text
    found = _CUDA.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"device: {text!r} is not one of {KNOWN_DEVICES}")
    return f"cuda:{found[1] or 0}"


def is_cuda(device: str) -> bool:
    """Whether a canonical device is an NVIDIA GPU."""
    return device != CPU


def cuda_index(device: str) -> int:
    """Return the number of a canonical CUDA device."""
    return int(device.removeprefix("cuda:"))
