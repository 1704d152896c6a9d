# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A node for the tests of supervision: loads as slowly, fails, hangs and errs as often as it is told to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.main import run
from edge_stack_core.ros.parameters import Parameter
from edge_stack_core.runtime.pacing import PacedWorker

WORK_S = 0.02


class SupervisedToy(StackNode):
    """Works on nothing, at a rate, in a thread of its own; without input if it is told so."""

    PARAMETERS = (
        Parameter("rate_hz", 1.0, "Rate of doing nothing, Hz.", minimum=0.0, maximum=50.0, live=True),
        Parameter("configure_s", 0.0, "How long configure takes, s.", minimum=0.0, maximum=60.0),
        Parameter("needs_file", "", "File that must exist at configure."),
        Parameter("dies_with_file", "", "While this file exists, the process dies at configure."),
        Parameter("history_file", "", "File that each transition is noted in, with the process."),
        Parameter("input", True, "Whether there is anything to work on.", live=True),
        Parameter("wrong", False, "Whether all that it makes is wrong.", live=True),
        Parameter("spin", False, "Whether its executor turns for ever at once.", live=True),
    )

    def configure_node(self) -> None:
        time.sleep(self.params.configure_s)  # stands for loading a model, which blocks as well
        if self.params.needs_file and not Path(self.params.needs_file).exists():
            raise ConfigurationError(f"needs_file: {self.params.needs_file} does not exist")
        if self.params.dies_with_file and Path(self.params.dies_with_file).exists():
            os._exit(3)
        self._note("configure")

    def activate_node(self) -> None:
        self._note("activate")
        self._worker: PacedWorker[int] = PacedWorker(self._work, self.params.rate_hz, progress=self.work)
        self._worker.start()
        self._feeder = self.steady_timer(0.02, self._feed)

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        if "rate_hz" in changed and self.is_active:
            self._worker.set_rate(changed["rate_hz"])
        while self.params.spin:
            pass

    def deactivate_node(self) -> None:
        self._note("deactivate")
        self.destroy_timer(self._feeder)
        self._worker.stop(0.1)

    def cleanup_node(self) -> None:
        if self.state_label == "cleaningup":  # and not on the way out of the process
            self._note("cleanup")

    def _note(self, transition: str) -> None:
        if self.params.history_file:
            with Path(self.params.history_file).open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {transition}\n")

    def _feed(self) -> None:
        if self.params.input:
            self._worker.offer(1)

    def _work(self, _item: int, _release_s: float) -> None:
        time.sleep(WORK_S)
        if self.params.wrong:
            self.count_wrong_output("out", "told to be wrong")
        else:
            self.stats.work_done(1e3 * WORK_S)


if __name__ == "__main__":
    run(lambda: SupervisedToy("toy"))
