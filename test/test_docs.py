# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The documents agree with the tree: their links lead somewhere, and what they list is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_stack_bench.faults import KINDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_to_a_file(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_the_table_of_faults_lists_every_kind_as_it_is() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|", text, flags=re.MULTILINE)
    assert rows == [
        (kind.usage.partition("@")[0], kind.says, f"{kind.duration_s:g}" if kind.duration_s else "at once")
        for kind in KINDS.values()
    ]


def test_the_readme_names_every_document() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [
        path.name for path in sorted((ROOT / "docs").glob("*.md")) if f"docs/{path.name}" not in readme
    ] == []
