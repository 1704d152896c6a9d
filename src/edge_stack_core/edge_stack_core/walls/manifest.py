# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads a package.xml as far as the checks of imports need it: dependencies, and what its comments name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from edge_stack_core.walls.imports import is_workspace_package

MESSAGES = "edge_stack_msgs"


@dataclass(frozen=True)
class Manifest:
    """
    A package's dependencies.

    runtime: exec_depend and depend. test: test_depend. comments: they name modules without a rosdep key, packages of the
    workspace that are "optional", and those that are "not imported" but needed, for example started.
    """

    name: str
    runtime: frozenset[str]
    test: frozenset[str]
    comments: tuple[str, ...]

    @property
    def packages(self) -> frozenset[str]:
        """The packages of the workspace that this one may import; their messages are not among them."""
        needed = frozenset(name for name in self.runtime if is_workspace_package(name) and name != MESSAGES)
        return (needed | self._named("optional")) - self._named("not imported")

    @property
    def optional_packages(self) -> frozenset[str]:
        """Those that it uses only where they are there: a comment with the word "optional" names them."""
        return self._named("optional")

    def _named(self, word: str) -> frozenset[str]:
        """Return the packages of the workspace in the comments with a word."""
        said = [comment for comment in self.comments if word in comment.lower()]
        return frozenset(name for comment in said for name in re.findall(r"\bedge_stack\w*", comment))

    def comments_name(self, word: str) -> bool:
        """Return whether a comment names a module or a package."""
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", comment) for comment in self.comments)


def read_manifest(folder: Path) -> Manifest:
    """Read the package.xml of a folder."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(folder / "package.xml", parser).getroot()

    def named(*tags: str) -> frozenset[str]:
        return frozenset((element.text or "").strip() for tag in tags for element in root.findall(tag))

    comments = tuple(str(element.text) for element in root.iter() if callable(element.tag))
    name = (root.findtext("name") or "").strip()
    return Manifest(name, named("exec_depend", "depend"), named("test_depend"), comments)
