# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Words for devices: as torch writes them, one canonical form, and nothing else is taken for one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.device import cuda_index, is_cuda, parse_device
from edge_stack_core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "device"),
    [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1"), ("cuda:12", "cuda:12")],
)
def test_a_device_has_one_canonical_form(text: str, device: str) -> None:
    assert parse_device(text) == device
    assert is_cuda(device) == (device != "cpu")


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "GPU:0", "tensorrt", "CPU", "CPU?", " cpu", "cpu\n", "cpu:0", "cuda:", "cuda:-1", "cuda:01"]
    + ["cuda:0 ", "cuda:٣", "Cuda:0", "cuda:1000", "cuda0", "null", "None", "auto", "cuda:0,cuda:1"],
)
def test_any_other_word_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=re.escape(f"device: {text!r} is not one of cpu, cuda, cuda:N")
    ):
        parse_device(text)


@given(st.integers(0, 999))
def test_the_number_of_a_gpu_is_kept(number: int) -> None:
    device = parse_device(f"cuda:{number}")
    assert (device, cuda_index(device)) == (f"cuda:{number}", number)


@given(st.text() | st.from_regex(r"(cpu|cuda)(:[0-9]*)?", fullmatch=True))
def test_whatever_is_taken_is_canonical_already_or_becomes_so_at_once(text: str) -> None:
    try:
        device = parse_device(text)
    except ConfigurationError:
        return
    assert parse_device(device) == device
    assert device == text or (text, device) == ("cuda", "cuda:0")
