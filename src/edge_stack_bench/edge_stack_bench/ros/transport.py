# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How long a camera frame takes from one process to others, and how many arrive.

Its unit is one row: one publisher process and one to five subscriber processes, one frame size, one configuration.
Latency runs from the call that publishes to the moment the receiver has the picture as an array and has read from it.

- ros_default: plain rclpy publisher and subscriptions, best effort, keep last 1, nothing configured.
- ros_profile: the same with the shipped Fast DDS profile and glibc settings.
- edge_stack: the stack's own frames, in shared memory, with that environment. Where their time goes, stage by stage: write
  (the publisher's call until the frame is whole), wake (until the subscriber's callback has it), copy (until it has the
  picture).

Frames count from the moment when every subscriber has said that it gets them: first frames fill caches and buffers, and
the last subscriber's discovery takes its time. Each counted frame that a subscriber lacks is missing from `received`.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_bench.benchmarks import common

CONFIGS = ("ros_default", "ros_profile", "edge_stack")
SIZES = ((640, 480), (1280, 720), (1920, 1080))
RATE_HZ = 30.0
# At least so many frames come before those that count; and what never gets any (ros_default with large frames) is waited
# for so long.
WARM_UP = 30
READY_S = 15.0
READY = "ready\n"
_TOPIC = "bench_image"


def run(seconds: float, fanouts: tuple[int, ...], report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every size, fanout and configuration; report gets a line of progress for each."""
    rows = []
    for width, height in SIZES:
        copy_ms, paced_ms = memcpy_ms(width * height * 3), memcpy_ms(width * height * 3, 60, 1.0 / RATE_HZ)
        for fanout in fanouts:
            for config in CONFIGS:
                report(f"{width}x{height}, {fanout} subscriber(s), {config}")
                row = measure(width, height, fanout, config, seconds)
                rows.append({**row, "memcpy_ms": copy_ms, "memcpy_paced_ms": paced_ms})
    return rows


def memcpy_ms(size: int, rounds: int = 200, period_s: float = 0.0) -> float:
    """
    Return the median time to copy that many bytes into memory that is there already, ms.

    period_s: pause between copies. Without one the caches hold what is copied; as frames come, they do not.
    """
    source = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    target = np.zeros_like(source)
    times = []
    for _ in range(rounds):
        time.sleep(period_s)
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
        until_s = time.monotonic() + READY_S
        ready = sum(_says_ready(child, until_s - time.monotonic()) for child in children)
        sent = _result(publisher, seconds + 60.0, say="go\n")
        received = [_result(child, 60.0) for child in children]
    cpu_s = sent["cpu_s"] + sum(r["cpu_s"] for r in received)
    row: dict[str, Any] = {
        "size": f"{width}x{height}",
        "fanout": fanout,
        "config": config,
        "sent": count * fanout,
        "received": sum(len(r["latency_ms"]) for r in received),
        "latency_ms": _quantiles(received, "latency_ms"),
        "cpu_pct": round(100.0 * cpu_s / sent["wall_s"], 1),
        "ready": ready,
    }
    if config == "edge_stack":
        stages = ("write", "wake", "copy")
        row["stages_ms"] = {name: _quantiles(received, f"{name}_ms")["p50"] for name in stages}
    return row


def _quantiles(received: list[dict[str, Any]], name: str) -> dict[str, float | None]:
    values = np.concatenate([np.asarray(r[name], float) for r in received])
    quantiles = np.percentile(values, (50, 99, 100)).tolist() if len(values) else [None] * 3
    rounded = (None if q is None else round(q, 4) for q in quantiles)
    return dict(zip(("p50", "p99", "max"), rounded, strict=True))


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
    notes = ["CPU %: of one core, publisher and all subscribers together, while frames count"]
    return common.report(options, "transport", rows, notes, rate_hz=RATE_HZ)


def _environment(config: str) -> dict[str, str]:
    from edge_stack_core.process_environment import PROFILE_VARIABLES, process_environment

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
    command = [sys.executable, "-m", "edge_stack_bench.ros.transport", *arguments]
    child = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _says_ready(child: subprocess.Popen[str], timeout_s: float) -> bool:
    """Wait for a subscriber's first frame."""
    assert child.stdout is not None
    readable, _, _ = select.select([child.stdout], [], [], max(0.0, timeout_s))
    return bool(readable) and child.stdout.readline() == READY


def _result(child: subprocess.Popen[str], timeout_s: float, say: str | None = None) -> dict[str, Any]:
    output, _ = child.communicate(say, timeout_s)
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


# ---- in the children ------------------------------------------------------------------------------------------------


def _publish(options: argparse.Namespace, fanout: int) -> dict[str, Any]:
    """Send frames on an absolute grid; they count once standard input says so. Stamps are CLOCK_MONOTONIC."""
    from std_msgs.msg import Header

    rng = np.random.default_rng(0)
    shape = (options.height, options.width, 3)
    # Several pictures, so that no cache holds the one that is sent.
    pictures = [rng.integers(0, 255, shape, np.uint8) for _ in range(4)]
    with _endpoint(options.config) as (node, spin_once):
        send, listeners = _sender(node, options.config)
        while listeners() < fanout:
            spin_once(0.02)
        origin_s = time.monotonic()

        def send_next(i: int, number: int) -> None:
            time.sleep(max(0.0, origin_s + i / RATE_HZ - time.monotonic()))
            header = Header(frame_id=str(number))
            header.stamp.sec, header.stamp.nanosec = divmod(time.monotonic_ns(), 1_000_000_000)
            send(pictures[i % 4], header)
            spin_once(0.0)

        warm = 0
        while warm < WARM_UP or not select.select([sys.stdin], [], [], 0.0)[0]:
            send_next(warm, -1)
            warm += 1
        began_s, cpu_s = time.monotonic(), time.process_time()
        for number in range(options.count):
            send_next(warm + number, number)
        wall_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        # A tiny picture, which arrives in every configuration.
        header = Header(frame_id="end")
        for _ in range(40):
            send(np.zeros((1, 1, 3), np.uint8), header)
            spin_once(0.05)
    return {"wall_s": wall_s, "cpu_s": cpu_s}


def _subscribe(options: argparse.Namespace) -> dict[str, Any]:
    """Take frames until the last one, and note how old each is when its picture is in hand."""
    samples: dict[str, list[float]] = {name: [] for name in ("latency_ms", "write_ms", "wake_ms", "copy_ms")}
    counted: set[int] = set()
    cpu_s: list[float] = []
    ended = threading.Event()

    def take(header: Any, written_ns: int, picture: Callable[[], NDArray[np.uint8]]) -> None:
        taken_ns = time.monotonic_ns()
        if header.frame_id == "end":
            if not ended.is_set():
                cpu_s.append(time.process_time())
                ended.set()
            return
        rgb = picture()
        int(rgb[0, 0, 0]) + int(rgb[-1, -1, -1])
        now_ns = time.monotonic_ns()
        number = int(header.frame_id)
        if not cpu_s:
            print(READY, end="", flush=True)
            cpu_s.append(time.process_time())
        if number < 0:
            cpu_s[0] = time.process_time()
            return
        if number in counted:
            return
        counted.add(number)
        sent_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        moments = (sent_ns, written_ns or taken_ns, taken_ns, now_ns)
        for name, begin_ns, end_ns in zip(
            ("write_ms", "wake_ms", "copy_ms"), moments, moments[1:], strict=False
        ):
            samples[name].append((end_ns - begin_ns) * 1e-6)
        samples["latency_ms"].append((now_ns - sent_ns) * 1e-6)

    with _endpoint(options.config) as (node, spin_once):
        end = _receiver(node, options.config, take)
        end_s = time.monotonic() + options.count / RATE_HZ + 90.0
        while not ended.is_set() and time.monotonic() < end_s:
            spin_once(0.1)
        end()
    return {**samples, "cpu_s": cpu_s[-1] - cpu_s[0] if cpu_s else 0.0}


@contextlib.contextmanager
def _endpoint(config: str) -> Iterator[tuple[Any, Callable[[float], None]]]:
    """Yield a node (of the stack for edge_stack, a plain one otherwise) and what spins it."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from edge_stack_core.ros.base import StackNode

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

    from edge_stack_core.ros import qos
    from edge_stack_core.ros.frames import FramePublisher, shared_topic
    from edge_stack_core.ros.image_messages import fill_image

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
    node: Any, config: str, take: Callable[[Any, int, Callable[[], NDArray[np.uint8]]], None]
) -> Callable[[], object]:
    """Subscribe, and return what ends it. take: gets header, when the frame was whole (0: unknown), and picture."""
    from sensor_msgs.msg import Image

    from edge_stack_core.ros import qos
    from edge_stack_core.ros.frames import FrameSubscription, SharedMemoryFrame
    from edge_stack_core.ros.image_messages import read_rgb

    if config == "edge_stack":

        def take_frame(frame: Any) -> None:
            written_ns = frame.stored.written_ns if isinstance(frame, SharedMemoryFrame) else 0
            take(frame.header, written_ns, frame.rgb)

        frames = FrameSubscription(node, _TOPIC, take_frame, RATE_HZ)
        node.trigger_activate()
        return frames.close
    subscription = node.create_subscription(
        Image, _TOPIC, lambda m: take(m.header, 0, lambda: read_rgb(m)), qos.frame(0.0, offered=False)
    )
    return lambda: node.destroy_subscription(subscription)


if __name__ == "__main__":
    sys.exit(main())
