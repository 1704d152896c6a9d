# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
NVIDIA's Multi-Process Service (MPS): whether it is here, and a private one for as long as it is needed.

Its unit is one control daemon. With it, processes share a GPU at the same time and stream priorities act across them. A
process decides at its first CUDA call which daemon it uses, by CUDA_MPS_PIPE_DIRECTORY.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONTROL = "nvidia-cuda-mps-control"
_PIPES, _LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_DEFAULT_PIPES = "/tmp/nvidia-mps"
_START_LIMIT_S = 10.0


def missing() -> str:
    """Return why no MPS daemon can be started here; empty if one can."""
    if shutil.which(_CONTROL) is None:
        return f"{_CONTROL} is not installed (it comes with the driver; not every Jetson has it)"
    return ""


def running() -> bool:
    """Whether this process would use a daemon that runs already."""
    return Path(os.environ.get(_PIPES, _DEFAULT_PIPES), "control").exists()


def without() -> dict[str, str]:
    """Return the environment variables with which a process uses no daemon, even if one runs."""
    return {_PIPES: "/nonexistent"}


@contextmanager
def private_daemon(folder: Path) -> Iterator[dict[str, str]]:
    """
    Run a daemon of its own, and yield the environment variables with which a process uses it.

    folder: for its pipes and logs; the path must be short, for they are sockets.

    Raises:
        RuntimeError: it does not start; the text says why.
    """
    variables = {_PIPES: str(folder / "pipes"), _LOGS: str(folder / "logs")}
    for path in variables.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **variables}
    try:
        subprocess.run(
            [_CONTROL, "-d"], env=environment, check=True, capture_output=True, timeout=_START_LIMIT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or b""
        raise RuntimeError(f"{_CONTROL} -d: {said.decode(errors='replace').strip() or error}") from None
    try:
        yield variables
    finally:
        subprocess.run(
            [_CONTROL], input=b"quit\n", env=environment, check=False, capture_output=True, timeout=60.0
        )
