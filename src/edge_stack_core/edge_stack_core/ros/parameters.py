# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Parameters of a node, declared once as data: name, default, meaning, range, and whether it may change live.

A unit is one Parameter; declare() turns it into a ROS parameter with a descriptor, and check() says in words what is
wrong with a value. Nothing here keeps values: the node does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from edge_stack_core.admission.choice import AUTO, OFF, ON, SETTINGS
from edge_stack_core.stamps import DEFAULT_TOLERANCE_S

_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAYS = {
    bool: ParameterType.PARAMETER_BOOL_ARRAY,
    int: ParameterType.PARAMETER_INTEGER_ARRAY,
    float: ParameterType.PARAMETER_DOUBLE_ARRAY,
    str: ParameterType.PARAMETER_STRING_ARRAY,
}


@dataclass(frozen=True)
class Parameter:
    """
    One parameter of a node.

    default: a bool, int, float, str, or a tuple of one of these; its type is the parameter's. An empty tuple needs
    ``element`` to say which. minimum, maximum: inclusive, for numbers and for each element of an array.
    Every number has both. choices: the allowed values of a string. live: may be set in any state; otherwise only while
    unconfigured. give: what has to be given; without it the node does not configure.
    """

    name: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    element: type | None = None
    give: str = ""

    def __post_init__(self) -> None:
        """Refuse a number without a range."""
        default = self.default
        kind = self.element or (type(default[0]) if isinstance(default, tuple) and default else type(default))
        if kind in (int, float) and (self.minimum is None or self.maximum is None):
            raise ValueError(f"parameter {self.name}: a number needs a minimum and a maximum")

    def descriptor(self) -> ParameterDescriptor:
        """Describe the parameter to ROS, with its range and constraints."""
        kind = self._kind()
        constraints = []
        if self.choices:
            constraints.append("one of: " + ", ".join(self.choices))
        if not self.live:
            constraints.append("takes effect at configure")
        if self.give:
            constraints.append("must be given")
        descriptor = ParameterDescriptor(
            name=self.name,
            type=kind,
            description=self.description,
            additional_constraints="; ".join(constraints),
        )
        if self.minimum is not None or self.maximum is not None:
            if kind == ParameterType.PARAMETER_INTEGER:
                least = -(2**63) if self.minimum is None else int(self.minimum)
                most = 2**63 - 1 if self.maximum is None else int(self.maximum)
                descriptor.integer_range = [IntegerRange(from_value=least, to_value=most)]
            elif kind == ParameterType.PARAMETER_DOUBLE:
                low = -1e308 if self.minimum is None else float(self.minimum)
                high = 1e308 if self.maximum is None else float(self.maximum)
                descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        return descriptor

    def check(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if self.choices and value not in self.choices:
            return f"parameter {self.name}: '{value}' is not one of {', '.join(self.choices)}"
        values = value if isinstance(value, (list, tuple)) or hasattr(value, "typecode") else (value,)
        for one in values:
            if isinstance(one, bool) or not isinstance(one, (int, float)):
                continue
            if one != one:
                return f"parameter {self.name}: NaN is not a value"
            if self.minimum is not None and one < self.minimum:
                return f"parameter {self.name}: {one:g} is below the minimum {self.minimum:g}"
            if self.maximum is not None and one > self.maximum:
                return f"parameter {self.name}: {one:g} is above the maximum {self.maximum:g}"
        return None

    def wrong_type(self, value: Any) -> str | None:
        """Return what is wrong with the type of a value, or None."""
        if isinstance(self.default, tuple):
            element = self.element or type(self.default[0])
            if isinstance(value, list) and all(type(v) is element for v in value):
                return None
            return f"parameter {self.name}: {value!r} is not a list of {element.__name__}"
        if type(value) is type(self.default):
            return None
        return f"parameter {self.name}: {value!r} is not of type {type(self.default).__name__}"

    def missing(self, value: Any) -> str | None:
        """Return what to give where a value that has to be given is empty, or None."""
        return f"{self.name}: is empty; give {self.give}" if self.give and not value else None

    def _kind(self) -> int:
        if isinstance(self.default, (list, tuple)):
            element = self.element or type(self.default[0])
            return int(_ARRAYS[element])
        return int(_TYPES[type(self.default)])


# What every node has.
BASE_PARAMETERS = (
    Parameter(
        "priority_class",
        "background",
        "Priority class of the node's work.",
        choices=("critical", "essential", "background"),
    ),
    Parameter(
        "autostart", False, "Whether the node configures and activates itself, where no supervisor does."
    ),
    Parameter("status_period_s", 0.2, "Period of node_status, s.", minimum=0.05, maximum=10.0),
    Parameter(
        "fault_hang_s",
        0.0,
        "A fault on demand: the next piece of the working thread's work hangs for so long, s.",
        minimum=0.0,
        maximum=3600.0,
        live=True,
    ),
    Parameter("process_title", "", "Title of the process in ps and top; empty: edge_stack/<node name>."),
    Parameter(
        "cpu_affinity",
        (),
        "Cores that the process may run on; empty: all.",
        element=int,
        minimum=0,
        maximum=4095,
    ),
    Parameter("nice", 0, "Nice value of the process; 0: as it was started.", minimum=-20, maximum=19),
    Parameter(
        "scheduling_policy",
        "other",
        "Linux scheduling policy of the process.",
        choices=("other", "batch", "idle", "fifo"),
    ),
    Parameter("scheduling_priority", 10, "Real-time priority, used with fifo.", minimum=1, maximum=99),
)


# Of nodes that judge the age of what they hear.
STAMP_TOLERANCE = Parameter(
    "stamp_tolerance_s",
    DEFAULT_TOLERANCE_S,
    "How far ahead of this node's clock a stamp may be, s; what is further ahead is refused.",
    minimum=0.0,
    maximum=10.0,
    live=True,
)


# Of nodes that run a model.
ADMISSION = Parameter(
    "admission",
    AUTO,
    "Whether background inferences keep clear of critical ones on the device; auto: on a GPU, and on a CPU where the"
    " critical job may not have SCHED_FIFO.",
    choices=SETTINGS,
)


class ParameterValues(Mapping[str, Any]):
    """Current values by attribute (values.rate_hz) or key (values["rate_hz"]); arrays are tuples."""

    def __init__(self) -> None:
        """Start empty; the node fills it as it declares."""
        self._values: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Return the value of a declared parameter."""
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"no parameter {name} is declared") from None

    def __getitem__(self, name: str) -> Any:
        """Return the value of a declared parameter."""
        return self._values[name]

    def holds(self, name: str, value: Any) -> bool:
        """Return whether a value is the present one."""
        present = self._values.get(name)
        plain = tuple(value) if isinstance(value, list) or hasattr(value, "typecode") else value
        return type(plain) is type(present) and bool(plain == present)

    def __iter__(self) -> Iterator[str]:
        """Iterate over names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count parameters."""
        return len(self._values)

    def assign(self, name: str, value: Any) -> None:
        """Store a value that was checked."""
        self._values[name] = tuple(value) if isinstance(value, list) or hasattr(value, "typecode") else value


def declare(node: Node, parameters: Iterable[Parameter], values: ParameterValues) -> list[str]:
    """
    Declare parameters on a node and store their start values.

    Returns what is wrong with overrides given at start, in words; the default then stands in until they are mended, so
    that the node lives and can say so.
    """
    problems = []
    for parameter in parameters:
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        override = node._parameter_overrides.get(parameter.name)
        problem = None
        if override is not None:
            value = fitted(override.value, parameter, None)
            problem = parameter.wrong_type(value) or parameter.check(value)
            if problem is None:
                default = value
            else:
                problems.append(problem)
        if isinstance(default, list) and not default:
            _declare_empty(node, parameter)
        else:
            node.declare_parameter(
                parameter.name, default, parameter.descriptor(), ignore_override=override is not None
            )
        values.assign(parameter.name, default)
    return problems


def _declare_empty(node: Node, parameter: Parameter) -> None:
    """Declare an empty array with its type: from an empty list rclpy infers bytes, and refuses any other value later."""
    kind = RosParameter.Type(parameter.descriptor().type)
    node.declare_parameter(parameter.name, kind, parameter.descriptor(), ignore_override=True)
    node.set_parameters([RosParameter(parameter.name, kind, [])])


def _word_of(value: Any, parameter: Parameter) -> Any:
    """Return on and off as the words they are: YAML reads them as true and false."""
    if isinstance(value, bool) and {ON, OFF} <= set(parameter.choices):
        return ON if value else OFF
    return value


def sent(
    node: Node, parameters: Iterable[RosParameter], specs: Mapping[str, Parameter], values: ParameterValues
) -> list[RosParameter]:
    """
    Return the parameters to set on a node in place of those that a tool sent: each as its own type has it.

    One that the middleware keeps read-only, and that is sent as it is, is left out: `ros2 param dump` writes those, too.
    """
    taken = []
    for parameter in parameters:
        name, spec = parameter.name, specs.get(parameter.name)
        if spec is None:
            fixed = node.has_parameter(name) and node.describe_parameter(name).read_only
            if not fixed or node.get_parameter(name).value != parameter.value:
                taken.append(parameter)
            continue
        value = fitted(parameter.value, spec, values.get(name))
        if value is parameter.value or spec.wrong_type(value):  # what is wrong is refused by the middleware
            taken.append(parameter)
        else:
            taken.append(RosParameter(name, RosParameter.Type(spec.descriptor().type), value))
    return taken


def fitted(value: Any, parameter: Parameter, present: Any) -> Any:
    """
    Return a value that a tool sent as the parameter's type has it; as it came where that is not plain.

    Tools guess the type from text, `ros2 param load` even that of what `ros2 param dump` wrote: 2 for 2.0, 1e-05 as text, []
    as a list of bool, on as true, a text of digits as a number. present: the present value, which is known by its text.
    """
    value = _word_of(value, parameter)
    if isinstance(parameter.default, tuple):
        return _fitted_array(value, parameter)
    if isinstance(parameter.default, float):
        return _fitted_number(value)
    if isinstance(parameter.default, str) and isinstance(present, str) and not isinstance(value, str):
        read = _read(present)
        return present if type(read) is type(value) and read == value else value
    return value


def _fitted_array(value: Any, parameter: Parameter) -> Any:
    element = parameter.element or type(parameter.default[0])
    values = _read(value) if isinstance(value, str) else value  # a list of 1.0 and 1e-05 comes as text
    if value is None:  # an empty list in a file
        return []
    if not isinstance(values, list | tuple) and not hasattr(values, "typecode"):
        return value
    values = [_fitted_number(one) for one in values] if element is float else list(values)
    return values if all(type(one) is element for one in values) else value


def _fitted_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    try:
        return float(value)
    except (ValueError, OverflowError):
        return value


def _read(text: str) -> Any:
    """Return what YAML reads in a text, as tools do; the text where it is none."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
