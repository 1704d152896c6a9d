# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Starts processes, keeps them up, and ends every one of them, always.

A unit is one process: started in a session of its own with its output in a file, started again after a delay when it
dies, asked to end by SIGINT, then SIGTERM, then SIGKILL. What it started itself ends with it. If the runner is killed,
the kernel (PR_SET_PDEATHSIG) and the guard end all of them. It never reads or changes what the processes do.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import queue
import selectors
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from edge_stack.runner import sessions
from edge_stack.runner.guard_client import GuardClient

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1

# name, return code (negative: minus the signal), whether it is started again
ExitCallback = Callable[[str, int, bool], None]


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. respawn: start it again whenever it ends before stop(). stage: the highest ends first."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    respawn: bool = True
    stage: int = 0


@dataclass(frozen=True)
class ProcessLimits:
    """
    How long to wait, s.

    respawn_delay_s doubles with each death within healthy_s of the start, up to longest_delay_s. interrupt_s and
    terminate_s: how long a process has after SIGINT and after SIGTERM.
    """

    respawn_delay_s: float = 0.1
    longest_delay_s: float = 10.0
    healthy_s: float = 10.0
    interrupt_s: float = 4.0
    terminate_s: float = 2.0


@dataclass
class _ProcessEntry:
    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    started_s: float = 0.0
    starts: int = 0
    short_lives: int = 0
    due_s: float | None = None
    returncode: int | None = None
    signals_sent: list[int] = field(default_factory=list)


class ProcessGroup:
    """
    Processes that live and die together.

    One thread starts and reaps them all, because PR_SET_PDEATHSIG is tied to the thread that started a process. Callbacks
    run in that thread; they must not block.
    """

    def __init__(
        self, log_folder: Path, on_exit: ExitCallback | None = None, limits: ProcessLimits | None = None
    ) -> None:
        """log_folder: where <name>.log files go; made if missing, files are appended to."""
        self._log_folder = log_folder
        self._on_exit = on_exit
        self._limits = limits or ProcessLimits()
        self._entries: dict[str, _ProcessEntry] = {}
        self._requests: queue.SimpleQueue[tuple[ProcessSpec, Future[int]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stop_at_s: float | None = None
        self._kill_now = False
        self._finished = threading.Event()
        self._thread: threading.Thread | None = None
        self._guard: GuardClient | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    # ---- for the owner --------------------------------------------------------------------------------------------------

    def start(self, spec: ProcessSpec) -> int:
        """Start a process and return its id. OSError if it cannot be started at all."""
        if self._stop_at_s is not None or self._kill_now:
            raise RuntimeError("the group is stopped")
        if self._thread is None:
            self._log_folder.mkdir(parents=True, exist_ok=True)
            self._thread = threading.Thread(target=self._run, name="edge_processes", daemon=True)
            self._thread.start()
            atexit.register(self.stop)
        done: Future[int] = Future()
        self._requests.put((spec, done))
        self._wake()
        return done.result(30.0)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one process (not to what it started); nothing if it is not running."""
        with self._lock:
            entry = self._entries[name]
            if entry.process is not None and entry.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(entry.process.pid, number)

    def pids(self) -> dict[str, int]:
        """Return the id of each process that runs."""
        with self._lock:
            return {n: e.process.pid for n, e in self._entries.items() if e.process is not None}

    def starts(self) -> dict[str, int]:
        """Return how often each process was started."""
        with self._lock:
            return {name: entry.starts for name, entry in self._entries.items()}

    def stop(self) -> dict[str, int | None]:
        """End all processes, politely at first, and return their return codes. May be called again, and from anywhere."""
        self._stop_at_s = self._stop_at_s or time.monotonic()
        return self._wait_finished()

    def kill(self) -> dict[str, int | None]:
        """End all processes at once, also while stop() waits."""
        self._kill_now = True
        return self._wait_finished()

    def log_path(self, name: str) -> Path:
        """Return the file with all output of a process."""
        return self._log_folder / f"{name}.log"

    def tails(self, lines: int = 12) -> str:
        """Return the last lines of every process, each under its name."""
        parts = []
        for name in self._entries:
            try:
                text = self.log_path(name).read_text(encoding="utf-8", errors="replace")
            except OSError:
                text = ""
            tail = text.splitlines()[-lines:] or ["(no output)"]
            parts.append("\n".join([f"{name}:", *(f"  {line}" for line in tail)]))
        return "\n".join(parts)

    def __enter__(self) -> ProcessGroup:
        """Use as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        self.stop()

    # ---- the thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._wake_read, selectors.EVENT_READ, None)
        try:
            self._guard = GuardClient()
            while True:
                for key, _ in selector.select(self._wait_s()):
                    if key.data is None:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake_read, 4096)
                    else:
                        selector.unregister(key.fd)
                        self._reap(key.data)
                if self._stop_at_s is not None or self._kill_now:
                    if not self._end(time.monotonic()):
                        return
                    continue
                self._take_requests(selector)
                self._respawn(selector)
        finally:
            sessions.kill_all(self._sessions())
            if self._guard is not None:
                self._guard.release()
            selector.close()
            self._finished.set()

    def _wait_s(self) -> float | None:
        if self._stop_at_s is not None or self._kill_now:
            return 0.05
        due = [entry.due_s for entry in self._entries.values() if entry.due_s is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _take_requests(self, selector: selectors.BaseSelector) -> None:
        while True:
            try:
                spec, done = self._requests.get_nowait()
            except queue.Empty:
                return
            entry = _ProcessEntry(spec)
            try:
                if spec.name in self._entries:
                    raise ValueError(f"there is a process {spec.name} already")
                done.set_result(self._spawn(entry, selector))
            except (OSError, ValueError) as error:
                done.set_exception(error)
                continue
            with self._lock:
                self._entries[spec.name] = entry

    def _respawn(self, selector: selectors.BaseSelector) -> None:
        now_s = time.monotonic()
        for entry in self._entries.values():
            if entry.due_s is not None and entry.due_s <= now_s:
                try:
                    self._spawn(entry, selector)
                except OSError as error:
                    self._note(entry, f"cannot be started: {error}")
                    entry.due_s = now_s + self._limits.longest_delay_s

    def _spawn(self, entry: _ProcessEntry, selector: selectors.BaseSelector) -> int:
        parent = os.getpid()

        def die_with_parent() -> None:
            # Between fork and exec: nothing but system calls. SIGTERM, so that a node can leave the robot in a safe state.
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        with self.log_path(entry.spec.name).open("ab") as log:
            process = subprocess.Popen(
                list(entry.spec.command),
                env=dict(entry.spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._tell_guard(process.pid, lives=True)
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError:
            # Out of file descriptors: what cannot be watched must not run.
            sessions.kill_all({process.pid})
            process.wait()
            raise
        with self._lock:
            entry.process, entry.pidfd = process, pidfd
            entry.started_s, entry.due_s, entry.returncode = time.monotonic(), None, None
            entry.starts += 1
        selector.register(entry.pidfd, selectors.EVENT_READ, entry)
        return process.pid

    def _reap(self, entry: _ProcessEntry) -> None:
        process = entry.process
        assert process is not None
        # While it is a zombie its id cannot belong to anyone else: now is the time to end what it left behind.
        sessions.kill_all({process.pid})
        with self._lock:
            returncode = process.wait()
            os.close(entry.pidfd)
            entry.process, entry.pidfd, entry.returncode = None, -1, returncode
        self._tell_guard(process.pid, lives=False)
        stopping = self._stop_at_s is not None or self._kill_now
        respawning = entry.spec.respawn and not stopping
        if respawning:
            now_s = time.monotonic()
            short = now_s - entry.started_s < self._limits.healthy_s
            entry.short_lives = entry.short_lives + 1 if short else 1
            delay_s = self._limits.respawn_delay_s * 2.0 ** min(entry.short_lives - 1, 16)
            entry.due_s = now_s + min(delay_s, self._limits.longest_delay_s)
        self._note(entry, describe_exit(returncode) + (", starting it again" if respawning else ""))
        if self._on_exit is not None:
            try:
                self._on_exit(entry.spec.name, returncode, respawning)
            except Exception:  # noqa: BLE001
                traceback.print_exc()  # a defect of the owner; the processes still need their keeper

    def _end(self, now_s: float) -> bool:
        """Do the next step of ending; return False when nothing is left."""
        self._refuse_requests()
        alive = [entry for entry in self._entries.values() if entry.process is not None]
        if not alive:
            return False
        since_s = now_s - (self._stop_at_s if self._stop_at_s is not None else now_s)
        if self._kill_now or since_s > self._limits.interrupt_s + self._limits.terminate_s:
            number = signal.SIGKILL
        elif since_s > self._limits.interrupt_s:
            number = signal.SIGTERM
        else:
            number = signal.SIGINT
        if number == signal.SIGINT:
            # In reverse order of start; whoever takes too long is sent SIGTERM together with all others.
            last = max(entry.spec.stage for entry in alive)
            alive = [entry for entry in alive if entry.spec.stage == last]
        for entry in alive:
            if number not in entry.signals_sent and entry.process is not None:
                entry.signals_sent.append(number)
                sessions.send_to_group(entry.process.pid, number)
        return True

    def _refuse_requests(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._requests.get_nowait()[1].set_exception(RuntimeError("the group is stopped"))

    def _sessions(self) -> set[int]:
        return {entry.process.pid for entry in self._entries.values() if entry.process is not None}

    def _note(self, entry: _ProcessEntry, text: str) -> None:
        with contextlib.suppress(OSError), self.log_path(entry.spec.name).open("a", encoding="utf-8") as log:
            log.write(f"[runner] {entry.spec.name} {text}\n")

    # ---- guard and waking -----------------------------------------------------------------------------------------------

    def _tell_guard(self, pid: int, *, lives: bool) -> None:
        if self._guard is not None:
            self._guard.session(pid, lives=lives)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"!")

    def _wait_finished(self) -> dict[str, int | None]:
        if self._thread is not None:
            self._wake()
            limit_s = self._limits.interrupt_s + self._limits.terminate_s + 10.0
            if threading.current_thread() is not self._thread and not self._finished.wait(limit_s):
                raise RuntimeError(f"processes do not end within {limit_s} s: {self.pids()}")
        return {name: entry.returncode for name, entry in self._entries.items()}


def describe_exit(returncode: int) -> str:
    """Say in words how a process ended."""
    if returncode < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with code {returncode}"
