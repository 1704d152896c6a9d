# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Every command line of the documents names verbs, options, nodes, parameters, fields, files and packages that there are."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter as RosParameter
from rclpy.parameter import get_parameter_value

from edge_stack.shipped import shipped_config
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.parameters import BASE_PARAMETERS, Parameter, fitted
from edge_stack_core.stack_config import load_config

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from edge_tool.programs import PROGRAMS  # noqa: E402

DOCUMENTS = [*(ROOT / "docs").glob("**/*.md"), *(ROOT / "src").glob("*/README.md"), *ROOT.glob("*.md")]
# Benchmarks of an earlier state, and a map of old paths.
DOCUMENTS = sorted(d for d in DOCUMENTS if "laboratory" not in d.parts and d.name != "moved.md")
TOOLS = ("./edge", "ros2", "colcon", "python")
# What `ros2 topic echo` shows of these has texts that may be longer than the 128 characters at which it cuts.
LONG = ("stack_state", "fusion_status", "policy_status", "governor_state", "diagnostics", "node_status")
NODES = {node.name: node for node in load_config(shipped_config()).nodes}


def lines() -> list[Any]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
            for line in block.splitlines():
                line = line.strip().removeprefix("$ ")
                if line.startswith(tuple(f"{tool} " for tool in TOOLS)):
                    found.append(pytest.param(line, id=f"{document.relative_to(ROOT)}: {line[:60]}"))
    return found


@pytest.mark.parametrize("line", lines())
def test_a_command_line_names_what_there_is(line: str) -> None:
    words = shlex.split(line, comments=True)
    for command in " ".join(shlex.quote(word) for word in words).replace("'&&'", "&&").split(" && "):
        check(shlex.split(command))


def check(words: list[str]) -> None:
    tool, *rest = words
    if tool == "./edge":
        check_verb(*rest)
    elif tool == "python" and rest[1].startswith("edge_stack"):
        spec = importlib.util.find_spec(rest[1])
        assert spec is not None and spec.origin is not None, rest[1]
        check_options(rest[2:], Path(spec.origin).parents[1])
    elif tool == "colcon":
        packages = [word for word in rest if word.startswith("edge_stack")]
        assert all((ROOT / "src" / package).is_dir() for package in packages), packages
    elif tool == "ros2":
        {"service": check_call, "topic": check_topic, "param": check_parameter, "lifecycle": check_node}.get(
            rest[0], check_file
        )(rest)


def check_verb(verb: str, *rest: str) -> None:
    if verb not in PROGRAMS:
        source = ROOT / "scripts" / "edge_tool" / "verbs" / f"{verb}.py"
        assert source.is_file(), verb
        if verb != "test":  # whose other options are pytest's
            check_options(rest, source)
        return
    package = ROOT / "src" / PROGRAMS[verb].package
    assert package.is_dir()
    check_options(rest, package)
    for number, word in enumerate(rest):
        if word == "--set":
            check_setting(rest[number + 1])
        if word.startswith("src/"):
            assert (ROOT / word).exists(), word


def check_options(words: tuple[str, ...] | list[str], source: Path) -> None:
    files = source.rglob("*.py") if source.is_dir() else [source]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for word in words:
        option = word.strip("[]").partition("=")[0]
        if option.startswith("--"):
            assert f'"{option}"' in text or option == "--help", option


def check_setting(text: str) -> None:
    where, _, value = text.partition("=")
    name, _, parameter = where.partition(".")
    check_value(name, parameter, value)


def check_call(words: list[str]) -> None:
    _, _, name, kind, values = words
    fill(interface(kind).Request(), yaml.safe_load(values))
    assert name.split("/")[1] in NODES


def interface(kind: str) -> Any:
    package, folder, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.{folder}"), name)


def fill(message: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(message, name, value)  # it asserts the type, and that there is such a field


def check_topic(words: list[str]) -> None:
    verb, rest = words[1], [word for word in words[2:] if word not in ("--once", "-v")]
    documented = (ROOT / "docs" / "ros.md").read_text(encoding="utf-8")
    topic = next(word for word in rest if word.startswith("/")).lstrip("/")
    assert re.search(rf"^\| [^|]*{re.escape(topic.rpartition('/')[2])}\b", documented, flags=re.MULTILINE), (
        topic
    )
    if verb == "pub":
        fill(interface(rest[1])(), yaml.safe_load(rest[2]))
    if verb == "echo" and topic in LONG:
        assert "-f" in rest or "--field" in rest, "it would be cut at 128 characters"
    if "--field" in rest:
        kind = re.search(rf"^\| {topic} \| (\w+)/(\w+)", documented, flags=re.MULTILINE)
        assert kind is not None
        assert hasattr(interface(f"{kind[1]}/msg/{kind[2]}"), rest[rest.index("--field") + 1])


def check_parameter(words: list[str]) -> None:
    check_value(words[2].lstrip("/"), *words[3:5]) if words[1] == "set" else check_node(words)


def check_node(words: list[str]) -> None:
    names = [word.lstrip("/") for word in words if word.startswith("/")]
    assert all(name in NODES for name in names), names


def check_file(words: list[str]) -> None:
    if words[0] == "launch":
        folder = ROOT / "src" / words[1]
        assert (folder / "launch" / words[2]).is_file()


def check_value(name: str, parameter: str, value: str) -> None:
    node = NODES[name]
    if parameter.startswith("rate_hz.") and node.executable == "supervisor":
        assert NODES[parameter.removeprefix("rate_hz.")].rate_hz is not None
        return
    module = importlib.import_module(f"{node.package}.ros.{node.executable}")
    classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, StackNode)]
    known: dict[str, Parameter] = {p.name: p for c in classes for p in (*BASE_PARAMETERS, *c.PARAMETERS)}
    assert parameter in known
    sent = RosParameter.from_parameter_msg(_message(parameter, value)).value
    taken = fitted(sent, known[parameter], known[parameter].default)
    assert known[parameter].wrong_type(list(taken) if isinstance(taken, tuple) else taken) is None
    assert known[parameter].check(taken) is None


def _message(name: str, value: str) -> Any:
    from rcl_interfaces.msg import Parameter as Message

    return Message(name=name, value=get_parameter_value(value))
