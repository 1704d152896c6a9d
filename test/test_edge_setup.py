# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge setup` and `./edge build`: what they do, and what they do not do again. Nothing here installs anything."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from edge_workspace import PYTHON, WHEELS, make_workspace, write

from edge_tool import building, installation, interpreters, system_packages, wheels
from edge_tool.terminal import EdgeError
from edge_tool.underlay import Underlay
from edge_tool.workspace import Workspace


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, list[list[str]]]:
    """A workspace whose pip and venv only note what they are asked for."""
    workspace = make_workspace(tmp_path)
    asked: list[list[str]] = []

    def run_logged(command: list[str], log: Path, **_: Any) -> int:
        asked.append(list(command))
        if command[1:3] == ["-m", "venv"]:
            write(Path(command[3]) / "bin" / "python", "")
        return 0

    python = dataclasses.replace(PYTHON, executable=Path(sys.executable))
    monkeypatch.setattr(installation, "run_logged", run_logged)
    monkeypatch.setattr(installation, "find_underlay", lambda: WHEELS)
    monkeypatch.setattr(interpreters, "choose", lambda *_: python)
    monkeypatch.setattr(system_packages, "missing", lambda *_: [])
    monkeypatch.setattr(wheels, "rewrite_build_machine_paths", lambda _: 0)
    installation.ensure(workspace)
    return workspace, asked


def test_setup_makes_the_environment_and_installs(installed: tuple[Workspace, list[list[str]]]) -> None:
    workspace, asked = installed
    assert [command[1:3] for command in asked] == [["-m", "venv"], ["-m", "pip"]]
    assert str(workspace.requirements / "runtime.txt") in asked[1]
    assert str(workspace.requirements / "ultralytics.txt") not in asked[1]


def test_nothing_is_installed_twice(installed: tuple[Workspace, list[list[str]]]) -> None:
    workspace, asked = installed
    asked.clear()
    installation.ensure(workspace)
    assert asked == []


def test_a_changed_requirement_is_installed_into_the_same_environment(
    installed: tuple[Workspace, list[list[str]]],
) -> None:
    workspace, asked = installed
    asked.clear()
    write(workspace.requirements / "runtime.txt", "another")
    installation.ensure(workspace)
    assert [command[1:3] for command in asked] == [["-m", "pip"]]


def test_another_python_gets_another_environment(
    installed: tuple[Workspace, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, asked = installed
    asked.clear()
    other = dataclasses.replace(PYTHON, executable=Path(sys.executable), version=(3, 13, 0))
    monkeypatch.setattr(interpreters, "choose", lambda *_: other)
    workspace.forget(installation.STAMP)
    installation.ensure(workspace)
    assert [command[1:3] for command in asked] == [["-m", "venv"], ["-m", "pip"]]


def test_an_interrupted_installation_starts_the_environment_afresh(
    installed: tuple[Workspace, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, asked = installed
    write(workspace.requirements / "runtime.txt", "another")

    def interrupted(command: list[str], log: Path, on_line: Any = print, **_: Any) -> int:
        on_line("Installing collected packages: a, b")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(installation, "run_logged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            installation.ensure(workspace)
    asked.clear()
    write(workspace.venv / "half_a_package", "")
    installation.ensure(workspace)
    assert [command[1:3] for command in asked] == [["-m", "venv"], ["-m", "pip"]]
    assert not (workspace.venv / "half_a_package").exists()


def test_a_failed_download_is_tried_again_without_starting_afresh(
    installed: tuple[Workspace, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, asked = installed
    write(workspace.requirements / "runtime.txt", "another")
    with monkeypatch.context() as patched:
        patched.setattr(installation, "run_logged", lambda *_, **__: 1)
        with pytest.raises(EdgeError, match="pip could not install everything"):
            installation.ensure(workspace)
    asked.clear()
    installation.ensure(workspace)
    assert [command[1:3] for command in asked] == [["-m", "pip"]]


def test_an_extra_stays_once_it_was_asked_for(installed: tuple[Workspace, list[list[str]]]) -> None:
    workspace, asked = installed
    installation.ensure(workspace, ["ultralytics"])
    write(workspace.requirements / "runtime.txt", "another")
    asked.clear()
    installation.ensure(workspace)
    assert str(workspace.requirements / "ultralytics.txt") in asked[0]
    assert asked[1][-3:] == ["--no-deps", "-r", str(workspace.requirements / "ultralytics-alone.txt")]


def test_an_extras_pins_replace_those_of_the_same_packages(
    installed: tuple[Workspace, list[list[str]]],
) -> None:
    workspace, asked = installed
    write(
        workspace.requirements / "constraints.txt",
        "# all\nnumpy==2.4.6\nOpencv_Python-headless==5.0\nrich==15\n",
    )
    write(workspace.requirements / "lerobot.txt", "lerobot")
    write(workspace.requirements / "lerobot-constraints.txt", "numpy==2.2.6\nopencv-python-headless==4.13\n")
    built_for = workspace.read_stamp("setup")["toolchain"]
    asked.clear()
    installation.ensure(workspace, ["lerobot"])
    constraints = Path(asked[0][asked[0].index("-c") + 1])
    pins = [line for line in constraints.read_text().splitlines() if "==" in line]
    assert sorted(pins) == ["numpy==2.2.6", "opencv-python-headless==4.13", "rich==15"]
    assert not any(word.endswith("lerobot-constraints.txt") for word in asked[0])
    assert workspace.read_stamp("setup")["toolchain"] != built_for  # another numpy


def test_extras_that_want_another_torch_are_not_mixed(installed: tuple[Workspace, list[list[str]]]) -> None:
    workspace, asked = installed
    installation.ensure(workspace, ["ultralytics"])
    asked.clear()
    with pytest.raises(EdgeError, match="lerobot and ultralytics want different versions of torch"):
        installation.ensure(workspace, ["lerobot"])
    assert asked == []


def test_lerobot_does_not_go_into_a_ros_that_was_built_for_numpy_1(
    installed: tuple[Workspace, list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, _ = installed
    write(workspace.requirements / "lerobot.txt", "lerobot")
    answer = subprocess.CompletedProcess([], 0, stdout="1.26.4\n")
    monkeypatch.setattr(installation.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(installation, "find_underlay", lambda: Underlay("jazzy", tmp_path, (3, 12)))
    with pytest.raises(EdgeError, match=r"needs numpy 2, and ROS 2 Jazzy in .* was built for numpy 1\.26\.4"):
        installation.ensure(workspace, ["lerobot"])


def test_the_wheels_build_machine_is_replaced_by_this_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.python.parent.mkdir(parents=True)
    workspace.python.symlink_to(sys.executable)
    export = workspace.venv / "share" / "a_msgs" / "cmake" / "aExport.cmake"
    write(
        export,
        'INCLUDE "/opt/python/cp312-cp312/include/python3.12;'
        '/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include;${_IMPORT_PREFIX}/include"',
    )
    assert wheels.rewrite_build_machine_paths(workspace) == 1
    folders = export.read_text().split('"')[1].split(";")
    assert (Path(folders[0]) / "Python.h").is_file()
    assert (Path(folders[1]) / "numpy" / "arrayobject.h").is_file()
    assert folders[2] == "${_IMPORT_PREFIX}/include"
    assert wheels.rewrite_build_machine_paths(workspace) == 0


# ---- building ------------------------------------------------------------------------------------


def names(workspace: Workspace, on: Underlay = WHEELS) -> set[str]:
    return {package.name for package in building.find_packages(workspace, on)}


def prints(workspace: Workspace) -> dict[str, str]:
    return {package.name: package.fingerprint for package in building.find_packages(workspace, WHEELS)}


@pytest.mark.parametrize(
    ("path", "needs_a_build"),
    [
        ("logic/logic/__init__.py", set()),
        ("logic/logic/new_module.py", set()),
        ("logic/logic/__pycache__/a.pyc", set()),
        ("logic/test/test_new.py", set()),
        ("logic/config/robot.yaml", set()),
        ("logic/config/new.yaml", {"logic"}),
        ("logic/launch/new.launch.py", {"logic"}),
        ("logic/setup.py", {"logic"}),
        ("logic/package.xml", {"logic"}),
        ("messages/msg/A.msg", {"messages"}),
        ("messages/srv/New.srv", {"messages"}),
        ("messages/CMakeLists.txt", {"messages"}),
    ],
)
def test_only_what_a_build_would_change_asks_for_one(
    tmp_path: Path, path: str, needs_a_build: set[str]
) -> None:
    workspace = make_workspace(tmp_path)
    before = prints(workspace)
    file = workspace.src / path
    write(file, (file.read_text() if file.exists() else "") + "\n# <name>changed</name>")
    after = prints(workspace)
    assert {name for name in before if before[name] != after.get(name)} == needs_a_build


def test_an_ignored_package_is_not_built(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    write(workspace.src / "logic" / "COLCON_IGNORE", "")
    assert names(workspace) == {"messages", "tf2_msgs", "vision_msgs"}


def build_with(monkeypatch: pytest.MonkeyPatch, workspace: Workspace, code: int = 0) -> list[list[str]]:
    """Replace colcon by something that only makes the install folders; return what it was asked for."""
    asked: list[list[str]] = []

    def run_logged(command: list[str], log: Path, on_line: Any = print, **_: Any) -> int:
        asked.append(list(command))
        for name in names(workspace) if code == 0 else ():
            (workspace.install / name).mkdir(parents=True, exist_ok=True)
        if code:
            on_line("Failed   <<< messages [1.2s, exited with code 1]")
        return code

    monkeypatch.setattr(building, "run_logged", run_logged)
    return asked


def test_a_build_is_made_once_and_then_only_of_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path)
    asked = build_with(monkeypatch, workspace)
    building.ensure(workspace, WHEELS)
    assert len(asked) == 1
    building.ensure(workspace, WHEELS)
    assert len(asked) == 1
    write(workspace.src / "messages" / "msg" / "B.msg", "int32 b")
    building.ensure(workspace, WHEELS)
    assert asked[1][-2:] == ["--packages-above", "messages"]


@pytest.mark.parametrize("change", ["removed", "added", "in another folder"])
def test_another_list_of_interfaces_builds_their_package_afresh_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    workspace = make_workspace(tmp_path)
    messages = workspace.src / "messages"
    write(messages / "msg" / "B.msg", "int32 b")
    build_with(monkeypatch, workspace)
    building.ensure(workspace, WHEELS)
    of_messages = [folder / "messages" / "generated.c" for folder in (workspace.build, workspace.install)]
    of_logic = [folder / "logic" / "generated.c" for folder in (workspace.build, workspace.install)]
    for path in of_messages + of_logic:
        write(path, "")
    write(messages / "msg" / "A.msg", "int32 another")  # the same list: built on what is there
    building.ensure(workspace, WHEELS)
    assert all(path.exists() for path in of_messages + of_logic)
    if change == "removed":
        (messages / "msg" / "B.msg").unlink()
    elif change == "added":
        write(messages / "srv" / "C.srv", "---")
    else:
        (messages / "more").mkdir()
        (messages / "msg" / "B.msg").rename(messages / "more" / "B.msg")
    building.ensure(workspace, WHEELS)
    assert not any(path.exists() for path in of_messages)
    assert all(path.exists() for path in of_logic)


def test_of_a_build_whose_interfaces_are_unknown_only_what_is_built_now_is_made_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path)
    build_with(monkeypatch, workspace)

    def built_before(change: str, text: str) -> bool:
        """Build, forget the interfaces, change a file, build again; return whether the old build is still there."""
        building.ensure(workspace, WHEELS)
        stamp = workspace.read_stamp(building.STAMP)
        workspace.write_stamp(building.STAMP, {k: v for k, v in stamp.items() if k != "interfaces"})
        write(workspace.build / "messages" / "generated.c", "")
        write(workspace.src / change, text)
        building.ensure(workspace, WHEELS)
        return (workspace.build / "messages" / "generated.c").exists()

    assert built_before("logic/setup.py", "entry_points = [1]")
    assert not built_before("messages/msg/A.msg", "int32 another")


def test_a_failed_build_names_the_package_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path)
    with monkeypatch.context() as patched:
        build_with(patched, workspace, code=1)
        with pytest.raises(EdgeError, match="messages does not build"):
            building.ensure(workspace, WHEELS)
    asked = build_with(monkeypatch, workspace)
    building.ensure(workspace, WHEELS)
    assert len(asked) == 1


def test_another_toolchain_builds_everything_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path)
    build_with(monkeypatch, workspace)
    building.ensure(workspace, WHEELS)
    write(workspace.build / "cache", "")
    workspace.write_stamp("setup", {"toolchain": "another"})
    building.ensure(workspace, WHEELS)
    assert not (workspace.build / "cache").exists()


def test_new_colcon_builds_know_the_python_and_where_the_packages_are(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    workspace.state.mkdir()
    defaults = json.loads(building.colcon_defaults(workspace, WHEELS).read_text())["build"]
    assert defaults["symlink-install"] is True
    for name in building.LENT:
        assert str(workspace.src / name / name) in defaults["base-paths"]
    assert f"-DPython3_EXECUTABLE={workspace.python}" in defaults["cmake-args"]
