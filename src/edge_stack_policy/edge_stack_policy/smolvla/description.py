# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
policy.json of an exported SmolVLA: what its graphs are, and how observations become their inputs.

Its unit is one folder. Whatever is missing, damaged, or does not fit is told by file and field before anything runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.smolvla.flow import SCHEDULES

FILE = "policy.json"
TOKENIZER = "tokenizer.json"
FORMAT = "edge_stack.smolvla"
FORMAT_VERSION = 1
GRAPHS = ("vision", "prefix", "denoise")


@dataclass(frozen=True)
class Vector:
    """
    A vector of the checkpoint's data. The model sees (value - offset) / divisor; its output means output * scale + offset.

    LeRobot's modes are all of this form. low, high: the range of the training data, empty if unknown. names, units: of the
    components, empty if the checkpoint does not know them.
    """

    key: str
    offset: tuple[float, ...]
    divisor: tuple[float, ...]
    scale: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    units: str = ""

    def __len__(self) -> int:
        """Count the components."""
        return len(self.offset)

    def normalized(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values [..., N] as the model sees them."""
        return ((values - np.array(self.offset)) / np.array(self.divisor)).astype(np.float32)

    def unnormalized(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """What the model put out, [..., N], in the data's units."""
        return values.astype(np.float64) * np.array(self.scale) + np.array(self.offset)


@dataclass(frozen=True)
class Image:
    """One camera: its key; its size in the checkpoint's data; any other does, too. empty: never there, as in Aloha."""

    key: str
    height: int
    width: int
    empty: bool = False


@dataclass(frozen=True)
class Graph:
    """One ONNX file of the folder."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Description:
    """
    All of policy.json.

    pixels: side of the square that images are scaled to, with padding if `padded`. image_tokens: of one camera.
    language_tokens: the instruction is cut or padded to so many. pad_token: its number. state_width, action_width: of the
    model's padded vectors. flow_steps: of one chunk. noise_scale: of the noise that a chunk grows from; LeRobot's is 1, and
    0 gives the middle of what the policy would do. time_*: of the embedding of time. rtc_*: LeRobot's RTCConfig. precision:
    fp32 or fp16. parity_max_abs: against LeRobot in torch, in the model's units, as measured by the export.
    """

    images: tuple[Image, ...]
    state: Vector
    action: Vector
    pixels_height: int
    pixels_width: int
    image_tokens: int
    language_tokens: int
    pad_token: int
    state_width: int
    action_width: int
    chunk_size: int
    flow_steps: int
    time_width: int
    time_min_period: float
    time_max_period: float
    graphs: Mapping[str, Graph]
    tokenizer_sha256: str
    rtc_schedule: str = "LINEAR"
    rtc_max_weight: float = 10.0
    rtc_horizon: int = 10
    noise_scale: float = 1.0
    precision: str = "fp32"
    parity_max_abs: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write policy.json."""
        data = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        (folder / FILE).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def load(folder: str | Path) -> Description:
    """
    Read the policy.json of a folder and check every file that it names by its hash.

    Raises:
        ConfigurationError: names the file, and the field where it is one.
    """
    folder = Path(folder).expanduser()
    path = folder / FILE
    if not folder.is_dir():
        raise ConfigurationError(
            f"policy_path: there is no folder {folder}; ./edge export-policy CHECKPOINT --out {folder} makes one"
        )
    if not path.is_file():
        hint = (
            " (a LeRobot checkpoint: ./edge export-policy makes one of it)"
            if (folder / "config.json").is_file()
            else ""
        )
        raise ConfigurationError(f"{path}: is missing; {folder} is no exported SmolVLA{hint}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: is damaged: {error}; export the policy again") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ConfigurationError(f"{path}: format: '{FORMAT}' is needed; this is something else")
    if data.get("format_version") != FORMAT_VERSION:
        raise ConfigurationError(
            f"{path}: format_version: is {data.get('format_version')}, {FORMAT_VERSION} is needed; export the policy again"
        )
    rest = {name: value for name, value in data.items() if name not in ("format", "format_version")}
    description: Description = _made(Description, rest, str(path))
    _check(description, path)
    for name in GRAPHS:
        graph = description.graphs[name]
        _check_file(folder / graph.file, graph.sha256)
    _check_file(folder / TOKENIZER, description.tokenizer_sha256)
    return description


def sha256_of(path: Path) -> str:
    """Return the hash of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_file(path: Path, sha256: str) -> None:
    try:
        found = sha256_of(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror}; copy the whole folder again"
        ) from None
    if found != sha256:
        raise ConfigurationError(
            f"{path}: is not the file that was exported (its sha256 differs from that in {FILE}); copy or export it again"
        )


def _check(description: Description, path: Path) -> None:
    def require(holds: bool, what: str) -> None:
        if not holds:
            raise ConfigurationError(f"{path}: {what}")

    for name in GRAPHS:
        require(name in description.graphs, f"graphs: has no '{name}'; {', '.join(GRAPHS)} are needed")
        file = description.graphs[name].file
        require(
            Path(file).name == file and file not in ("", ".", ".."),
            f"graphs.{name}.file: '{file}' is no file name",
        )
    require(any(not image.empty for image in description.images), "images: no camera")
    for vector, width, name in (
        (description.state, description.state_width, "state"),
        (description.action, description.action_width, "action"),
    ):
        count = len(vector)
        require(0 < count <= width, f"{name}.offset: has {count} values; 1 to {width} fit")
        for part in ("divisor", "scale"):
            require(len(getattr(vector, part)) == count, f"{name}.{part}: {count} values are needed")
        for part in ("low", "high", "names"):
            require(
                len(getattr(vector, part)) in (0, count), f"{name}.{part}: {count} values or none are needed"
            )
        numbers = np.array([vector.offset, vector.divisor, vector.scale])
        require(
            bool(np.all(np.isfinite(numbers)) and np.all(numbers[1] != 0.0)),
            f"{name}: has numbers that are not usable",
        )
    for name in (
        "pixels_height",
        "pixels_width",
        "image_tokens",
        "language_tokens",
        "chunk_size",
        "flow_steps",
        "time_width",
    ):
        require(getattr(description, name) > 0, f"{name}: must be above 0")
    require(0.0 <= description.noise_scale <= 1.0, "noise_scale: must be from 0 to 1")
    require(description.rtc_schedule in SCHEDULES, f"rtc_schedule: must be one of {', '.join(SCHEDULES)}")
    require(
        description.rtc_max_weight > 0 and description.rtc_horizon > 0,
        "rtc_max_weight, rtc_horizon: must be above 0",
    )
    require(
        0 < description.time_min_period < description.time_max_period,
        "time_min_period: must be below time_max_period",
    )


_PARTS: dict[str, type] = {"state": Vector, "action": Vector}


def _made(kind: type, data: Any, where: str) -> Any:
    """Build a dataclass of JSON; ConfigurationError names what is missing, unknown or of another type."""
    if not isinstance(data, dict):
        raise ConfigurationError(f"{where}: an object is needed")
    known = {entry.name for entry in fields(kind)}
    if unknown := sorted(set(data) - known):
        raise ConfigurationError(
            f"{where}: {', '.join(unknown)}: not known; it has {', '.join(sorted(known))}"
        )
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in data.items():
        at = f"{where}: {name}"
        if name in _PARTS:
            value = _made(_PARTS[name], value, at)
        elif name == "images":
            value = tuple(_made(Image, entry, at) for entry in _list(value, at))
        elif name == "graphs":
            if not isinstance(value, dict):
                raise ConfigurationError(f"{at}: an object is needed")
            value = {key: _made(Graph, entry, f"{at}.{key}") for key, entry in value.items()}
        elif name == "versions":
            value = {str(key): str(entry) for key, entry in value.items()} if isinstance(value, dict) else {}
        elif hints[name] in (int, float, str, bool):
            wanted = (int, float) if hints[name] is float else hints[name]
            if not isinstance(value, wanted) or (isinstance(value, bool) and hints[name] is not bool):
                raise ConfigurationError(f"{at}: is {value!r}; {hints[name].__name__} is needed")
            value = hints[name](value)
        else:
            item = str if "str" in str(hints[name]) else float
            value = tuple(_list(value, at))
            if not all(isinstance(entry, str if item is str else (int, float)) for entry in value):
                raise ConfigurationError(f"{at}: a list of {item.__name__} is needed")
        values[name] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {str(error).partition(') ')[2]}") from None


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where}: a list is needed")
    return value
