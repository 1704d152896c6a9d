# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Compares a package.xml with what the package and its tests import.

An import has an exec_depend, one of a test may have a test_depend instead. A comment in package.xml names what has no
rosdep key, what is optional, and the dependencies that are needed without an import, such as packages whose nodes are
only started.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge_stack_core.walls.imports import imports_of, is_third_party, modules_of
from edge_stack_core.walls.manifest import Manifest, read_manifest

# rosdep's key of a module. A module without one is named in a comment of package.xml.
ROSDEP_KEYS = {
    "PIL": "python3-pil",
    "OpenGL": "python3-opengl",
    "cv2": "python3-opencv",
    "google": "python3-protobuf",
    "grpc": "python3-grpcio",
    "hypothesis": "python3-hypothesis",
    "jsonschema": "python3-jsonschema",
    "matplotlib": "python3-matplotlib",
    "mujoco": "python3-mujoco-pip",
    "numpy": "python3-numpy",
    "onnxruntime": "python3-onnxruntime-pip",
    "psutil": "python3-psutil",
    "pytest": "python3-pytest",
    "rich": "python3-rich",
    "setproctitle": "python3-setproctitle",
    "yaml": "python3-yaml",
}


def manifest_problems(folder: Path) -> list[str]:
    """Return what package.xml lacks or names in vain, a line each; an empty list is a sound package.xml."""
    manifest = read_manifest(folder)
    code = [*modules_of(folder).values(), *sorted((folder / "launch").glob("*.py"))]
    tests = sorted((folder / "test").rglob("*.py"))
    runtime = _needed(code, folder, manifest)
    in_tests = _needed(tests, folder, manifest)
    problems = [] if manifest.name == folder.name else [f"its name is {manifest.name}"]
    problems += [
        f"{runtime[key]}: {_missing(key)}, and exec_depend does not name it"
        for key in sorted(set(runtime) - manifest.runtime)
    ]
    problems += [
        f"{in_tests[key]}: {_missing(key)}, and neither exec_depend nor test_depend names it"
        for key in sorted(set(in_tests) - set(runtime) - manifest.runtime - manifest.test)
    ]
    problems += [
        f"test_depend {key} is an exec_depend already" for key in sorted(manifest.test & manifest.runtime)
    ]
    for kind, named, used in (("exec", manifest.runtime, runtime), ("test", manifest.test, in_tests)):
        problems += [
            f"{kind}_depend {key} is imported nowhere, and no comment says why it is needed"
            for key in sorted(named - set(used))
            if not manifest.comments_name(key)
        ]
    return problems


def _needed(files: list[Path], folder: Path, manifest: Manifest) -> dict[str, str]:
    """Return the keys that files need, with a place of each; what a comment names as optional is not needed."""
    needed: dict[str, str] = {}
    for file in files:
        for one in imports_of(file, folder):
            top = one.top
            if top == folder.name or top in sys.stdlib_module_names:
                continue
            key = ROSDEP_KEYS.get(top, top)
            # A file beside it: a test's helper, or a module of a script that runs without its package.
            optional = manifest.comments_name(top) or file.with_name(f"{top}.py").is_file()
            if key in manifest.runtime | manifest.test or not optional:
                needed.setdefault(key, one.place)
    return needed


def _missing(key: str) -> str:
    if key in ROSDEP_KEYS.values() or not is_third_party(key):
        return f"needs {key}"
    return f"imports {key}, which has no rosdep key here and is named in no comment"
