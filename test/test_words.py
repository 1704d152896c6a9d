# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""One word a thing: none of the earlier words is among the names that the project defines."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
# Earlier words, and what is said in their place.
EARLIER = {
    "accelerator": "device, admission",
    "accelerators": "devices",
    "backend": "engine",
    "backends": "engines",
    "controlstatus": "FusionStatus",
    "gate": "admission",
    "gates": "admission",
    "longrun": "oversize",
    "neighbours": "InterferenceModel",
    "offboard": "remote",
    "placement": "failover",
    "vla": "policy",
}
# Names of others that have such a word in them.
FOREIGN = re.compile(r"SmolVLA|smolvla|control_status")
PYTHON = sorted(
    path
    for folder in ("src", "scripts", "test")
    for path in (ROOT / folder).rglob("*.py")
    if "_pb2" not in path.name and not {"build", "install"} & set(path.relative_to(ROOT).parts)
)
YAML = sorted((ROOT / "src").glob("*/*/**/*.yaml")) + sorted((ROOT / "src").glob("*/*.yaml"))


def earlier_words(name: str) -> set[str]:
    """Return the earlier words that a name consists of: snake_case, CamelCase, path/of/parts."""
    if re.search(r"control_status|ControlStatus", name):
        return {"controlstatus"}
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", FOREIGN.sub("", name))
    return {part.lower() for part in parts} & set(EARLIER)


def defined(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield what a module defines: functions, classes, arguments, variables, attributes, aliases, parameters of nodes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield 0, node.asname
        elif isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            named = {"Parameter": 0, "Argument": 0, "publisher": 1, "subscription": 1, "add_argument": 0}
            index = named.get(called)
            if index is not None and len(node.args) > index:
                value = node.args[index]
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield node.lineno, value.value


def keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield str(key)
            yield from keys(below)
    elif isinstance(value, list):
        for below in value:
            yield from keys(below)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("PolicyNode", set()),
        ("SmolVLAPolicy", set()),
        ("aggregate", set()),
        ("_join_gate", {"gate"}),
        ("TritonBackend", {"backend"}),
        ("VlaNode", {"vla"}),
        ("ControlStatus", {"controlstatus"}),
        ("EDGE_STACK_GATE_DIR", {"gate"}),
    ],
)
def test_a_name_is_looked_at_part_by_part(name: str, found: set[str]) -> None:
    assert earlier_words(name) == found


def test_no_earlier_word_is_among_the_names_in_python() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in PYTHON
        for line, name in defined(ast.parse(path.read_text(encoding="utf-8")))
        if earlier_words(name) and path != Path(__file__)
    ]
    assert wrong == []


def test_no_earlier_word_is_among_files_and_folders() -> None:
    paths = [
        path.relative_to(ROOT) for folder in ("src", "test", "docs") for path in (ROOT / folder).rglob("*")
    ]
    assert [str(p) for p in paths if "__pycache__" not in p.parts and earlier_words(p.name)] == []


def test_no_earlier_word_is_among_the_keys_of_configuration_and_schemas() -> None:
    wrong = []
    for path in YAML:
        wrong += [
            f"{path.name}: {key}" for key in keys(yaml.safe_load(path.read_text())) if earlier_words(key)
        ]
    for path in sorted((ROOT / "src").glob("*/*/schema/*.json")):
        wrong += [f"{path.name}: {key}" for key in keys(json.loads(path.read_text())) if earlier_words(key)]
    for path in sorted((ROOT / "src" / "edge_stack_msgs").rglob("*.msg")):
        lines = [line.partition("#")[0].split() for line in path.read_text().splitlines()]
        wrong += [f"{path.name}: {line[-1]}" for line in lines if line and earlier_words(line[-1])]
    assert wrong == []


def test_no_earlier_word_is_among_executables_and_entry_points() -> None:
    wrong = []
    for path in sorted((ROOT / "src").glob("*/setup.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " = " in node.value:
                name = node.value.partition(" = ")[0]
                wrong += [f"{path.parent.name}: {name}"] if earlier_words(name) else []
            elif isinstance(node, ast.Constant) and str(node.value).startswith("edge_stack."):
                wrong += [f"{path.parent.name}: {node.value}"] if earlier_words(str(node.value)) else []
    assert wrong == []


def test_no_earlier_word_is_among_the_headings() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    documents += sorted((ROOT / "src").glob("*/README.md"))
    wrong = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in documents
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("#") and earlier_words(line)
    ]
    assert wrong == []
