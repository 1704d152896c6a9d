# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The table of walls: package.xml, the contracts in pyproject.toml and the packages themselves keep to it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_stack_core.walls import Manifest, read_manifest
from edge_stack_core.walls.imports import imports_of, is_ros, modules_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
# Which packages a package may import: edge_stack_ stands before each name, "bring_up" is edge_stack itself.
TABLE = {
    "core": "",
    "inference": "core",
    "control": "core",
    "perception": "core inference",
    "policy": "core inference",
    "supervisor": "core",
    "record": "core policy",
    "bring_up": "core inference control perception policy supervisor record",
    "ultralytics": "inference sim",
    "sim": "core inference control perception policy",
    "bench": "core inference control perception policy supervisor record bring_up ultralytics sim",
}
# Never imported, but needed: the demo's weights.
ONLY_INSTALLED = {("edge_stack_sim", "edge_stack_ultralytics")}


def full(name: str) -> str:
    return "edge_stack" if name == "bring_up" else f"edge_stack_{name}"


ALLOWED = {full(name): {full(one) for one in others.split()} for name, others in TABLE.items()}
PACKAGES = sorted(path.parent for path in ROOT.glob("src/*/setup.py"))
MANIFESTS = {folder.name: read_manifest(folder) for folder in PACKAGES}


def contracts() -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert set(settings["root_packages"]) == set(ALLOWED)
    return {contract["id"]: contract for contract in settings["contracts"]}


def test_every_package_is_in_the_table() -> None:
    assert set(MANIFESTS) == set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_package_xml_opens_no_wall(package: str) -> None:
    assert MANIFESTS[package].packages <= ALLOWED[package]


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_needs_only_packages_that_it_may_import(package: str) -> None:
    needed = {name for name in MANIFESTS[package].runtime if name in ALLOWED}
    assert {(package, name) for name in needed - ALLOWED[package]} <= ONLY_INSTALLED


@pytest.mark.parametrize("package", sorted(set(ALLOWED) - {"edge_stack_bench"}))
def test_a_contract_forbids_all_that_the_table_does_not_allow(package: str) -> None:
    contract = contracts()["bring_up" if package == "edge_stack" else package.removeprefix("edge_stack_")]
    assert contract["source_modules"] == [package]
    assert set(contract["forbidden_modules"]) == set(ALLOWED) - ALLOWED[package] - {package}


def test_the_document_shows_the_same_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(edge_stack\w*)\]\([^)]*\) \| [^|]* \| ([^|]*) \|", text, re.MULTILINE)
    shown = {package: {full(name) for name in re.findall(r"\w+", allowed)} for package, allowed in rows}
    for package in set(ALLOWED) - {"edge_stack_bench"}:  # it may import "all of these"
        assert shown[package] - {"edge_stack_msgs"} == ALLOWED[package], package


def test_the_four_parts_of_the_stack_are_apart() -> None:
    four = {full(name) for name in ("control", "perception", "policy", "supervisor")}
    assert set(contracts()["apart"]["modules"]) == four
    assert all(not ALLOWED[one] & four for one in four)


def test_the_contracts_name_every_ros_folder_and_every_part_of_ros_that_is_imported() -> None:
    floors, ros = contracts()["floors"], contracts()["ros"]
    folders = {f"{folder.name}.ros" for folder in PACKAGES if (folder / folder.name / "ros").is_dir()}
    for modules in (floors["protected_modules"], floors["allowed_importers"], ros["allowed_importers"]):
        assert set(modules) == folders
    imported = {
        one.top
        for folder in PACKAGES
        for file in modules_of(folder).values()
        for one in imports_of(file, folder)
        if is_ros(one.top)
    }
    assert set(ros["protected_modules"]) == imported


def test_packages_can_be_built_and_tested_one_after_the_other() -> None:
    """A circle of dependencies, tests included, is refused by colcon and rosdep."""

    def needs(manifest: Manifest) -> set[str]:
        return {name for name in manifest.runtime | manifest.test if name in MANIFESTS}

    left = dict(MANIFESTS)
    while left:
        ready = [name for name, manifest in left.items() if not needs(manifest) & set(left)]
        assert ready, f"these need each other: {sorted(left)}"
        for name in ready:
            del left[name]
