# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The camera node: publishes image_raw and camera_info from a device, a stream, a file, a folder of pictures or another topic.

A unit of work is one frame: read, resized and converted where that was asked for, stamped with the time of its capture,
published. One worker thread does all of it, on a grid of absolute times; the executor only serves parameters, lifecycle
and the topic that is relayed. A source that is not there at configure fails the transition; one that vanishes later is
reported and opened again, and so are pictures in which nothing can be seen. It never corrects distortion.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.image_codec import convert
from edge_stack_core.picture_watch import PictureWatch
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.frames import FramePublisher, FrameSubscription
from edge_stack_core.ros.main import run
from edge_stack_core.ros.stamps import to_seconds, to_time
from edge_stack_perception.capture.base import CapturedFrame, FrameSource
from edge_stack_perception.capture.calibration import (
    Calibration,
    ideal_calibration,
    load_calibration,
    uncalibrated,
)
from edge_stack_perception.capture.folder import FolderSource
from edge_stack_perception.capture.pacing import RateGrid
from edge_stack_perception.capture.reopening import ReopeningSource
from edge_stack_perception.capture.stream import StreamSource, csi_pipeline, is_stream, public_name
from edge_stack_perception.capture.v4l2 import DeviceSettings, V4L2Source, parse_options
from edge_stack_perception.capture.video import VideoSource
from edge_stack_perception.ros.camera_parameters import DEFAULT_FRAME_ID, PARAMETERS
from edge_stack_perception.ros.topic_source import TopicSource

WAIT_S = 0.1  # one read waits no longer, so that the worker hears of a stop
JOIN_S = 5.0  # longer than OpenCV waits for a device


class CameraNode(StackNode):
    """Publishes frames of one camera, or of what stands in for it."""

    DIAGNOSTIC_TASK = "camera frames"
    PARAMETERS = PARAMETERS

    def __init__(self, name: str = "camera", **kwargs: Any) -> None:
        """Declare parameters; nothing is opened before configure."""
        self._frames: FramePublisher | None = None
        self._source: ReopeningSource | None = None  # before the base, whose first status asks for it
        super().__init__(name, **kwargs)
        self._grid = RateGrid(0.0, 0.0)
        self._grid_lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._stop = threading.Event()
        self._header = Header()
        self._calibration: Calibration | None = None
        self._info = CameraInfo()
        self._taken_size = (0, 0)
        self._warned = ""
        self._relayed: FrameSubscription | None = None
        self._pictures: PictureWatch | None = None

    # ---- lifecycle -------------------------------------------------------------------------------------------------

    def configure_node(self) -> None:
        """Open the source and read the calibration."""
        self._calibration = (
            load_calibration(self.params.camera_info_file) if self.params.camera_info_file else None
        )
        source = self._make_source()
        self._source = ReopeningSource(source)
        self._source.open()
        self._warn(source.warning)
        # Those of a topic are looked at by the subscription; in files, pictures may be equal.
        self._pictures = None
        if not isinstance(source, TopicSource):
            self._pictures = PictureWatch() if source.live else PictureWatch(frozen_s=0.0)
        # The promise to subscribers (deadline, lifespan) is what the source can keep.
        profile = qos.frame(self.target_hz())
        self._frames = FramePublisher(self, "image_raw", self.target_hz())
        self._info_publisher = self.publisher(CameraInfo, "camera_info", profile)

    def activate_node(self) -> None:
        """Start the worker."""
        # Its own event: a thread that a hanging source has kept from the last time must not go on beside the new one.
        stop = self._stop = threading.Event()
        self._grid = RateGrid(self.target_hz(), time.monotonic())
        if self._pictures is not None:
            self._pictures.forget()
        self._worker = threading.Thread(target=self._work, args=(stop,), name="camera", daemon=True)
        self._worker.start()

    def deactivate_node(self) -> None:
        """Stop the worker; the source stays open."""
        self._stop.set()
        if self._worker is not None:
            self._worker.join(JOIN_S)
            if self._worker.is_alive():
                self.get_logger().error("the source does not return; its thread is left behind")
            self._worker = None

    def cleanup_node(self) -> None:
        """Close the source."""
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()
        relayed, self._relayed = self._relayed, None
        if relayed is not None:
            relayed.close()
        if self._source is not None:
            self._source.close()
            self._source = None

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take a new rate."""
        if "rate_hz" in changed:
            with self._grid_lock:
                self._grid.set_rate(self.target_hz(), time.monotonic())

    def target_hz(self) -> float:
        """Return the wanted rate, Hz: no more than the source has."""
        source_hz = self._source.source.rate_hz if self._source is not None else 0.0
        wanted_hz = float(self.params.rate_hz)
        return min(wanted_hz, source_hz) if source_hz > 0.0 else wanted_hz

    def hardware_id(self) -> str:
        """Return where frames come from."""
        return str(self.params.topic if self.params.source == "topic" else self.params.path)

    # ---- the source ------------------------------------------------------------------------------------------------

    def _make_source(self) -> FrameSource:
        p = self.params
        if p.source == "topic":
            return self._make_topic_source()
        if not p.path:
            wanted = {
                "device": "a device such as /dev/video0",
                "csi": "the number of a camera, such as 0",
                "gstreamer": "a pipeline that ends in appsink",
                "video": "a video file or the address of a stream",
                "folder": "a folder of pictures",
            }
            raise ConfigurationError(f"parameter path: is empty; source {p.source} needs {wanted[p.source]}")
        if p.source == "csi":
            pipeline = csi_pipeline(p.path, p.width, p.height, p.fps or p.rate_hz)
            return StreamSource(pipeline, gstreamer=True, name=f"CSI camera {p.path}")
        if p.source == "gstreamer":
            return StreamSource(p.path, gstreamer=True)
        if is_stream(p.path):
            if p.source != "video":
                raise ConfigurationError(
                    f"parameter path: {public_name(p.path)} is the address of a stream; set source to video"
                )
            return StreamSource(p.path)
        if p.source == "video":
            return VideoSource(p.path, p.loop)
        if p.source == "folder":
            return FolderSource(p.path, p.loop)
        if len(p.fourcc) not in (0, 4) or not p.fourcc.isascii():
            raise ConfigurationError(
                f"parameter fourcc: {p.fourcc!r} is not four letters such as MJPG or YUYV"
            )
        options = parse_options(p.device_options)
        return V4L2Source(p.path, DeviceSettings(p.width, p.height, p.fps or p.rate_hz, p.fourcc, options))

    def _make_topic_source(self) -> TopicSource:
        if not self.params.topic:
            raise ConfigurationError("parameter topic: is empty; source topic needs the image topic to relay")
        topic = self.resolve_topic_name(self.params.topic)
        if topic == self.resolve_topic_name("image_raw"):
            raise ConfigurationError(f"parameter topic: {topic} is what this node publishes itself")
        source = TopicSource(topic, self._age_s)
        self._relayed = FrameSubscription(self, self.params.topic, source.take, name=source.name)
        info_topic = topic.rsplit("/", 1)[0] + "/camera_info"
        if info_topic != self.resolve_topic_name("camera_info"):
            self.subscription(CameraInfo, info_topic, source.take_info, qos.frame(offered=False))
        return source

    def _age_s(self, header: Header) -> float:
        return self.now_s() - to_seconds(header.stamp)

    # ---- the worker ------------------------------------------------------------------------------------------------

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._work_guarded(stop)
        if stop is self._stop:
            self.work.ended()

    def _work_guarded(self, stop: threading.Event) -> None:
        try:
            self._work_once(stop)
        except Exception as error:  # noqa: BLE001 (one bad frame must not end the camera)
            self.count_raised("frame", error)
            stop.wait(WAIT_S)

    def _work_once(self, stop: threading.Event) -> None:
        source = self._source
        if source is None or self._grid.rate_hz <= 0.0:
            self.work.waiting()
            stop.wait(WAIT_S)
            return
        # What comes by itself is taken up to half a period early: its phase against the grid wanders.
        early_s = 0.5 * self._grid.period_s if source.source.live else 0.0
        self.work.waiting(JOIN_S)
        frame = source.read(self._grid.due_s - early_s, WAIT_S)
        self._show_problem(source)
        if frame is None or stop.is_set():
            return
        self.work.busy()
        read_s = time.monotonic()
        if self._pictures is not None:
            self._pictures.look(frame.image, read_s)
        pixels = self._fitted(frame)
        converted_s = time.monotonic()
        self._publish(frame, pixels)
        done_s = time.monotonic()
        self.stats.work_done(
            (done_s - frame.captured_s) * 1e3,
            {
                "capture": (read_s - frame.captured_s) * 1e3,
                "convert": (converted_s - read_s) * 1e3,
                "publish": (done_s - converted_s) * 1e3,
            },
        )
        with self._grid_lock:
            missed = self._grid.advance(time.monotonic())
        if missed and (source.source.rate_hz > 0.0 or not source.source.live):
            self.stats.deadline_missed(missed)

    def _fitted(self, frame: CapturedFrame) -> NDArray[Any]:
        """Return the frame in the size and encoding asked for."""
        image, p = frame.image, self.params
        if frame.encoding != p.encoding and frame.encoding not in ("rgb8", "bgr8", "mono8"):
            image = convert(image, frame.encoding, "rgb8")  # resizing needs plain pixels
            encoding = "rgb8"
        else:
            encoding = frame.encoding
        height, width = image.shape[:2]
        wanted = (p.width or width, p.height or height)
        if wanted != (width, height):
            smaller = wanted[0] * wanted[1] < width * height
            image = cv2.resize(image, wanted, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        return convert(np.asarray(image), encoding, p.encoding)

    def _publish(self, frame: CapturedFrame, image: NDArray[Any]) -> None:
        header = self._header
        self._taken_size = frame.image.shape[1], frame.image.shape[0]
        header.stamp = self._stamp(frame)
        header.frame_id = (
            self.params.frame_id or (frame.origin.frame_id if frame.origin else "") or DEFAULT_FRAME_ID
        )
        if self._frames is not None:
            self._frames.publish(image, self.params.encoding, header)
        self._info_publisher.publish(self._filled_info(image.shape[1], image.shape[0]))

    def _stamp(self, frame: CapturedFrame) -> Time:
        """Return the time of capture on the node's clock; a relayed image keeps its own stamp to the nanosecond."""
        if frame.origin is not None:
            return frame.origin.stamp
        now = self.get_clock().now()
        if self.get_clock().ros_time_is_active:
            return now.to_msg()
        age_ns = max(0, int((time.monotonic() - frame.captured_s) * 1e9))
        return to_time(now.nanoseconds - age_ns)

    # ---- camera_info -----------------------------------------------------------------------------------------------

    def _filled_info(self, width: int, height: int) -> CameraInfo:
        calibration = self._optics(width, height)
        info = self._info
        info.header = self._header
        info.width, info.height = width, height
        info.distortion_model = calibration.model
        info.d = calibration.d.tolist()
        info.k, info.r, info.p = calibration.k.ravel(), calibration.r.ravel(), calibration.p.ravel()
        return info

    def _optics(self, width: int, height: int) -> Calibration:
        source = self._source.source if self._source else None
        relayed = source.camera_info if isinstance(source, TopicSource) else None
        known, what = self._calibration, f"camera_info_file {self.params.camera_info_file}"
        if known is None and self.params.fovy_deg <= 0.0 and relayed is not None and relayed.width > 0:
            known, what = _from_message(relayed), "the relayed camera_info"
        if known is None:
            fovy_deg = self.params.fovy_deg
            known = (
                ideal_calibration(width, height, fovy_deg) if fovy_deg > 0.0 else uncalibrated(width, height)
            )
        # Of the picture as the source gives it: the size that is asked for may stretch it, and the calibration with it.
        fits = known.is_of(*self._taken_size) or known.is_of(width, height)
        taken = f"{self._taken_size[0]}x{self._taken_size[1]} of {source.name if source else 'the source'}"
        text = (
            f"{what} is for pictures of {known.width}x{known.height}, which {taken} are no scaled ones of; camera_info says"
            " that the camera is not calibrated; calibrate it at this size, or set the size of the calibration"
        )
        self.report_about("calibration", "" if fits else text)
        return known.resized(width, height) if fits else uncalibrated(width, height)

    # ---- what is wrong ---------------------------------------------------------------------------------------------

    def _show_problem(self, source: ReopeningSource) -> None:
        refused = source.source.warning if isinstance(source.source, TopicSource) else ""
        if not refused:
            self._warn(source.source.warning)
        if source.problem or refused:
            self.report_problem(source.problem or refused)
        else:
            self.clear_problem()
        seen = self._pictures.problem(time.monotonic()) if self._pictures is not None else ""
        self.report_about("pictures", f"{source.source.name}: {seen}" if seen else "")

    def _warn(self, text: str) -> None:
        if text:
            self.log_state(text)


def _from_message(info: CameraInfo) -> Calibration:
    k, r, p = (np.array(m, np.float64) for m in (info.k, info.r, info.p))
    d = np.array(info.d, np.float64)
    return Calibration(
        info.width, info.height, info.distortion_model, d, k.reshape(3, 3), r.reshape(3, 3), p.reshape(3, 4)
    )


def main(argv: list[str] | None = None) -> None:
    """Run the camera node."""
    run(CameraNode, argv)


if __name__ == "__main__":
    main()
