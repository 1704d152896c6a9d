# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A policy to serve, whose chunks tell what it saw, and a server and clients for it, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.base import IMAGES, STATE, TASK, TIME_S, Observation
from edge_stack_policy.remote.policy import RemotePolicy
from edge_stack_policy.remote.service import PolicyServer
from edge_stack_policy.remote.settings import RemoteSettings
from edge_stack_policy.settings import PolicySettings

ROBOT = load_robot(find_robot("so101_sim"))
SETTINGS = PolicySettings(ROBOT)
TABLE = IMAGES + "table"
LIMIT_S = 60.0  # for what should be instant: only a machine that stands still reaches it


class ToyPolicy:
    """Chunks [4, A] that hold the state. Keeps what it saw; waits, raises or answers wrongly on demand."""

    def __init__(self) -> None:
        self.name = "toy"
        self.action_names = ROBOT.joint_names
        self.step_s = SETTINGS.step_s
        self.input_features = (STATE, TABLE)
        self.class_names: tuple[str, ...] = ()
        self.guides_chunks = True
        self.problem = ""
        self.seen: list[dict[str, Any]] = []
        self.resets = 0
        self.error: Exception | None = None
        self.answer: Any = None
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def load(self) -> None:
        """Nothing to do."""

    def reset(self) -> None:
        """Count."""
        self.resets += 1

    def close(self) -> None:
        """Nothing to do."""

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Do as told."""
        self.seen.append(dict(observation))
        self.begun.release()
        self.go_on.wait(LIMIT_S)
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer
        return np.tile(np.asarray(observation[STATE], dtype=np.float64), (4, 1))


def observation(value: float = 0.1, **more: Any) -> dict[str, Any]:
    """Return what the toy needs; its chunk will hold `value`."""
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    state = np.full(len(ROBOT.joints), value, dtype=np.float32)
    return {STATE: state, TABLE: image, TASK: "wave", TIME_S: 12.5, **more}


@contextmanager
def serving(*policies: ToyPolicy, **options: Any) -> Iterator[PolicyServer]:
    """Serve policies until the end of the block."""
    server = PolicyServer(policies, SETTINGS, **options)
    try:
        yield server
    finally:
        for policy in policies:
            policy.go_on.set()
        server.stop()


@contextmanager
def connected(address: str | PolicyServer, **options: Any) -> Iterator[RemotePolicy]:
    """Load a client for a server. options: of OffBoardSettings."""
    where = address if isinstance(address, str) else f"grpc://127.0.0.1:{address.port}"
    remote = RemoteSettings(**{"timeout_s": LIMIT_S, "load_timeout_s": LIMIT_S, "images": "raw", **options})
    client = RemotePolicy(replace(SETTINGS, address=where, remote=remote))
    try:
        client.load()
        yield client
    finally:
        client.close()
