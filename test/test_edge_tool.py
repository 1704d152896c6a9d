# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge`: what it finds, what it says is missing, and what it does not do again. Nothing here installs anything."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from edge_workspace import PYTHON, ROOT, WHEELS, fake_ros, make_workspace, write

from edge_tool import building, environment, interpreters, renamed, system_packages, terminal, underlay
from edge_tool.cli import VERBS
from edge_tool.programs import PROGRAMS
from edge_tool.renamed import renamed_module
from edge_tool.terminal import EdgeError
from edge_tool.underlay import Underlay
from edge_tool.verbs.test import with_packages
from edge_tool.workspace import Workspace


def edge(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "edge"), *arguments],
        capture_output=True,
        text=True,
        timeout=120.0,
        env={**os.environ, **variables},
        check=False,
    )


# ---- the command ---------------------------------------------------------------------------------


def test_help_names_every_verb() -> None:
    answer = edge("--help")
    assert answer.returncode == 0
    for verb in [*VERBS, *PROGRAMS]:
        assert f"\n  {verb} " in answer.stdout
    files = (ROOT / "scripts" / "edge_tool" / "verbs").glob("[!_]*.py")
    assert {file.stem for file in files} == set(VERBS)


@pytest.mark.parametrize("verb", PROGRAMS)
def test_a_program_is_an_installed_executable_of_its_package(verb: str) -> None:
    program, name = PROGRAMS[verb], verb.replace("-", "_")
    scripts = importlib.metadata.entry_points(group="console_scripts", name=name)
    assert f"{program.module}:main" in {script.value for script in scripts}
    assert os.access(ROOT / "install" / program.package / "lib" / program.package / name, os.X_OK)


def test_what_a_robot_needs_is_an_executable() -> None:
    answers = {}
    for package, name in (("edge_stack", "doctor"), ("edge_stack_core", "board")):
        executable = ROOT / "install" / package / "lib" / package / name
        answers[name] = edge("shell", "--", str(executable), "--json")
    assert answers["board"].returncode == 0, answers["board"].stderr
    assert json.loads(answers["board"].stdout)["board_state"]["source"]
    subjects = {finding["subject"] for finding in json.loads(answers["doctor"].stdout)}
    assert {"ROS", "packages", "ONNX Runtime", "real-time", "DDS"} <= subjects


def test_an_unknown_verb_is_refused_with_where_to_look() -> None:
    answer = edge("dmeo")
    assert answer.returncode == 2
    assert "there is no 'dmeo'" in answer.stderr
    assert "./edge demo, or ./edge --help" in answer.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [("gate", "admission"), ("policy_server", "policy-server"), ("segmentation", "split-model")],
)
def test_an_earlier_name_is_answered_with_the_present_one(old: str, new: str) -> None:
    answer = edge(old)
    assert answer.returncode == 2
    assert f"'{old}' is now '{new}'" in answer.stderr


def test_a_module_of_the_time_before_the_packages_is_answered_with_what_it_is_now() -> None:
    answer = edge("shell", "--", "python", "-m", "edge_stack.tools.record_dataset", "--out", "x")
    assert answer.returncode == 2
    assert "is now ./edge record-dataset" in answer.stderr
    assert renamed_module(["python", "-m", "edge_stack.bench.gate"]) == (
        "edge_stack.bench.gate",
        "./edge bench admission",
    )
    assert renamed_module(["python", "-m", "pytest"]) is None
    assert renamed_module(["python", "-m"]) is None


def test_every_earlier_name_leads_to_a_verb_that_there_is() -> None:
    for verb in (*renamed.VERBS.values(), *(m.split()[1] for m in renamed.MODULES.values() if m[0] == ".")):
        assert verb in PROGRAMS
        assert verb not in renamed.VERBS


# ---- tests of some packages ----------------------------------------------------------------------


def test_packages_stand_for_their_tests_and_the_rest_goes_to_pytest() -> None:
    arguments = with_packages(
        Workspace(ROOT), ["-x", "--packages", "edge_stack_core", "edge_stack_sim", "-q"]
    )
    assert arguments == ["-x", "src/edge_stack_core/test", "src/edge_stack_sim/test", "-q"]
    assert with_packages(Workspace(ROOT), ["-k", "fusion"]) == ["-k", "fusion"]


@pytest.mark.parametrize("given", [["edge_stack_cor"], [], ["edge_stack_core", "vision_msgs"]])
def test_a_package_without_tests_is_refused_with_those_that_have_some(given: list[str]) -> None:
    with pytest.raises(EdgeError, match="there are edge_stack, edge_stack_bench") as refused:
        with_packages(Workspace(ROOT), ["--packages", *given])
    assert refused.value.code == 2


def test_the_tool_names_no_package_index() -> None:
    files = [*(ROOT / "requirements").glob("*.txt"), *(ROOT / "scripts").rglob("*.py"), ROOT / "edge"]
    assert [path for path in files if "://" in path.read_text(encoding="utf-8")] == []


def test_a_second_start_takes_less_than_a_second_of_processor_time() -> None:
    edge("shell", "--", "true")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = edge("shell", "--", "true")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_a_command_in_the_shell_sees_ros_the_messages_and_the_transport_profile() -> None:
    code = "import os, rclpy, vision_msgs.msg, edge_stack_msgs.msg; print(os.environ['FASTDDS_DEFAULT_PROFILES_FILE'])"
    answer = edge("shell", "--", "python", "-c", code, ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.strip()).is_file()


def test_a_missing_program_in_the_shell_is_said_and_not_found_is_its_code() -> None:
    answer = edge("shell", "--", "no-such-program")
    assert answer.returncode == 127
    assert "no-such-program" in answer.stderr


def test_doctor_has_a_remedy_for_all_that_is_not_well() -> None:
    answer = edge("doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(answer.stdout)}
    lacking = [f["subject"] for f in findings.values() if f["level"] == "lacks"]
    assert answer.returncode == (1 if lacking else 0)
    expected = "ROS Python compiler rendering weights GPU TensorRT cameras real-time admission DDS"
    assert set(expected.split()) | {"shared memory", "locked memory"} <= set(findings)
    for finding in findings.values():
        assert finding["fact"]
        if finding["level"] != "ok":
            assert finding["remedy"], finding
    assert re.match(r"auto means o(n|ff)\b.* SCHED_FIFO", findings["admission"]["fact"])


# ---- underlay and Python -------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DISTRO", "AMENT_PREFIX_PATH", "EDGE_WORKSPACE", "EDGE_PYTHON"):
        monkeypatch.delenv(name, raising=False)


def test_the_newest_known_ros_is_taken(tmp_path: Path) -> None:
    fake_ros(tmp_path, "humble", "3.10")
    fake_ros(tmp_path, "jazzy")
    found = underlay.find_underlay(tmp_path)
    assert (found.distro, found.prefix, found.python) == ("jazzy", tmp_path / "jazzy", (3, 12))


def test_the_ros_of_the_environment_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ros(tmp_path, "humble", "3.10")
    fake_ros(tmp_path, "jazzy")
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert underlay.find_underlay(tmp_path).distro == "humble"


def test_a_sourced_ros_elsewhere_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = fake_ros(tmp_path, "my_ros")
    monkeypatch.setenv("ROS_DISTRO", "rolling")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))
    found = underlay.find_underlay(tmp_path / "none")
    assert (found.distro, found.prefix) == ("rolling", prefix)


def test_a_ros_without_rclpy_is_no_underlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ros(tmp_path, "jazzy", rclpy=False)
    monkeypatch.setattr(underlay, "machine", lambda: "x86_64")
    assert underlay.find_underlay(tmp_path).prefix is None


def test_without_ros_and_wheels_for_the_machine_the_remedy_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(underlay, "machine", lambda: "aarch64")
    with pytest.raises(EdgeError, match="aarch64") as refused:
        underlay.find_underlay(tmp_path)
    assert refused.value.code == 2
    assert "ros-jazzy-ros-base" in refused.value.remedy


@pytest.mark.parametrize("package", building.LENT)
def test_interfaces_of_others_are_built_only_where_the_underlay_has_none(
    tmp_path: Path, package: str
) -> None:
    workspace = make_workspace(tmp_path / "ws")
    (workspace.src / package / "COLCON_IGNORE").write_text("")
    prefix = fake_ros(tmp_path, "jazzy")
    on = dataclasses.replace(WHEELS, prefix=prefix)

    def names() -> set[str]:
        return {package.name for package in building.find_packages(workspace, on)}

    assert package in names()
    (prefix / "share" / package).mkdir(parents=True)
    assert package not in names()


def test_this_python_is_known_and_other_programs_are_not() -> None:
    found = interpreters.ask(sys.executable)
    assert found is not None
    assert found.version == sys.version_info[:3]
    assert interpreters.ask("/bin/true") is None
    assert interpreters.ask("/no/such/python") is None


def test_a_wanted_python_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_PYTHON", "/bin/true")
    with pytest.raises(EdgeError, match=r"3\.10 to 3\.14"):
        interpreters.choose(WHEELS)


def pythons(monkeypatch: pytest.MonkeyPatch, *minors: int) -> None:
    """Pretend that these Pythons are there, the first of them as python3."""
    names = {f"python3.{minor}": minor for minor in minors} | {"python3": minors[0]}
    monkeypatch.delenv("EDGE_PYTHON", raising=False)
    monkeypatch.setenv("PYENV_ROOT", "/no/such/folder")
    monkeypatch.setattr(interpreters.shutil, "which", lambda name: name if Path(name).name in names else None)

    def ask(path: str) -> interpreters.Interpreter:
        minor = names[Path(path).name]
        return interpreters.Interpreter(Path(f"/usr/bin/python3.{minor}"), (3, minor, 1), True, True)

    monkeypatch.setattr(interpreters, "ask", ask)


@pytest.mark.parametrize(("minors", "chosen"), [((10, 11, 12, 13), 12), ((11, 13), 13), ((10, 11), 11)])
def test_an_extra_gets_a_python_that_it_exists_for(
    monkeypatch: pytest.MonkeyPatch, minors: tuple[int, ...], chosen: int
) -> None:
    pythons(monkeypatch, *minors)
    assert interpreters.choose(WHEELS, ["lerobot"]).version[1] == chosen
    assert interpreters.choose(WHEELS).version[1] == minors[0]


@pytest.mark.parametrize(
    ("kept", "folder"),
    [
        ("pyenv", "pyenv/versions/3.12.1"),
        ("uv", "home/.local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu"),
    ],
)
def test_the_python_that_an_extra_prefers_goes_before_another_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, folder: str
) -> None:
    pythons(monkeypatch, 11, 10)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    theirs = tmp_path / folder / "bin" / "python3.12"
    write(theirs, "")
    ask, which = interpreters.ask, interpreters.shutil.which
    found = interpreters.Interpreter(theirs, (3, 12, 1), headers=True, venv=True)
    monkeypatch.setattr(interpreters, "ask", lambda path: found if path == str(theirs) else ask(path))
    monkeypatch.setattr(
        interpreters.shutil, "which", lambda name: name if name == str(theirs) else which(name)
    )
    assert interpreters.choose(WHEELS, ["lerobot"]).executable == theirs, kept
    assert interpreters.choose(WHEELS).version[1] == 11  # nothing else changes for it
    bare = dataclasses.replace(found, headers=False)
    monkeypatch.setattr(interpreters, "ask", lambda path: bare if path == str(theirs) else ask(path))
    assert interpreters.choose(WHEELS, ["lerobot"]).version[1] == 11  # that one is complete


def test_where_no_python_fits_an_extra_the_remedy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pythons(monkeypatch, 14, 10)
    with pytest.raises(EdgeError, match=r"and lerobot: Python 3\.11 to 3\.13 is needed") as refused:
        interpreters.choose(WHEELS, ["lerobot"])
    assert "python3.12-venv" in refused.value.remedy


def test_a_ros_of_another_python_cannot_have_the_extra(tmp_path: Path) -> None:
    humble = Underlay("humble", fake_ros(tmp_path, "humble", "3.10"), (3, 10))
    with pytest.raises(EdgeError, match=r"lerobot needs Python 3\.11 to 3\.13, ROS 2 Humble .* Python 3\.10"):
        interpreters.choose(humble, ["lerobot"])


def test_a_wanted_python_that_does_not_fit_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pythons(monkeypatch, 10, 12)
    monkeypatch.setenv("EDGE_PYTHON", "python3.10")
    with pytest.raises(
        EdgeError, match=r"EDGE_PYTHON=python3\.10 does not fit .* lerobot: Python 3\.11 to 3\.13"
    ):
        interpreters.choose(WHEELS, ["lerobot"])


# ---- system packages -----------------------------------------------------------------------------


def test_all_that_is_missing_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(system_packages, "loads", lambda library: False)
    bare = dataclasses.replace(PYTHON, headers=False, venv=False)
    lacking = system_packages.missing(bare, WHEELS)
    with pytest.raises(EdgeError) as refused:
        system_packages.ensure(make_workspace(tmp_path), lacking, install=False)
    assert refused.value.code == 2
    assert "\n" not in refused.value.remedy
    for package in ("g++", "python3.12-venv", "libpython3.12-dev", "libegl1", "libgl1-mesa-dri"):
        assert package in refused.value.remedy.split()


def test_a_complete_machine_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_packages, "loads", lambda library: True)
    monkeypatch.setattr(system_packages, "has_egl_driver", lambda: True)
    monkeypatch.setattr(system_packages.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert system_packages.missing(PYTHON, WHEELS) == []


def test_what_a_small_ros_lacks_is_named(tmp_path: Path) -> None:
    prefix = fake_ros(tmp_path, "humble", "3.10")
    (prefix / "share" / "sensor_msgs").mkdir(parents=True)
    packages = system_packages.missing(PYTHON, Underlay("humble", prefix, (3, 10)))[0].packages
    assert "ros-humble-lifecycle-msgs" in packages
    assert "ros-humble-sensor-msgs" not in packages


# ---- environment, terminal, lock -----------------------------------------------------------------


def test_paths_do_not_pile_up_and_the_users_own_stay(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    changes = {"PATH": "/ros/bin", "PYTHONPATH": "/ros/python", "ROS_DISTRO": "jazzy"}
    once = environment._applied({"PATH": "/usr/bin", "PYTHONPATH": "/mine"}, changes, workspace)
    assert once["PYTHONPATH"] == "/ros/python:/mine"
    assert once["PATH"] == f"{workspace.venv}/bin:/ros/bin:/usr/bin"
    assert environment._applied(dict(once), changes, workspace) == once


def test_an_underlay_is_sourced_with_its_setup(tmp_path: Path) -> None:
    prefix = fake_ros(tmp_path, "jazzy")
    (prefix / "setup.bash").write_text(
        f'export ROS_DISTRO=jazzy PATH="{prefix}/bin:$PATH" PYTHONPATH="{prefix}/py"'
    )
    changes = environment._changes(
        Workspace(tmp_path / "ws"), Underlay("jazzy", prefix, (3, 12)), install=False
    )
    assert changes["PATH"] == f"{prefix}/bin"
    assert changes["PYTHONPATH"] == f"{prefix}/py"
    assert changes["ROS_DISTRO"] == "jazzy"


def test_an_interrupted_command_ends_with_all_that_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; echo started; wait"

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        terminal.run_logged(["/bin/sh", "-c", script], tmp_path / "log", on_line=interrupt)
    pid = int(pid_file.read_text())
    end_s = time.monotonic() + 60.0
    while Path(f"/proc/{pid}").exists() and b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().split()[2]:
        assert time.monotonic() < end_s, "the background process lives on"
        time.sleep(0.02)


def test_two_tools_do_not_work_at_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    order: list[str] = []

    def second() -> None:
        with workspace.lock():
            order.append("second")

    with workspace.lock():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(60.0)
    assert order == ["first", "second"]


def test_ctrl_c_while_setting_up_says_how_to_go_on(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]);"
        "from edge_tool import cli, installation\n"
        "def hang(*_, **__): print('hanging', flush=True); time.sleep(60)\n"
        "installation.ensure = hang\n"
        "sys.exit(cli.main(['setup']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT / "scripts")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60.0)
    assert process.returncode == 130
    assert "goes on where this stopped" in said
    assert "Traceback" not in said
