# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters as data: every number has a range, and nothing outside it passes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edge_stack_core.ros.parameters import Parameter


@pytest.mark.parametrize("default", [1, 1.0, (1.0, 2.0)])
def test_a_number_without_a_range_cannot_be_declared(default: Any) -> None:
    with pytest.raises(ValueError, match="parameter x: a number needs a minimum and a maximum"):
        Parameter("x", default, "", minimum=0.0)
    with pytest.raises(ValueError, match="parameter x"):
        Parameter("x", (), "", element=float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.1, -0.1, [0.5, math.nan], [0.5, 9.0]])
def test_what_is_outside_the_range_is_refused(value: Any) -> None:
    parameter = Parameter("x", 1.0, "", minimum=0.0, maximum=2.0)
    text = parameter.check(value)
    assert text is not None
    assert text.startswith("parameter x: ")
    assert parameter.check([0.0, 2.0]) is None
