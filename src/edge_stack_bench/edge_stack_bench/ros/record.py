# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Records a running stack: listens to the camera and every model's results, and writes what recording.py composes of them.

A unit of work is one composed frame. Callbacks only keep messages; a thread of its own, at a lower priority than the
stack, puts each result together with the very picture that it was computed from, draws and writes. It sends nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_stack_msgs.msg import Keypoint2DArray
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from edge_stack_bench.views.frame_files import FrameWriter, open_writer
from edge_stack_bench.views.recording import DRAWN, ModelView, Status, compose, picture
from edge_stack_bench.views.report import RunRecord
from edge_stack_core.image_codec import ImageError
from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import read_array, read_rgb
from edge_stack_perception.ros.vision_messages import read_detections
from edge_stack_perception.vision.types import Detections

__all__ = ["Recorder", "main"]

RATE_HZ = 5.0
FRAMES_UNREAD = 5  # a recorder may fall behind a little without losing the pictures that results belong to
FRAMES_KEPT = 45  # 3 s of pictures at 15 Hz, for results that come late
RESULTS_KEPT = 4
STALE_S = 2.0  # a result that was not renewed for so long is not shown
DISCOVERY_S = 0.5
NICE = 10
SAY_S = 1.0  # what is missing for so long is worth a word

_KINDS: dict[str, tuple[type, QoSProfile]] = {
    "detections": (Detection2DArray, qos.result(offered=False)),
    "masks": (Image, qos.result(offered=False)),
    "keypoints": (Keypoint2DArray, qos.result(offered=False)),
    "classification": (Classification, qos.result(offered=False)),
    "label_info": (LabelInfo, qos.state()),
}

Stamp = tuple[int, int]


class _Kept:
    """The newest messages of one topic, by their stamp."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._messages: OrderedDict[Stamp, Any] = OrderedDict()
        self.arrived_s = 0.0

    def take(self, message: Any) -> None:
        stamp = message.header.stamp
        with self._lock:
            self._messages[stamp.sec, stamp.nanosec] = message
            self.arrived_s = time.monotonic()
            while len(self._messages) > self._limit:
                self._messages.popitem(last=False)

    def get(self, stamp: Stamp) -> Any:
        with self._lock:
            return self._messages.get(stamp)

    def newest(self) -> Any:
        with self._lock:
            return next(reversed(self._messages.values()), None)

    def stamps(self) -> list[Stamp]:
        """Return the stamps, the newest first."""
        with self._lock:
            return list(reversed(self._messages))


class Recorder:
    """
    Writes a recording of a running stack until it is closed.

    problem: why nothing is written any more, "" while all is well.
    """

    def __init__(
        self,
        node: Node,
        path: Path | None,
        names: Sequence[str] | None = None,
        record: RunRecord | None = None,
        rate_hz: float = RATE_HZ,
    ) -> None:
        """
        Listen through a node that somebody else spins, and start writing.

        path: .gif or .mp4; None: only current_picture() is wanted. names: model nodes, relative to the node's namespace;
        None: every one that is there. record: what the status strip tells of. rate_hz: frames a second.
        """
        self.problem = ""
        self._node = node
        self._names = names
        self._record = record
        self._period_s = 1.0 / rate_hz
        self._frames = _Kept(FRAMES_KEPT)
        self._results: dict[str, dict[str, _Kept]] = {}
        self._views: dict[str, tuple[float, Stamp, ModelView]] = {}
        self._writer: FrameWriter | None = None if path is None else open_writer(path, rate_hz, DRAWN)
        self._subscriptions = [
            node.create_subscription(
                Image, "image_raw", self._frames.take, _deeper(qos.frame(offered=False), FRAMES_UNREAD)
            )
        ]
        self._timer = node.create_timer(DISCOVERY_S, self._discover)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        if self._writer is not None:
            self._thread.start()

    def close(self) -> None:
        """Write what is left and end the file; the node is left as it was."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10.0)
        if self._writer is not None:
            self._writer.close()
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def waits_for(self) -> str:
        """Return what has not come that a recording needs, in words; empty where nothing is missing."""
        if self._frames.newest() is None:
            topic = self._node.resolve_topic_name("image_raw")
            publishers = self._node.count_publishers(topic)
            there = (
                f"{publishers} publisher{'s' * (publishers != 1)} in this domain"
                if publishers
                else "nobody publishes it"
            )
            return f"an image on {topic} ({there})"
        return "" if self._current_views() else "a model's result"

    def current_picture(self) -> tuple[NDArray[np.uint8], tuple[int, int, float]] | None:
        """
        Return the picture for a page, uint8 [h, w, 3], and how much it shows; None while there is no camera.

        How much: models with a result, instances found, sum of their scores; more is better.
        """
        frame, views = self._newest_frame(), self._current_views()
        if frame is None:
            return None
        scores = [s for view in views.values() for s in view.detections.scores]
        return picture(frame, views, self._status()), (len(views), len(scores), float(sum(scores)))

    # ---- listening ----------------------------------------------------------------------------------------------------

    def _discover(self) -> None:
        """Subscribe to what models publish, as it appears."""
        prefix = self._node.resolve_topic_name("image_raw")[: -len("image_raw")]
        for topic, _types in self._node.get_topic_names_and_types():
            if not topic.startswith(prefix):
                continue
            name, _, kind = topic[len(prefix) :].rpartition("/")
            known = self._names is None or name in self._names
            if not name or not known or kind not in _KINDS or kind in self._results.get(name, {}):
                continue
            message_type, profile = _KINDS[kind]
            kept = _Kept(RESULTS_KEPT)
            # A new dict, for the other thread may be iterating over the old one.
            self._results = {**self._results, name: {**self._results.get(name, {}), kind: kept}}
            self._subscriptions.append(
                self._node.create_subscription(message_type, topic, kept.take, _deeper(profile, RESULTS_KEPT))
            )

    # ---- drawing ------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # it then only takes its turn less politely
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + self._period_s, time.monotonic())
            if not self._write_one():
                return

    def _write_one(self) -> bool:
        frame = self._newest_frame()
        if frame is None or self._writer is None:
            return True
        try:
            self._writer.add(compose(frame, self._current_views(), self._status()), time.monotonic())
        except Exception as error:  # noqa: BLE001 (a recording that fails must not end what it records)
            self.problem = f"recording ended: {type(error).__name__}: {error}"
            self._node.get_logger().error(f"{self.problem}\n{traceback.format_exc()}")
            return False
        return True

    def _status(self) -> Status:
        return Status() if self._record is None else Status.of(self._record)

    def _newest_frame(self) -> NDArray[np.uint8] | None:
        message = self._frames.newest()
        return None if message is None else _rgb(message)

    def _current_views(self) -> Mapping[str, ModelView]:
        now_s = time.monotonic()
        for name, kinds in self._results.items():
            main = kinds.get("detections") or kinds.get("classification")
            if main is None:
                continue
            for stamp in main.stamps():
                shown = self._views.get(name)
                if shown is not None and shown[1] == stamp:
                    break
                view = self._view(kinds, stamp)
                if view is not None:
                    self._views[name] = (now_s, stamp, view)
                    break
        return {n: view for n, (since_s, _, view) in self._views.items() if now_s - since_s < STALE_S}

    def _view(self, kinds: Mapping[str, _Kept], stamp: Stamp) -> ModelView | None:
        """Put the results of one stamp and their picture together; None while a part is missing."""
        frame = self._frames.get(stamp)
        rgb = None if frame is None else _rgb(frame)
        if rgb is None:
            return None
        parts = {kind: kept.get(stamp) for kind, kept in kinds.items() if kind != "label_info"}
        if any(part is None for part in parts.values()):
            return None
        labels = kinds["label_info"].newest() if "label_info" in kinds else None
        names = [c.class_name for c in labels.class_map] if labels is not None else []
        if "classification" in parts:
            return _classified(rgb, parts["classification"], names)
        return _detected(rgb, parts, names)


def _deeper(profile: QoSProfile, depth: int) -> QoSProfile:
    deeper = copy.copy(profile)
    deeper.depth = depth
    return deeper


def _rgb(message: Image) -> NDArray[np.uint8] | None:
    try:
        return read_rgb(message)
    except ImageError:
        return None


def _classified(rgb: NDArray[np.uint8], message: Classification, names: list[str]) -> ModelView:
    names = names + sorted({r.class_id for r in message.results} - set(names))
    probabilities = np.zeros(len(names), np.float32)
    for result in message.results:
        probabilities[names.index(result.class_id)] = result.score
    none = np.zeros(0, np.float32)
    found = Detections(none.reshape(0, 4), none, none.astype(np.int32), probabilities=probabilities)
    return ModelView(rgb, found, names)


def _detected(rgb: NDArray[np.uint8], parts: Mapping[str, Any], names: list[str]) -> ModelView | None:
    message = parts["detections"]
    heard = {r.hypothesis.class_id for d in message.detections for r in d.results}
    names = names + sorted(heard - set(names))
    found = read_detections(message, names)
    rotated = found.rotated
    if rotated is not None and not rotated[:, 4].any():
        rotated = None  # boxes of a model without rotation
    masks = keypoints = None
    if "masks" in parts:
        try:
            masks = read_array(parts["masks"])
        except ImageError:
            return None
    if "keypoints" in parts:
        points = [[(k.x, k.y, k.score) for k in i.keypoints] for i in parts["keypoints"].instances]
        if len(points) == len(found) and len({len(p) for p in points}) == 1:
            keypoints = np.array(points, np.float32)
    return ModelView(
        rgb, Detections(found.boxes, found.scores, found.classes, masks, keypoints, rotated), tuple(names)
    )


# ---- as a program -----------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Record a stack that runs already; return 0 when a file was written."""
    parser = argparse.ArgumentParser(prog="edge record", description="Record a running stack.")
    parser.add_argument(
        "file", type=Path, help=".gif or .mp4: a recording; .png: the fullest picture of the time"
    )
    parser.add_argument("--duration", type=float, default=30.0, help="seconds")
    parser.add_argument("--namespace", default="", help="namespace of the stack")
    parser.add_argument("--rate", type=float, default=RATE_HZ, help="frames a second")
    options = parser.parse_args(argv)
    if options.file.suffix not in (".gif", ".mp4", ".png"):
        parser.error(f"{options.file}: the name must end in .gif, .mp4 or .png")
    if options.rate <= 0.0 or options.duration <= 0.0:
        parser.error("--rate and --duration must be above 0")
    from edge_stack_bench.ros.monitor import Monitor

    record = RunRecord(started_s=time.monotonic())
    monitor = Monitor(record, options.namespace)
    still = options.file.suffix == ".png"
    recorder = Recorder(monitor.node, None if still else options.file, None, record, options.rate)
    what = "the fullest picture" if still else "a recording"
    _say(f"{options.file}: {what} of the next {options.duration:g} s; Ctrl-C ends it sooner")
    look = _best_picture(recorder, options.file) if still else lambda: None
    try:
        _wait(options.duration, 1.0 / options.rate, look, recorder.waits_for)
    except KeyboardInterrupt:
        pass
    finally:
        recorder.close()
        monitor.close()
    if recorder.problem or not options.file.exists():
        print(
            recorder.problem or "no image_raw was heard; is the stack running in this domain?",
            file=sys.stderr,
        )
        return 1
    print(options.file)
    return 0


def _best_picture(recorder: Recorder, path: Path) -> Callable[[], None]:
    best: tuple[float, ...] = (0, 0, 0.0)

    def look() -> None:
        nonlocal best
        current = recorder.current_picture()
        if current is not None and current[1] >= best:
            if current[1][:2] > best[:2]:
                _say(f"{path}: {current[1][0]} models, {current[1][1]} instances")
            best = current[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), cv2.cvtColor(current[0], cv2.COLOR_RGB2BGR))

    return look


def _wait(duration_s: float, period_s: float, each: Callable[[], None], waits_for: Callable[[], str]) -> None:
    """Let time pass, and say what it is that has not come."""
    begin_s = time.monotonic()
    end_s, said = begin_s + duration_s, ""
    while (now_s := time.monotonic()) < end_s:
        each()
        missing = waits_for() if now_s - begin_s >= SAY_S else ""
        if missing not in ("", said):
            _say(f"waits for {missing}")
        said = missing
        time.sleep(period_s)


def _say(text: str) -> None:
    """Tell who waits; the output is the file's name alone."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
