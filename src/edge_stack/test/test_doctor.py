# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The doctor of a robot: it runs on a bare Python, and has a remedy for all that is not well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_stack.doctor import software
from edge_stack.doctor.__main__ import main
from edge_stack.doctor.findings import Finding, Level
from edge_stack.doctor.report import report

SOURCES = [str(Path(__file__).resolve().parents[2] / name) for name in ("edge_stack", "edge_stack_core")]


def test_the_standard_library_is_enough() -> None:
    code = (
        f"import sys; sys.path[:0] = {SOURCES}; from edge_stack.doctor.__main__ import main; main(['--json'])"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60.0, check=False
    )
    assert answer.returncode == 0, answer.stderr
    findings = {finding["subject"]: finding for finding in json.loads(answer.stdout)}
    assert findings["ROS"]["level"] == "lacks"
    assert "edge_stack_control" in findings["packages"]["fact"]
    assert "python3-numpy" in findings["libraries"]["fact"]
    for finding in findings.values():
        assert finding["level"] == "ok" or finding["remedy"], finding


def test_a_sound_machine_lacks_no_package(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json"])
    findings = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)}
    for subject in ("ROS", "Python", "packages", "ONNX Runtime"):
        assert findings[subject]["level"] == "ok", findings[subject]
    assert "libraries" not in findings


def test_a_package_that_is_not_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "_is_there", lambda module: module not in ("edge_stack_policy", "cv2"))
    packages, libraries = software.packages()
    assert (packages.level, packages.fact) == (Level.BAD, "missing: edge_stack_policy")
    assert libraries.fact == "missing: python3-opencv"
    assert "rosdep install" in libraries.remedy


@pytest.mark.parametrize(("as_json", "lacking"), [(False, False), (False, True), (True, True)])
def test_the_exit_code_tells_whether_the_stack_can_run(
    as_json: bool, lacking: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [Finding("A", Level.NOTE, "fact", "remedy"), Finding("B", Level.GOOD, "fact")]
    findings += [Finding("C", Level.BAD, "fact", "remedy")] if lacking else []
    code = report(findings, as_json=as_json, what="The stack", command="ros2 launch it")
    shown = capsys.readouterr().out
    assert code == (1 if lacking else 0)
    if as_json:
        levels: list[Any] = [finding["level"] for finding in json.loads(shown)]
        assert levels == ["note", "ok", "lacks"]
    else:
        assert shown.endswith(
            "The stack cannot run: C.\n" if lacking else "The stack can run: ros2 launch it\n"
        )
        assert "-> remedy" in shown
