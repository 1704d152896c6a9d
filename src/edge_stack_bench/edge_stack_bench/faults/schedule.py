# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
When which fault begins and ends, as people write it: NAME[:WHAT]@T[:DURATION], alone or as a list in a scenario file.

A unit is one fault. Times are seconds after the first command of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edge_stack_bench.faults.kinds import KINDS, Kind
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.yaml_file import load_yaml

_SCHEMA = Path(__file__).parents[1] / "schema" / "scenario.schema.json"


@dataclass(frozen=True)
class ScheduledFault:
    """
    One fault of a run.

    kind: a name in KINDS. what: the node or figure that the kind asks for, else empty. at_s: when it begins. duration_s:
    how long it lasts; 0 for kinds that happen at once.
    """

    kind: str
    what: str
    at_s: float
    duration_s: float

    @property
    def of(self) -> Kind:
        """The kind."""
        return KINDS[self.kind]

    def __str__(self) -> str:
        """Return it as it is written."""
        what = f":{self.what}" if self.what else ""
        duration = f":{self.duration_s:g}" if self.duration_s else ""
        return f"{self.kind}{what}@{self.at_s:g}{duration}"


def parse_fault(text: str) -> ScheduledFault:
    """Parse NAME[:WHAT]@T[:DURATION]. ConfigurationError says what would be right."""
    named, _, timed = text.partition("@")
    name, _, what = named.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigurationError(f"'{text}': there is no fault '{name}'; there are {', '.join(KINDS)}")
    at_text, _, duration_text = timed.partition(":")
    at_s = _seconds(at_text)
    duration_s = _seconds(duration_text) if duration_text else kind.duration_s
    if at_s is None or duration_s is None or bool(what) != bool(kind.argument):
        raise ConfigurationError(f"'{text}' is not {kind.usage}, for example {kind.example}")
    if duration_text and not kind.duration_s:
        raise ConfigurationError(f"'{text}': {name} happens at once and has no duration; write {kind.usage}")
    problem = kind.check(what)
    if problem:
        raise ConfigurationError(f"'{text}': {problem}")
    return ScheduledFault(name, what, at_s, duration_s)


def load_scenario(path: str | Path) -> tuple[ScheduledFault, ...]:
    """Read a scenario file: a list of faults under `faults`. ConfigurationError names file, line and field."""
    file = load_yaml(path, _SCHEMA)
    faults = []
    for index, text in enumerate(file.data["faults"]):
        try:
            faults.append(parse_fault(text))
        except ConfigurationError as error:
            raise file.error(("faults", index), str(error)) from None
    return tuple(faults)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0.0 else None
