# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A policy for tests of the policy node, found by its entry point: it moves one joint to and fro, and does what `path` says.

path: JSON. seconds: how long each chunk really takes, computing all the while. until: a file; each chunk takes until it is
there. guides: whether it continues what is left over. fails: each such call is unavailable. needs: observation keys. pool:
threads that it starts when it is loaded, as a library would. It says in `problem` what it was given.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import numpy as np

from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, STATE, TIME_S, PolicyUnavailable
from edge_stack_policy.settings import PolicySettings

SWEEP_RAD, SWEEP_HZ = 0.3, 0.2


class ToyPolicy:
    """See the module."""

    name = "toy"
    class_names: tuple[str, ...] = ()

    def __init__(self, settings: PolicySettings) -> None:
        asked = json.loads(settings.path or "{}")
        self.seconds = asked.get("seconds", 0.0)
        self.until = asked.get("until", "")
        self.fails = asked.get("fails", 0)
        self.pool = asked.get("pool", 0)
        self.ended = threading.Event()
        self.shows = asked.get("shows", False)
        self.guides_chunks = asked.get("guides", False)
        self.input_features = tuple(asked.get("needs", (STATE,)))
        self.action_names = settings.robot.joint_names
        self.step_s, self.horizon = settings.step_s, settings.horizon
        self.home = settings.robot.home
        self.problem = ""
        self.time_limit_s: float | None = None
        self.calls = 0

    def load(self) -> None:
        for _ in range(self.pool):
            threading.Thread(target=self.ended.wait, name="pool", daemon=True).start()
        print("loaded", flush=True)

    def reset(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        self.ended.set()
        print("closed", flush=True)

    def predict_action_chunk(self, observation):
        self.calls += 1
        end_s = time.perf_counter() + self.seconds
        while time.perf_counter() < end_s or (self.until and not os.path.exists(self.until)):
            np.linalg.svd(np.ones((64, 64)))
        if self.fails and self.calls % self.fails == 0:
            raise PolicyUnavailable("the server does not answer")
        if self.shows:
            self.problem = self._given(observation)
        times = observation[TIME_S] + self.step_s * np.arange(self.horizon)
        chunk = np.tile(self.home, (self.horizon, 1))
        chunk[:, 0] += SWEEP_RAD * np.sin(2.0 * np.pi * SWEEP_HZ * times)
        if self.guides_chunks and LEFTOVER in observation:
            chunk[: observation[DELAY_STEPS]] = observation[LEFTOVER][: observation[DELAY_STEPS]]
        return chunk

    def _given(self, observation) -> str:
        parts = [f"limit {self.time_limit_s is not None}"]
        for key in sorted(set(observation) - {TIME_S}):
            value = observation[key]
            if isinstance(value, np.ndarray):
                parts.append(f"{key} {value.dtype} {list(value.shape)} {np.asarray(value).ravel()[0]:.1f}")
            else:
                parts.append(f"{key} {value}")
        return "; ".join(parts)


def entry_point(folder: Path) -> dict[str, str]:
    """Install the policy `toy` in a folder; return the environment of a process that shall find it."""
    info = folder / "toy_policy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-policy\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        "[edge_stack.policies]\ntoy = toy_policy:ToyPolicy\n", encoding="utf-8"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])}
