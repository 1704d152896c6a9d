# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tool says: steps, notes, and errors that carry their remedy. Everything goes to stderr, so stdout is free."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

NEEDS_SOMETHING = 2


class EdgeError(Exception):
    """
    Something that the tool cannot go on without.

    remedy: what to do about it, a command where there is one. code: exit code; 2 = the machine lacks something.
    """

    def __init__(self, problem: str, remedy: str = "", code: int = 1) -> None:
        super().__init__(problem)
        self.problem, self.remedy, self.code = problem, remedy, code


def fancy() -> bool:
    """Return whether stderr is a terminal that can rewrite a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def coloured(text: str, code: str) -> str:
    """Return text in a colour where that can be shown."""
    return f"\033[{code}m{text}\033[0m" if fancy() and "NO_COLOR" not in os.environ else text


def say(text: str) -> None:
    """Print a line for the user."""
    print(coloured("edge", "36") + f" {text}", file=sys.stderr, flush=True)


def say_error(error: EdgeError) -> None:
    """Print an error with its remedy."""
    print(coloured("edge", "31") + f" {error.problem}", file=sys.stderr)
    if error.remedy:
        print(f"\n  {error.remedy}\n", file=sys.stderr, flush=True)


class Step:
    """One step that takes a while: says what is done, shows how far it is, and says how long it took."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begin_s = self._shown_s = time.monotonic()
        self._lines = fancy()

    def __enter__(self) -> Step:
        """Show the title."""
        say(f"{self._title} ...")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Say how long it took; nothing after a failure, which has its own words."""
        self._clear()
        if kind is None:
            say(f"{self._title}: {time.monotonic() - self._begin_s:.1f} s")

    def progress(self, text: str) -> None:
        """Show how far it is: a line that is rewritten on a terminal, one line in 10 s elsewhere."""
        now_s = time.monotonic()
        if self._lines:
            if now_s - self._shown_s >= 0.1:
                self._shown_s = now_s
                width = shutil.get_terminal_size().columns - 1
                print(
                    f"\r\033[K     {now_s - self._begin_s:4.0f} s  {text}"[: width + 4],
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
        elif now_s - self._shown_s >= 10.0:
            self._shown_s = now_s
            say(f"  {now_s - self._begin_s:.0f} s  {text}")

    def _clear(self) -> None:
        if self._lines:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def run_logged(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    on_line: Callable[[str], None] = lambda _line: None,
) -> int:
    """
    Run a command with its output in a file, and hand each line on.

    Returns its exit code. Ctrl-C ends the command and all that it started before it goes on.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(command)}\n")
        file.flush()
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                on_line(line.rstrip())
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[str]) -> None:
    for number, limit_s in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(limit_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def tail(log: Path, lines: int = 25) -> str:
    """Return the last lines of a log, without colours, for an error message."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join("  " + re.sub(r"\033\[[0-9;]*m", "", line) for line in text.splitlines()[-lines:])
