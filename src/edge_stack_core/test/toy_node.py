# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A small node on the base class, for the tests of the base class: echoes numbers and fails where it is told to."""

from __future__ import annotations

import time

from std_msgs.msg import Float64

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.main import run
from edge_stack_core.ros.parameters import Parameter


class ToyNode(StackNode):
    """Publishes number * gain for each number."""

    PARAMETERS = (
        Parameter("gain", 2.0, "Factor.", minimum=0.0, maximum=10.0, live=True),
        Parameter("model", "", "File; a missing one fails configure."),
        Parameter("mode", "fast", "A choice.", choices=("fast", "slow")),
        Parameter("configure_s", 0.0, "How long configure takes, s.", minimum=0.0, maximum=60.0),
        Parameter("fail_activate", False, "Whether activate raises.", live=True),
        Parameter("tiny", 1e-05, "A number that YAML writes with an exponent.", minimum=0.0, maximum=1.0),
        Parameter("weights", (1.0, 1e-05), "Numbers, of which one is tiny.", minimum=0.0, maximum=1.0),
        Parameter("names", (), "Names.", element=str),
        Parameter("flags", (), "Truths.", element=bool),
        Parameter("gains", (), "Numbers.", element=float, minimum=0.0, maximum=1.0),
        Parameter("word", "off", "A word that YAML reads as a truth.", choices=("on", "off")),
        Parameter("text", "0123", "A text that YAML reads as a number."),
    )

    def configure_node(self) -> None:
        time.sleep(self.params.configure_s)
        if self.params.model == "missing":
            raise ConfigurationError("model: missing.onnx does not exist; set model to an .onnx file")
        self.out = self.publisher(Float64, "out", qos.result())
        self.subscription(Float64, "in", self.take, qos.result())

    def activate_node(self) -> None:
        if self.params.fail_activate:
            raise RuntimeError("told to fail")

    def take(self, message: Float64) -> None:
        if message.data < 0:
            raise ValueError("negative")
        if message.data > 1e3:
            self.report_problem(f"in: {message.data:g} is too much")
        self.out.publish(Float64(data=message.data * self.params.gain))
        self.stats.work_done(1.0, {"multiply": 0.5})


def main() -> None:
    run(lambda: ToyNode("toy"))


if __name__ == "__main__":
    main()
