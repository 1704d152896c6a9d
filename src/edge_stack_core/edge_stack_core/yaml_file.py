# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads a YAML file against a JSON schema; every error names file, line and field, and says what would be right.

A unit is one file. Nothing is guessed: unknown fields, doubled keys and wrong types are errors.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from edge_stack_core.errors import ConfigurationError

Field = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """The content of one file, and the line on which each field stands."""

    path: Path
    data: dict[str, Any]
    lines: dict[Field, int]

    def error(self, field: Field, text: str) -> ConfigurationError:
        """Make an error that names file, line and field."""
        shown = ".".join(str(part) for part in field)
        line = next((self.lines[field[:n]] for n in range(len(field), -1, -1) if field[:n] in self.lines), 1)
        return ConfigurationError(f"{self.path}:{line}: {shown + ': ' if shown else ''}{text}")


def load_yaml(path: str | Path, schema: Path) -> YamlFile:
    """
    Load a file and check it against a JSON schema (draft 7), a file of the package that reads it.

    Raises ConfigurationError when the file cannot be read, is no YAML, or does not fit the schema (first error only).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text: {error.reason}") from error
    lines: dict[Field, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            data = None if root is None else _construct(loader, root, (), lines, path)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigurationError(f"{path}:{line}: is not valid YAML: {error.problem}") from error
    file = YamlFile(path, data if isinstance(data, dict) else {}, lines)
    if not isinstance(data, dict):
        raise file.error((), "is empty or not a mapping of fields")
    _refuse_not_finite(file, data, ())
    _validate(file, schema)
    return file


def _construct(
    loader: yaml.SafeLoader, node: yaml.Node, field: Field, lines: dict[Field, int], path: Path
) -> Any:
    lines.setdefault(field, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        loader.flatten_mapping(node)
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ConfigurationError(f"{path}:{line}: the key {key!r} is not text; write it in quotes")
            if key in result:
                raise ConfigurationError(f"{path}:{line}: {key} stands twice")
            lines[field + (key,)] = line
            result[key] = _construct(loader, value_node, (*field, key), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*field, i), lines, path) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _refuse_not_finite(file: YamlFile, value: Any, field: Field) -> None:
    """No number of ours means anything when infinite or NaN, and a schema's ranges let NaN through."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_not_finite(file, item, (*field, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_not_finite(file, item, (*field, index))
    elif isinstance(value, float) and not math.isfinite(value):
        raise file.error(field, f"{value} is not a number that can be used; a finite one is needed")


def _validate(file: YamlFile, schema: Path) -> None:
    document = json.loads(schema.read_text(encoding="utf-8"))
    errors = jsonschema.Draft7Validator(document).iter_errors(file.data)
    first = jsonschema.exceptions.best_match(errors)
    if first is None:
        return
    field: Field = tuple(first.absolute_path)
    text = first.message
    if first.validator == "additionalProperties" and isinstance(first.instance, dict):
        known = sorted(first.schema.get("properties", {}))
        unknown = sorted(set(first.instance) - set(known))
        field = (*field, unknown[0])
        text = f"is not a known field; known are {', '.join(known)}"
    elif first.validator == "pattern" and "description" in first.schema:
        text = f"{first.instance!r} is not {first.schema['description']}"
    raise file.error(field, text)
