# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Faults that another program on the robot's network makes, which knows nothing of the stack but its topics.

A unit is one program, a process of its own (edge_stack_bench.ros.stranger): it says when it is there, does its act on
request and ends at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading

from edge_stack_bench.faults.injections import Injection, Stack

MODULE = "edge_stack_bench.ros.stranger"
READY, GO = "ready", "go"
READY_LIMIT_S = 20.0
_END_LIMIT_S = 10.0


class Program:
    """One such program. act: a name in edge_stack_bench.ros.stranger.ACTS."""

    def __init__(self, act: str, namespace: str) -> None:
        """Start it."""
        command = [sys.executable, "-m", MODULE, act, "--ros-args", "-r", "__node:=stranger"]
        command += ["-r", f"__ns:=/{namespace.strip('/')}"] if namespace.strip("/") else []
        self._act = act
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def wait(self) -> None:
        """Wait until it is there. RuntimeError if it does not come."""
        late = threading.Timer(READY_LIMIT_S, self._process.kill)
        late.start()
        try:
            assert self._process.stdout is not None
            if self._process.stdout.readline().strip() != READY:
                raise RuntimeError(f"the program that does '{self._act}' did not find the stack")
        finally:
            late.cancel()

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{GO}\n")

    def end(self) -> dict[str, float]:
        """End it and return what it measured."""
        try:
            said, _ = self._process.communicate(timeout=_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
        lines = said.strip().splitlines()
        return {str(k): float(v) for k, v in json.loads(lines[-1]).items()} if lines else {}


class Strangers(Injection):
    """Programs with one act each, all at once."""

    def __init__(self, *acts: str) -> None:
        self._acts = acts
        self._programs: list[Program] = []
        self._figures: dict[str, float] = {}

    def ready(self, stack: Stack) -> None:
        """See Injection."""
        for act in self._acts:
            self._programs.append(Program(act, stack.namespace()))
        try:
            for program in self._programs:
                program.wait()
        except RuntimeError:
            self.end(stack)
            raise

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        for program in self._programs:
            program.go()

    def end(self, stack: Stack) -> None:
        """See Injection."""
        for program in self._programs:
            self._figures.update(program.end())
        self._programs.clear()

    def figures(self) -> dict[str, float]:
        """See Injection."""
        return self._figures
