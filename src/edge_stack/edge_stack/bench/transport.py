# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How long a camera frame takes from one process to others, and how many arrive.

Its unit is one row: one publisher process and one to five subscriber processes, one frame size, one configuration.
Latency runs from the call that publishes to the moment the receiver has the picture as an array and has read from it.

- ros_default: plain rclpy publisher and subscriptions, best effort, keep last 1, nothing configured.
- ros_profile: the same with the shipped Fast DDS profile and glibc settings.
- edge_stack: the stack's own frames (shared memory announced by a small message) with that environment.

The first frames, which fill caches and buffers, are sent but not counted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack.bench import common

CONFIGS = ("ros_default", "ros_profile", "edge_stack")
SIZES = ((640, 480), (1280, 720), (1920, 1080))
RATE_HZ = 30.0
WARM_UP = 30
_TOPIC = "bench_image"


def run(seconds: float, fanouts: tuple[int, ...], report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every size, fanout and configuration; report gets a line of progress for each."""
    rows = []
    for width, height in SIZES:
        copy_ms = memcpy_ms(width * height * 3)
        for fanout in fanouts:
            for config in CONFIGS:
                report(f"{width}x{height}, {fanout} subscriber(s), {config}")
                row = measure(width, height, fanout, config, seconds)
                rows.append({**row, "memcpy_ms": copy_ms})
    return rows


def memcpy_ms(size: int, rounds: int = 200) -> float:
    """Return the median time to copy that many bytes into memory that is there already, ms."""
    source = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    target = np.zeros_like(source)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1e3, 4)


def measure(width: int, height: int, fanout: int, config: str, seconds: float) -> dict[str, Any]:
    """Measure one row."""
    count = int(seconds * RATE_HZ)
    environment = _environment(config)
    shape = ["--width", str(width), "--height", str(height), "--count", str(count), "--config", config]
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(_child(["--role", "subscriber", *shape], environment)) for _ in range(fanout)
        ]
        publisher = stack.enter_context(
            _child(["--role", "publisher", "--fanout", str(fanout), *shape], environment)
        )
        sent = _result(publisher, seconds + 60.0)
        received = [_result(child, 60.0) for child in children]
    latencies = np.concatenate([np.asarray(r["latency_ms"]) for r in received])
    quantiles = np.percentile(latencies, (50, 99, 100)).tolist() if len(latencies) else [float("nan")] * 3
    cpu_s = sent["cpu_s"] + sum(r["cpu_s"] for r in received)
    return {
        "size": f"{width}x{height}",
        "fanout": fanout,
        "config": config,
        "sent": count * fanout,
        "received": len(latencies),
        "latency_ms": dict(
            zip(("p50", "p99", "max"), (round(q, 4) if q == q else None for q in quantiles), strict=True)
        ),
        "cpu_pct": round(100.0 * cpu_s / sent["wall_s"], 1),
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench transport", description=__doc__.split("\n\n")[0])
    common.add_output_options(parser)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured time of each row (default: 8)")
    parser.add_argument("--fanout", type=int, action="append", help="subscribers (default: 1 and 5)")
    for name in ("--role", "--config"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    for name in ("--width", "--height", "--count"):
        parser.add_argument(name, type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.role == "publisher":
        print(json.dumps(_publish(options, options.fanout[0])))
        return 0
    if options.role == "subscriber":
        print(json.dumps(_subscribe(options)))
        return 0
    fanouts = tuple(options.fanout or (1, 5))
    rows = run(options.seconds, fanouts, lambda line: print(line, file=sys.stderr, flush=True))
    notes = ["CPU %: of one core, publisher and all subscribers together, warm-up included"]
    return common.report(options, "transport", rows, notes, rate_hz=RATE_HZ)


def _environment(config: str) -> dict[str, str]:
    from edge_stack.runner.environment import PROFILE_VARIABLES, process_environment

    base = {k: v for k, v in os.environ.items() if k not in PROFILE_VARIABLES and not k.startswith("MALLOC_")}
    # A domain of its own, so that nothing else of this machine listens.
    base["ROS_DOMAIN_ID"] = os.environ.get("ROS_DOMAIN_ID", "77")
    if config == "ros_default":
        base["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        return base
    if base.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "SYSTEM_DEFAULT":
        del base["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    return process_environment(base, frames=True)


@contextlib.contextmanager
def _child(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "edge_stack.bench.transport", *arguments]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _result(child: subprocess.Popen[str], timeout_s: float) -> dict[str, Any]:
    output, _ = child.communicate(timeout=timeout_s)
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


# ---- in the children ------------------------------------------------------------------------------------------------


def _publish(options: argparse.Namespace, fanout: int) -> dict[str, Any]:
    """Send frames on an absolute grid once every subscriber is there; stamps are CLOCK_MONOTONIC."""
    from std_msgs.msg import Header

    rng = np.random.default_rng(0)
    shape = (options.height, options.width, 3)
    # Several pictures, so that no cache holds the one that is sent.
    pictures = [rng.integers(0, 255, shape, np.uint8) for _ in range(4)]
    with _endpoint(options.config) as (node, spin_once):
        send, listeners = _sender(node, options.config)
        while listeners() < fanout:
            spin_once(0.02)
        began_s, cpu_s = time.monotonic(), time.process_time()
        for i in range(-WARM_UP, options.count):
            due_s = began_s + (i + WARM_UP) / RATE_HZ
            time.sleep(max(0.0, due_s - time.monotonic()))
            header = Header(frame_id=str(i))
            header.stamp.sec, header.stamp.nanosec = divmod(time.monotonic_ns(), 1_000_000_000)
            send(pictures[i % 4], header)
            spin_once(0.0)
        wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        # A tiny picture, which arrives in every configuration.
        header = Header(frame_id="end")
        for _ in range(40):
            send(np.zeros((1, 1, 3), np.uint8), header)
            spin_once(0.05)
    return {"wall_s": wall_s, "cpu_s": cpu_s}


def _subscribe(options: argparse.Namespace) -> dict[str, Any]:
    """Take frames until the last one, and note how old each is when its picture is in hand."""
    latencies: list[float] = []
    ended = threading.Event()

    def take(frame_id: str, stamp: Any, picture: Callable[[], NDArray[np.uint8]]) -> None:
        if frame_id == "end":
            ended.set()
            return
        rgb = picture()
        int(rgb[0, 0, 0]) + int(rgb[-1, -1, -1])
        if int(frame_id) >= 0:
            latencies.append((time.monotonic_ns() - stamp.sec * 1_000_000_000 - stamp.nanosec) * 1e-6)

    with _endpoint(options.config) as (node, spin_once):
        cpu_s = time.process_time()
        keep = _receiver(node, options.config, take)
        end_s = time.monotonic() + options.count / RATE_HZ + 90.0
        while not ended.is_set() and time.monotonic() < end_s:
            spin_once(0.1)
        cpu_s = time.process_time() - cpu_s
        del keep
    return {"latency_ms": latencies, "cpu_s": cpu_s}


@contextlib.contextmanager
def _endpoint(config: str) -> Iterator[tuple[Any, Callable[[float], None]]]:
    """Yield a node (of the stack for edge_stack, a plain one otherwise) and what spins it."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from edge_stack.nodes.base import StackNode

    rclpy.init()
    name = f"bench_{os.getpid()}"
    node = StackNode(name) if config == "edge_stack" else rclpy.create_node(name)
    if isinstance(node, StackNode):
        node.trigger_configure()  # activated once its topics are made
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        yield node, lambda timeout_s: executor.spin_once(timeout_sec=timeout_s)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _sender(node: Any, config: str) -> tuple[Callable[[NDArray[np.uint8], Any], None], Callable[[], int]]:
    """Return what sends a picture, and what counts who listens."""
    from sensor_msgs.msg import Image

    from edge_stack.nodes import qos
    from edge_stack.nodes.frames import FramePublisher, shared_topic
    from edge_stack.nodes.image_messages import fill_image

    if config == "edge_stack":
        frames = FramePublisher(node, _TOPIC, RATE_HZ)
        atexit.register(frames.close)
        node.trigger_activate()
        return (
            lambda picture, header: frames.publish(picture, "rgb8", header),
            lambda: int(node.count_subscribers(shared_topic(_TOPIC))),
        )
    publisher = node.create_publisher(Image, _TOPIC, qos.frame(0.0))
    message = Image()

    def send(picture: NDArray[np.uint8], header: Any) -> None:
        fill_image(message, picture, "rgb8")
        message.header = header
        publisher.publish(message)

    return send, publisher.get_subscription_count


def _receiver(
    node: Any, config: str, take: Callable[[str, Any, Callable[[], NDArray[np.uint8]]], None]
) -> Any:
    """Subscribe, and return what must be kept."""
    from sensor_msgs.msg import Image

    from edge_stack.nodes import qos
    from edge_stack.nodes.frames import FrameSubscription
    from edge_stack.nodes.image_messages import read_rgb

    if config == "edge_stack":
        frames = FrameSubscription(
            node, _TOPIC, lambda f: take(f.header.frame_id, f.header.stamp, f.rgb), RATE_HZ
        )
        node.trigger_activate()
        return frames
    return node.create_subscription(
        Image,
        _TOPIC,
        lambda m: take(m.header.frame_id, m.header.stamp, lambda: read_rgb(m)),
        qos.frame(0.0, offered=False),
    )


if __name__ == "__main__":
    sys.exit(main())
