# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes the model repository for a Triton server from a robot.yaml: ./edge triton-repository.

Its unit of work is one model folder: NAME/config.pbtxt and NAME/VERSION/model.onnx, where NAME is the node's (NODE_GRAPH
for a policy of several graphs). It writes its own files, leaves older versions where they are, and starts no server.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import NodeConfig, StackConfig, load_config
from edge_stack_inference.model_files import find_model
from edge_stack_inference.triton.address import ModelAddress, is_served
from edge_stack_policy.triton.serving import ENGINES, Serving, model_config, read_onnx, to_text

__all__ = ["main", "models_of", "write_repository"]

# A chunk of actions is waited for so long where the node has no rate, s.
_POLICY_PERIOD_S = 0.5


def models_of(config: StackConfig, files: Mapping[str, Path]) -> dict[str, tuple[NodeConfig, Path]]:
    """
    Return the models of a stack's enabled nodes by their name on the server, each with its node and its file.

    Args:
        files: by a node's name, the file (or a policy's folder) of a model that the stack names by its address on a server.

    Raises:
        ConfigurationError: a file is missing, is no .onnx, or is given for a node that has no model.
    """
    models: dict[str, tuple[NodeConfig, Path]] = {}
    without = set(files)
    for node in config.nodes:
        if not node.enabled or node.executable not in ("yolo", "policy"):
            continue
        field = f"{config.path}: nodes.{node.name}"
        if node.executable == "yolo":
            models.update(_of_yolo(node, field, files))
        else:
            models.update(_of_policy(node, field, files))
        without.discard(node.name)
    if without:
        raise ConfigurationError(
            f"{config.path}: no enabled yolo or policy node is called {', '.join(sorted(without))}"
        )
    return models


def _of_yolo(node: NodeConfig, field: str, files: Mapping[str, Path]) -> dict[str, tuple[NodeConfig, Path]]:
    name, model = node.name, str(node.parameters.get("model", "demo"))
    if node.name in files:
        path = files[node.name]
        if is_served(model):
            name = ModelAddress.parse(model).model
    elif is_served(model):
        raise ConfigurationError(
            f"{field}.parameters.model: is {model}; give its file: --file {node.name}=FILE.onnx"
        )
    else:
        path = find_model(model, str(node.parameters.get("task", "detect")))
    if path.suffix.lower() != ".onnx" or not path.is_file():
        raise ConfigurationError(
            f"{field}.parameters.model: {path} is no .onnx file, and only those are served"
        )
    return {name: (node, path)}


def _of_policy(node: NodeConfig, field: str, files: Mapping[str, Path]) -> dict[str, tuple[NodeConfig, Path]]:
    given = str(node.parameters.get("policy_path", ""))
    folder = files.get(node.name) or (Path(given).expanduser() if given else None)
    if folder is None or not folder.is_dir():
        # A policy without weights (the visual servo), or not in files.
        return {}
    graphs = sorted(folder.glob("*.onnx"))
    if not graphs and node.name in files:
        raise ConfigurationError(f"{field}: {folder} holds no .onnx graphs")
    return {f"{node.name}_{graph.stem}": (node, graph) for graph in graphs}


def write_repository(
    config: StackConfig,
    out: Path,
    *,
    files: Mapping[str, Path] | None = None,
    robots: int = 1,
    gpus: Sequence[int] = (),
    engine: str = ENGINES[0],
    version: int = 1,
    link: bool = False,
) -> list[Path]:
    """
    Write the models' folders below ``out`` and return them; see :func:`models_of` for ``files``.

    robots: how many share the server. gpus: where the models run; none: on the CPU. engine: one of ENGINES. link: link to
    the model files instead of copying them. ConfigurationError with what is wrong.
    """
    written = []
    for name, (node, path) in models_of(config, files or {}).items():
        if re.fullmatch(r"[A-Za-z0-9._-]+", name) is None:
            raise ConfigurationError(
                f"{config.path}: nodes.{node.name}: {name!r} is no name for a model on a server"
            )
        period_s = 1.0 / node.rate_hz if node.rate_hz else _POLICY_PERIOD_S
        serving = Serving(node.priority_class, period_s, robots, tuple(gpus), engine)
        text = to_text(model_config(name, read_onnx(path), serving))
        folder = out / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        origin = f"# Of node {node.name} ({node.priority_class}) in {config.path.name}; written anew by whoever runs\n"
        origin += "# ./edge triton-repository\n"
        (out / name / "config.pbtxt").write_text(origin + text, encoding="utf-8")
        _place(path, folder / "model.onnx", link)
        data = path.with_name(path.name + ".data")
        if data.is_file():
            _place(data, folder / data.name, link)
        if engine == "python":
            shutil.copyfile(Path(__file__).with_name("onnx_model.py"), folder / "model.py")
        written.append(out / name)
    return written


def _place(source: Path, target: Path, link: bool) -> None:
    target.unlink(missing_ok=True)
    if link:
        target.symlink_to(source.resolve())
    else:
        shutil.copyfile(source, target)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="edge triton-repository",
        description="Write a Triton model repository from a robot.yaml.",
    )
    parser.add_argument("--config", type=Path, required=True, help="the stack's robot.yaml")
    parser.add_argument("--out", type=Path, required=True, help="the repository's folder")
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="NODE=PATH",
        help="the .onnx file, or policy folder, of a node's model",
    )
    parser.add_argument("--robots", type=int, default=1, help="robots that share the server (default: 1)")
    parser.add_argument(
        "--gpu", type=int, action="append", default=[], help="GPU that models run on; none: CPU"
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="python: where the server lacks the onnxruntime backend",
    )
    parser.add_argument("--model-version", type=int, default=1, help="version to write (default: 1)")
    parser.add_argument("--link", action="store_true", help="link to the model files instead of copying them")
    arguments = parser.parse_args(argv)
    try:
        written = write_repository(
            load_config(arguments.config),
            arguments.out,
            files=dict(_file(text) for text in arguments.file),
            robots=_positive("--robots", arguments.robots),
            gpus=arguments.gpu,
            engine=arguments.engine,
            version=_positive("--model-version", arguments.model_version),
            link=arguments.link,
        )
    except (ConfigurationError, ImportError) as error:
        hint = "; ./edge setup --with triton" if isinstance(error, ImportError) else ""
        print(f"{error}{hint}", file=sys.stderr)
        return 1
    for folder in written:
        print(folder)
    return 0


def _file(text: str) -> tuple[str, Path]:
    node, _, path = text.partition("=")
    if not node or not path:
        raise ConfigurationError(f"--file {text}: NODE=PATH is needed")
    return node, Path(path).expanduser()


def _positive(option: str, number: int) -> int:
    if number < 1:
        raise ConfigurationError(f"{option} {number}: 1 or more is needed")
    return number


if __name__ == "__main__":
    sys.exit(main())
