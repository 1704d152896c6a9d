# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the tests of every package share: runs are repeatable, and run two at a time although some measure time.

Each package's conftest.py takes the hooks from here, so that a package is tested alike by itself and with all others. Tests
marked `exclusive` wait until no other test of a parallel run runs. The unit is one test with its fixtures. Workers share a
lock file; nothing is ordered by it beyond that. Properties are tried with the same examples in every run, however slow the
machine is; `./edge test --hypothesis-profile explore` draws new ones.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edge_stack_core.runtime.run_state import STATE_VARIABLE

__all__ = [
    "free_port",
    "pytest_configure",
    "pytest_runtest_protocol",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "use_test_folder",
]

_SKIPS_SHOWN = pytest.StashKey[bool]()
_HOLDS_MACHINE = pytest.StashKey[bool]()

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

# Shells start what runs in the background with SIGINT ignored, and what it starts inherits that: tests of Ctrl-C would wait.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def use_test_folder(conftest: str) -> None:
    """Let tests import the helper modules beside a conftest.py, and start nodes there as modules (python -m toy_node)."""
    folder = os.path.dirname(conftest)
    inherited = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != folder]
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *inherited])
    if folder not in sys.path:
        sys.path.insert(0, folder)


def free_port() -> int:
    """
    Return a port of the loopback that nobody uses at present.

    The system hands out none of these by itself: not to a test beside this one, nor to a connection, before it is used here.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known where the workspace's own configuration is not read (plain colcon test); keep state apart."""
    if STATE_VARIABLE not in os.environ:
        # Tests in a domain of their own have a folder of their own; nothing that the others start gets into this user's.
        folder = os.environ[STATE_VARIABLE] = tempfile.mkdtemp(prefix="edge_stack_state_")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config.addinivalue_line(
        "markers",
        "exclusive: needs the machine for itself (measures time); waits for the other tests of a parallel run",
    )


def _lock_file(controller: int, kind: str) -> Path:
    return Path(tempfile.gettempdir()) / f"edge_tests_{controller}.{kind}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hold the machine for the test: alone if it is exclusive, together with others if not."""
    # Every conftest.py has this hook and all of them are called: the first one holds the machine, else it waits for itself.
    if "PYTEST_XDIST_WORKER" not in os.environ or item.config.stash.get(_HOLDS_MACHINE, False):
        return (yield)
    controller = os.getppid()
    alone = item.get_closest_marker("exclusive") is not None
    # Two locks: whoever waits to be alone holds the first, so that no newcomer gets between.
    with _lock_file(controller, "door").open("a") as door, _lock_file(controller, "room").open("a") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        item.config.stash[_HOLDS_MACHINE] = True
        try:
            return (yield)
        finally:
            item.config.stash[_HOLDS_MACHINE] = False


def pytest_sessionfinish() -> None:
    """Remove the lock files of a parallel run."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        for kind in ("door", "room"):
            _lock_file(os.getpid(), kind).unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was skipped, a line for each reason with its count; once, though every conftest.py has this hook."""
    if config.stash.get(_SKIPS_SHOWN, False):
        return
    config.stash[_SKIPS_SHOWN] = True
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count:4}: {reason}")
