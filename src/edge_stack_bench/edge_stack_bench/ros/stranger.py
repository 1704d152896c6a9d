# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Another program on the robot's network, careless or hostile, for the faults that such a one makes.

Its unit is one act: it finds the stack's topics, says "ready", waits for "go" on its standard input and acts until that
ends. What it measured it prints as one line of JSON. Its messages carry the frame STRANGER, so that a listener can tell them
apart from the stack's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import rclpy
from edge_stack_msgs.msg import ActionChunk, StackState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from edge_stack_bench.faults.strangers import GO, READY
from edge_stack_core.ros import qos

STRANGER = "stranger"
COMMAND_HZ = 20.0
LARGE_BYTES = 40_000_000
LARGE_PERIOD_S = 0.5
INPUTS: tuple[tuple[type, str, Callable[[], Any]], ...] = (
    (JointState, "joint_states", qos.request),
    (JointState, "target_joints", qos.request),
    (ActionChunk, "action_chunk", qos.request),
    (Detection2DArray, "detect/detections", qos.request),
    (LabelInfo, "detect/label_info", qos.state),
    (CameraInfo, "camera_info", qos.request),
    (StackState, "stack_state", qos.state),
)
"""What fusion hears in the demo, and QoS that matches its own."""
IMPLAUSIBLE_RAD = 48.0
DRIVER_PRIORITY = 50
"""Above fusion's companion_priority: threads of fusion that take in a flood must not keep the driver from its commands."""


class Stranger:
    """The program: a node that nobody manages, spun in a thread of its own."""

    def __init__(self) -> None:
        """Join the domain."""
        rclpy.init(args=sys.argv)
        self.node = Node(STRANGER)
        self.over = threading.Event()
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def publisher(self, kind: type, topic: str, profile: Any) -> Publisher:
        """Create a publisher and wait until all hear it that hear its topic."""
        publisher = self.node.create_publisher(kind, topic, profile)
        self.wait(lambda: publisher.get_subscription_count() >= max(1, self.node.count_subscribers(topic)))
        return publisher

    def joint_states(self) -> deque[JointState]:
        """Return where the robot is measured, always the newest, once that is known."""
        heard: deque[JointState] = deque(maxlen=1)
        self.node.create_subscription(
            JointState, "joint_states", lambda message: heard.append(message), qos.sensor(offered=False)
        )
        self.wait(lambda: heard)
        return heard

    def stamped(self, message: Any) -> Any:
        """Return a message as the stranger's, with the present time."""
        message.header.frame_id = STRANGER
        message.header.stamp = self.node.get_clock().now().to_msg()
        return message

    def wait(self, condition: Callable[[], Any]) -> None:
        """Wait for what another thread brings; whoever started the program sets the limit."""
        while not condition() and not self.over.is_set():
            time.sleep(0.01)

    def begin(self) -> None:
        """Say that all is ready, and wait until it is to begin; over is set when it is to end."""
        print(READY, flush=True)
        if sys.stdin.readline().strip() != GO:
            self.over.set()
        threading.Thread(target=self._until_end, daemon=True).start()

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _until_end(self) -> None:
        sys.stdin.read()
        self.over.set()


def commands(stranger: Stranger) -> None:
    """Command the robot, which is to stay where it was when this began."""
    measured = stranger.joint_states()
    publisher = stranger.publisher(JointState, "joint_command", qos.request())
    stranger.begin()
    message = JointState(name=measured[0].name, position=measured[0].position)
    while not stranger.over.is_set():
        publisher.publish(stranger.stamped(message))
        stranger.over.wait(1.0 / COMMAND_HZ)


def implausible(stranger: Stranger) -> None:
    """Tell once that a joint is where it cannot be."""
    measured = stranger.joint_states()
    publisher = stranger.publisher(JointState, "joint_states", qos.request())
    stranger.begin()
    message = measured[0]
    message.position[0] = IMPLAUSIBLE_RAD
    publisher.publish(stranger.stamped(message))
    stranger.over.wait()


def large_inputs(stranger: Stranger) -> None:
    """Send each input of fusion in turn a message of 40 MB."""
    _send_large(stranger, INPUTS)


def large_command(stranger: Stranger) -> None:
    """Send commands of 40 MB."""
    _send_large(stranger, ((JointState, "joint_command", qos.request),))


def _send_large(stranger: Stranger, topics: Sequence[tuple[type, str, Callable[[], Any]]]) -> None:
    made = [(kind, stranger.publisher(kind, topic, profile())) for kind, topic, profile in topics]
    text = STRANGER.ljust(LARGE_BYTES)
    data = {
        kind: serialize_message(kind(header=Header(frame_id=text))) for kind in {kind for kind, _ in made}
    }
    stranger.begin()
    sent = 0
    while not stranger.over.is_set():
        kind, publisher = made[sent % len(made)]
        publisher.publish(data[kind])
        sent += 1
        stranger.over.wait(LARGE_PERIOD_S)
    print(json.dumps({"large_sent": sent}), flush=True)


def listen(stranger: Stranger) -> None:
    """Hear the commands as a robot's driver does, and measure the longest time without one."""
    arrivals: list[float] = []
    stranger.node.create_subscription(
        JointState,
        "joint_command",
        lambda _: arrivals.append(time.monotonic()),
        qos.command(0.0, offered=False),
        raw=True,
    )
    stranger.wait(lambda: arrivals)
    stranger.begin()
    begin_s = time.monotonic()
    stranger.over.wait()
    times = [begin_s, *(at_s for at_s in list(arrivals) if at_s > begin_s), time.monotonic()]
    gap_ms = max(b - a for a, b in pairwise(times)) * 1e3
    print(json.dumps({"subscriber_gap_ms": round(gap_ms, 1)}), flush=True)


ACTS: dict[str, Callable[[Stranger], None]] = {
    act.__name__: act for act in (commands, implausible, large_inputs, large_command, listen)
}


def main() -> int:
    """Do the act that is the first argument."""
    if len(sys.argv) < 2 or sys.argv[1] not in ACTS:
        print(f"stranger: give one of {', '.join(ACTS)}", file=sys.stderr)
        return 2
    if sys.argv[1] == listen.__name__:
        with contextlib.suppress(PermissionError):  # where it is not allowed, neither would a driver be
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(DRIVER_PRIORITY))
    stranger = Stranger()
    try:
        ACTS[sys.argv[1]](stranger)
    finally:
        stranger.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
