# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A node for the tests of the supervisor: loads as slowly, and fails as often, as it is told to."""

from __future__ import annotations

import time
from pathlib import Path

from edge_stack.errors import ConfigurationError
from edge_stack.nodes.base import StackNode
from edge_stack.nodes.main import run
from edge_stack.nodes.parameters import Parameter


class SupervisedToy(StackNode):
    """Does nothing, at a rate."""

    PARAMETERS = (
        Parameter("rate_hz", 1.0, "Rate of doing nothing, Hz.", minimum=0.0, maximum=50.0, live=True),
        Parameter("configure_s", 0.0, "How long configure takes, s.", minimum=0.0, maximum=60.0),
        Parameter("needs_file", "", "File that must exist at configure."),
    )

    def configure_node(self) -> None:
        time.sleep(self.params.configure_s)  # stands for loading a model, which blocks as well
        if self.params.needs_file and not Path(self.params.needs_file).exists():
            raise ConfigurationError(f"needs_file: {self.params.needs_file} does not exist")


if __name__ == "__main__":
    run(lambda: SupervisedToy("toy"))
