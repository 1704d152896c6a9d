# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints by name: from a hub on loopback, from the cache without it, clear errors from a broken one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_lerobot_policy import IMAGE, SQUARE, loaded, observation
from tiny_hub import Answer, TinyHub, as_json
from tiny_lerobot import needs_lerobot, tiny_checkpoint

pytestmark = needs_lerobot
NAME = "someone/policy"
UNWANTED = ("pytorch_model.bin", "training_state.pt", "code.py", "README.md", "data/policy.pkl")
# huggingface_hub reads its environment once, so that look-ups are processes of their own. It waits between tries; not here.
FIND = """
import json, sys, time
time.sleep = lambda seconds: None
from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.lerobot import hub
hub.SILENCE_S = float(sys.argv[1])
for name in sys.argv[2:]:
    try:
        print(json.dumps(["found", str(hub.find_folder(name))]))
    except ConfigurationError as error:
        print(json.dumps(["refused", str(error)]))
"""
PREDICT_TWICE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_lerobot_hub import chunk_of
for _ in range(2):
    print(chunk_of(sys.argv[1]), flush=True)
    sys.stdin.readline()
"""
KEY = "observation.image"
Fault = Callable[[str, Answer], Answer]


def chunk_of(path: Path | str) -> list[list[float]]:
    """Load the policy and let it predict one chunk."""
    seen = observation(1)
    seen[KEY] = seen.pop(IMAGE)
    contract = replace(SQUARE, images=(replace(SQUARE.images[0], key=KEY),))
    return loaded(path, contract=contract).predict_action_chunk(seen).tolist()


def instead(part: str, answer: Answer) -> Fault:
    """Answer so where the question has this in it."""
    return lambda question, right: answer if part in question else right


def half(question: str, right: Answer) -> Answer:
    """Give half of a file, as if it were the whole."""
    if question.startswith("GET") and question.endswith("model.safetensors"):
        return right[0], right[1], right[2][: len(right[2]) // 2]
    return right


FAULTS: dict[str, Fault] = {
    "not-there": instead("/api/", (404, {"X-Error-Code": "RepoNotFound"}, b"")),
    "private": instead("/api/", (401, {}, b"")),
    "down": instead("/api/", (500, {}, b"")),
    "no-json": instead("/api/", (200, {}, b"<html>please pay for this network</html>")),
    "other-json": instead("/api/", as_json([])),
    "climbs": instead(
        "/tree/", as_json([{"type": "file", "path": "../../../up.json", "size": 1, "oid": "0"}])
    ),
    "other-version": instead("/revision/", as_json({"id": "broken/other-version", "sha": "../../up"})),
    "file-down": instead("model.safetensors", (500, {}, b"")),
    "file-gone": instead("model.safetensors", (404, {"X-Error-Code": "EntryNotFound"}, b"")),
    "truncated": half,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("hub"), "tdmpc", image=KEY)
    for name in (*UNWANTED, "vlm/vocabulary.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"words")
    return folder


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[TinyHub]:
    hub = TinyHub(checkpoint)
    yield hub
    hub.close()


def started(code: str, hub: TinyHub, home: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Run code with a hub and a cache."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment.update(HF_ENDPOINT=hub.address, HF_HOME=str(home), HF_HUB_DISABLE_TELEMETRY="1", **more)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def look_up(
    hub: TinyHub, home: Path, *names: str, silence_s: float = 10.0, **more: str
) -> list[tuple[str, str]]:
    """What became of each name: found and its folder, or refused and why."""
    with started(FIND, hub, home, str(silence_s), *names, **more) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [tuple(json.loads(line)) for line in out.splitlines()]


def found(hub: TinyHub, home: Path, silence_s: float = 10.0, **more: str) -> Path:
    [(what, text)] = look_up(hub, home, NAME, silence_s=silence_s, **more)
    assert what == "found", text
    return Path(text)


def test_a_name_is_downloaded_and_runs_and_again_when_the_hub_is_gone(
    hub: TinyHub, checkpoint: Path, tmp_path: Path
) -> None:
    wanted = chunk_of(checkpoint)

    def next_chunk() -> object:
        return next((json.loads(line) for line in process.stdout or () if line.startswith("[[")), None)

    with started(PREDICT_TWICE, hub, tmp_path, NAME) as process:
        assert next_chunk() == wanted
        hub.close()
        process.stdin.write("\n")
        process.stdin.flush()
        assert next_chunk() == wanted
        process.communicate("\n", timeout=60)


def test_only_what_belongs_to_a_checkpoint_is_downloaded_no_pickle_and_no_code(
    hub: TinyHub, checkpoint: Path, tmp_path: Path
) -> None:
    folder = found(hub, tmp_path)
    have = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    there = {path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file()}
    assert have == there - set(UNWANTED)
    assert {"model.safetensors", "config.json", "vlm/vocabulary.txt"} <= have
    assert not [path for path in hub.asked if path.endswith(UNWANTED)]


def test_without_the_hub_the_last_version_that_is_complete_is_taken(
    hub: TinyHub, checkpoint: Path, tmp_path: Path
) -> None:
    old = found(hub, tmp_path)
    hub.folder = tmp_path / "newer"
    hub.folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (hub.folder / name).write_bytes((checkpoint / name).read_bytes() + b" ")
    hub.spoil = instead("model.safetensors", (500, {}, b""))
    assert found(hub, tmp_path) == old  # the newer one's weights did not arrive
    hub.asked.clear()
    assert found(hub, tmp_path, HF_HUB_OFFLINE="1") == old
    assert not hub.asked
    hub.spoil = lambda question, right: right
    newer = found(hub, tmp_path)
    assert newer != old
    assert (newer / "config.json").read_bytes().endswith(b" ")


@pytest.mark.parametrize("part", ["/revision/", "/tree/"])
def test_a_hub_that_says_nothing_is_not_waited_for(
    hub: TinyHub, checkpoint: Path, tmp_path: Path, part: str
) -> None:
    folder = found(hub, tmp_path)
    hub.folder = tmp_path / "newer"
    hub.folder.mkdir()
    (hub.folder / "config.json").write_bytes((checkpoint / "config.json").read_bytes() + b" ")
    over = threading.Event()

    def silent(question: str, right: Answer) -> Answer:
        if part in question:
            over.wait(60)
        return right

    hub.spoil = silent
    assert found(hub, tmp_path, silence_s=0.5) == folder
    over.set()


def test_a_download_that_was_cut_goes_on(hub: TinyHub, checkpoint: Path, tmp_path: Path) -> None:
    cuts = []

    def cut_once(question: str, right: Answer) -> Answer:
        if not question.startswith("GET") or not question.endswith("model.safetensors") or cuts:
            return right
        cuts.append(question)
        return right[0], {**right[1], "Content-Length": str(len(right[2]))}, right[2][:1000]

    hub.spoil = cut_once
    folder = found(hub, tmp_path)
    assert cuts
    assert (folder / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def refusals(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What look-ups at a broken hub say, by fault; each is of a name of its own."""
    hub, home = TinyHub(checkpoint), tmp_path_factory.mktemp("broken") / "home"

    def spoil(question: str, right: Answer) -> Answer:
        fault = next(fault for fault in FAULTS if f"/broken/{fault}/" in question)
        return FAULTS[fault](question, right)

    hub.spoil = spoil
    answers = look_up(hub, home, *(f"broken/{fault}" for fault in FAULTS))
    hub.close()
    assert not list(home.parent.rglob("up.json"))
    return dict(zip(FAULTS, answers, strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_hub_is_a_clear_error(refusals: dict[str, tuple[str, str]], fault: str) -> None:
    what, text = refusals[fault]
    assert what == "refused"
    assert text.startswith(f"policy_path: there is no folder broken/{fault}, and the hub gives nothing (")
    assert text.endswith(f"`hf download broken/{fault} --local-dir {fault}`, then name that folder")
