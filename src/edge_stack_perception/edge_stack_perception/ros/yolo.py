# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The yolo node: one vision model of one task over the newest camera frame, at its own rate.

Its unit of work is one frame. Whoever brings frames only keeps the newest; a thread of its own prepares, infers, decodes
and publishes, on a grid of releases whose rate changes live (0 pauses). Frames that are too old, from the future or
malformed are counted and give no result. It never queues frames, never reads ahead, and draws only while somebody looks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_stack_msgs.msg import Keypoint2DArray, ModelTiming
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from edge_stack_core import stamps
from edge_stack_core.admission import Refused
from edge_stack_core.admission.choice import OFF
from edge_stack_core.board.slowdown import ClockSlowdown
from edge_stack_core.device import is_cuda, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.image_codec import ImageError
from edge_stack_core.node_statistics import StatisticsSnapshot
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.frames import Frame, FrameGoneError, FrameSubscription
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.main import run
from edge_stack_core.ros.stamps import to_nanoseconds, to_seconds
from edge_stack_core.runtime.pacing import PacedWorker
from edge_stack_inference.engines import ModelError
from edge_stack_inference.engines.onnxruntime import OnnxEngine
from edge_stack_inference.engines.triton import TritonEngine
from edge_stack_inference.model_files import find_model
from edge_stack_inference.ros.tls_parameters import tls_files
from edge_stack_inference.splitting import Admissions, SlicePlan
from edge_stack_inference.splitting.engine import PieceEngine, SegmentedEngine
from edge_stack_inference.triton.address import is_served
from edge_stack_inference.triton.client import ServerUnavailable
from edge_stack_perception.ros import vision_messages
from edge_stack_perception.ros.yolo_admission import YoloAdmission, refusal_text
from edge_stack_perception.ros.yolo_parameters import PARAMETERS
from edge_stack_perception.vision.draw import annotate
from edge_stack_perception.vision.model import VisionModel
from edge_stack_perception.vision.quality import noise_sigma
from edge_stack_perception.vision.types import Detections, StageTimes

IMAGE_TOPIC = "image_raw"
# How long a deactivation waits for the inference that runs, s.
STOP_LIMIT_S = 10.0
# How long an inference waits for its admission before it is given up, s.
WAIT_LIMIT_S = 1.0
# How long the status still tells of the last refused frame while others are fine, s.
PROBLEM_SHOWN_S = 2.0


class YoloNode(StackNode):
    """Publishes what one model finds in the newest frame."""

    PARAMETERS = PARAMETERS
    DIAGNOSTIC_TASK = "model inference"

    def __init__(self, name: str = "yolo", **kwargs: Any) -> None:
        """Declare; the model is loaded at configure."""
        super().__init__(name, **kwargs)
        self._model: VisionModel | None = None
        self._worker: PacedWorker[Frame] | None = None
        self._admission: YoloAdmission | None = None
        self._admissions = Admissions()
        self._slices: PieceEngine | None = None
        self._clock_slowdown = ClockSlowdown("")
        self._frames: FrameSubscription | None = None
        self._outputs: dict[str, LifecyclePublisher] = {}
        self._mask_image = Image()
        self._debug_image = Image()
        self._refused_s = -PROBLEM_SHOWN_S

    # ---- lifecycle ------------------------------------------------------------------------------------------------------

    def configure_node(self) -> None:
        """Load the model and create what its task publishes."""
        p = self.params
        device = parse_device(p.device)
        cv2.setNumThreads(p.threads)
        self._clock_slowdown = ClockSlowdown(p.board)
        self._admissions = Admissions(None, WAIT_LIMIT_S, self.work.waiting, self.work.busy)
        try:
            if is_served(p.model):
                self._model = self._open_served(device)
            else:
                self._model = self._open_model(find_model(p.model, p.task), device)
        except ModelError as error:
            raise ConfigurationError(f"model: {error}") from error
        self._join_admission(device)
        topics: dict[str, type] = {"timing": ModelTiming, "debug_image": Image}
        if p.task == "classify":
            topics["classification"] = Classification
        else:
            topics["detections"] = Detection2DArray
        if p.task == "segment":
            topics["masks"] = Image
        if p.task == "pose":
            topics["keypoints"] = Keypoint2DArray
        self._outputs = {
            name: self.publisher(kind, f"~/{name}", qos.result(p.rate_hz)) for name, kind in topics.items()
        }
        self._outputs["label_info"] = self.publisher(LabelInfo, "~/label_info", qos.state())
        self._frames = FrameSubscription(self, IMAGE_TOPIC, self._take_frame, p.image_rate_hz)
        meta = self._model.meta
        self.get_logger().info(
            f"{p.task} model with {len(meta.names)} classes, input {meta.imgsz[1]}x{meta.imgsz[0]}, {meta.layout},"
            f" on {self._model.engine.name}"
        )

    def _open_model(self, path: Path, device: str) -> VisionModel:
        """Open the model for its device: whole, or in slices that are admitted one by one."""
        p = self.params
        on_gpu, split = is_cuda(device), p.when_too_long == "split"
        if split and p.admission == OFF:
            raise ConfigurationError(
                "when_too_long: split needs admission, by which slices run one by one, and it is off: set admission: auto,"
                " or leave when_too_long at lower_rate"
            )
        if not on_gpu and not split:
            return VisionModel.open(path, p.task, p.engine, p.threads)
        if p.engine not in ("auto", OnnxEngine.name):
            where = f"device {device}" if on_gpu else "when_too_long: split"
            raise ConfigurationError(f"{where} needs engine {OnnxEngine.name}, and it is {p.engine}")
        if on_gpu:
            # Only whoever asks for a GPU needs what it stands on.
            from edge_stack_inference.engines.cuda import CudaEngine

            # A whole inference is one slice: what is prepared and decoded on the processor needs no turn of the GPU.
            self._slices = CudaEngine(device, p.split_ms if split else 0.0, self._admissions)
        else:
            self._slices = SegmentedEngine(p.split_ms, self._admissions)
        model = VisionModel.open(
            path, p.task, self._slices, p.threads, self._admissions, on_processor=not on_gpu
        )
        if split:
            self._say_plan(self._slices.plan, path)
        return model

    def _open_served(self, device: str) -> VisionModel:
        """Use a model on a server. Admission, if one is asked, admits what is done here: preparing and decoding."""
        p = self.params
        if p.when_too_long == "split" or is_cuda(device):
            raise ConfigurationError(
                "a model on a server is neither split nor run on a GPU here: leave when_too_long as it is, and device at cpu"
            )
        if p.engine not in ("auto", TritonEngine.name):
            raise ConfigurationError(f"engine {p.engine} opens files; leave it at auto for {p.model}")
        server = TritonEngine(p.model, p.priority_class, self._server_limit_s, tls_files(p))
        return VisionModel.served(server, p.task, self._admissions)

    def _server_limit_s(self) -> float:
        """Return how long a server's answer is waited for: until the next frame is due, unless set otherwise."""
        return float(self.params.server_timeout_s or 1.0 / max(self.params.rate_hz, 1.0))

    def _say_plan(self, plan: SlicePlan, path: Path) -> None:
        slices, longest_ms, split_ms = len(plan.slices), plan.longest_ms, self.params.split_ms
        self.get_logger().info(f"{plan.whole_ms:.1f} ms in {slices} slices, the longest {longest_ms:.1f} ms")
        if longest_ms > split_ms:
            self.get_logger().warning(
                f"{path} cannot be cut finer: its longest slice takes {longest_ms:.1f} ms, split_ms is {split_ms:g}"
            )

    def _join_admission(self, device: str) -> None:
        p = self.params
        name = self.get_fully_qualified_name()
        self._admission = admission = YoloAdmission(
            p.admission, device, name, p.when_too_long, self._deadline_s()
        )
        if admission.job is not None and self._slices is not None:
            self._slices.prime(admission.job)
        log = self.get_logger()
        (log.warning if admission.problem else log.info)(admission.plan())

    def activate_node(self) -> None:
        """Tell the labels and start the worker."""
        if self._model is None:
            raise ConfigurationError(
                "model: an inference that hangs has kept it; clean up and configure the node anew"
            )
        self._publish_labels()
        self._worker = PacedWorker(
            self._work,
            self.params.rate_hz,
            skipped=self.stats.dropped,
            failed=lambda error: self.work_failed(IMAGE_TOPIC, error),
            progress=self.work,
            name="inference",
        )
        self._worker.start()

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take a new rate at once; thresholds are read at every inference."""
        if "rate_hz" in changed and self._worker is not None:
            self._worker.set_rate(changed["rate_hz"])
        if "confidence" in changed and self.is_active:
            self._publish_labels()

    def deactivate_node(self) -> None:
        """End the worker and keep the model."""
        worker, self._worker = self._worker, None
        if worker is not None and not worker.stop(STOP_LIMIT_S):
            self.get_logger().error(f"the inference that runs did not end within {STOP_LIMIT_S:.0f} s")
            self._model = None  # it is in use: left to the inference rather than closed under it

    def cleanup_node(self) -> None:
        """Free the model."""
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.close()
        self._admissions, self._slices = Admissions(), None
        model, self._model = self._model, None
        self._outputs = {}
        self._mask_image, self._debug_image = Image(), Image()
        if model is not None:
            model.close()

    def hardware_id(self) -> str:
        """Return what the model runs on: a device, or a server's address."""
        return str(self.params.model if is_served(self.params.model) else self.params.device)

    def diagnostic_values(self, figures: StatisticsSnapshot) -> dict[str, str]:
        """Add whether admission is asked for, and why."""
        admission = self._admission
        values = super().diagnostic_values(figures)
        return {**values, "admission": admission.text()} if admission is not None else values

    # ---- work -----------------------------------------------------------------------------------------------------------

    def _take_frame(self, frame: Frame) -> None:
        """Keep a frame as the newest one (any thread)."""
        worker = self._worker
        if to_nanoseconds(frame.header.stamp) == 0:  # of its arrival; results bear it
            frame.header.stamp = self.get_clock().now().to_msg()
        if worker is not None and self._is_fresh(frame.header):
            worker.offer(frame)

    def _is_fresh(self, header: Header) -> bool:
        """Whether a frame's stamp is near enough to now; counts and says why not."""
        p = self.params
        try:
            age_s = stamps.age_s(to_seconds(header.stamp), self.now_s(), self.stamp_tolerance_s)
        except stamps.StampAheadError as error:
            self._refuse("from_future", f"frames are refused: their {error}")
            return False
        if age_s > p.max_frame_age_s:
            self._refuse(
                "too_old", f"frames older than max_frame_age_s ({p.max_frame_age_s:g} s) are refused"
            )
            return False
        return True

    def _refuse(self, reason: str, text: str) -> None:
        self._refused_s = time.monotonic()
        self.stats.event(IMAGE_TOPIC, reason)
        self.report_problem(f"{IMAGE_TOPIC}: {text}")

    def _work(self, frame: Frame, release_s: float) -> None:
        """Infer on one frame and publish the results (worker)."""
        model, outputs = self._model, self._outputs
        # It waited for its release, perhaps long.
        if model is None or not self._is_fresh(frame.header):
            return
        p = self.params
        start = time.perf_counter()
        try:
            rgb = frame.rgb()
        except ImageError as error:
            self._refuse("malformed", f"a malformed frame is refused: {error}")
            return
        except FrameGoneError:
            self.stats.event(IMAGE_TOPIC, "overwritten")
            self.stats.dropped()
            return
        if p.max_noise > 0.0:
            self._look_at_noise(rgb, p.max_noise)
        converting_ms = (time.perf_counter() - start) * 1e3
        try:
            detections, times = self._infer(model, rgb)
        except Refused as refusal:
            self.stats.event("admission", "refused")
            self.stats.dropped()
            self._refused_s = time.monotonic()
            self.report_problem(refusal_text(refusal))
            return
        except ServerUnavailable as error:
            self.stats.event("server", "unavailable")
            self.stats.dropped()
            self._refused_s = time.monotonic()
            self.report_problem(str(error))
            return
        if not detections.is_finite():
            self._refused_s = time.monotonic()
            self.count_wrong_output("inference", "a result is not finite, and is not published")
            return
        times = replace(times, preprocess_ms=times.preprocess_ms + converting_ms)
        if not self.is_active:
            return
        start = time.perf_counter()
        self._publish(detections, frame.header, model, outputs)
        publishing_ms = (time.perf_counter() - start) * 1e3
        latency_ms = (self.now_s() - to_seconds(frame.header.stamp)) * 1e3
        outputs["timing"].publish(vision_messages.timing_message(times, latency_ms, frame.header))
        self.stats.work_done(
            latency_ms,
            {
                "admission": times.admission_ms,
                "preprocess": times.preprocess_ms,
                "inference": times.inference_ms,
                "postprocess": times.postprocess_ms,
                "publish": publishing_ms,
            },
        )
        if p.rate_hz > 0.0 and time.monotonic() > release_s + 1.0 / p.rate_hz:
            self.stats.deadline_missed()
        if time.monotonic() - self._refused_s > PROBLEM_SHOWN_S:
            self.clear_problem()
        # After everything that others wait for.
        if p.publish_debug_image and outputs["debug_image"].get_subscription_count():
            fill_image(self._debug_image, annotate(rgb, detections, model.meta.names), "rgb8")
            self._debug_image.header = frame.header
            outputs["debug_image"].publish(self._debug_image)

    def _infer(self, model: VisionModel, rgb: NDArray[np.uint8]) -> tuple[Detections, StageTimes]:
        """Run the model once it is admitted: as a whole, or slice by slice. Raises Refused."""
        p = self.params
        job = self._admission.asks() if self._admission is not None else None
        in_slices = self._slices is not None or is_served(p.model)
        if job is None or in_slices:
            # The slices ask, each for itself.
            self._admissions.job = job if in_slices else None
            self._admissions.begin(self._deadline_s())
            return self._stretched(model(rgb, p.confidence, p.iou, p.max_detections, p.class_agnostic))
        self.work.waiting(WAIT_LIMIT_S)
        with job.admitted(deadline_s=self._deadline_s(), wait_s=WAIT_LIMIT_S) as admission:
            self.work.busy()
            detections, times = self._stretched(
                model(rgb, p.confidence, p.iou, p.max_detections, p.class_agnostic)
            )
        return detections, replace(times, admission_ms=admission.delay_s * 1e3)

    def _stretched(self, result: tuple[Detections, StageTimes]) -> tuple[Detections, StageTimes]:
        """Let the inference last as long as on the simulated board, if there is one."""
        detections, times = result
        padding_s = self._clock_slowdown.pad(times.inference_ms * 1e-3)
        return detections, replace(times, inference_ms=times.inference_ms + padding_s * 1e3)

    def _look_at_noise(self, rgb: NDArray[np.uint8], limit: float) -> None:
        """Count and say that a picture is noisy; it is worked on all the same."""
        sigma = noise_sigma(rgb)
        if sigma > limit:
            self._refused_s = time.monotonic()
            self.stats.event(IMAGE_TOPIC, "noisy")
            self.report_problem(
                f"{IMAGE_TOPIC}: noisy pictures ({sigma:.0f} grey levels, max_noise is {limit:g})"
            )

    def _deadline_s(self) -> float:
        """Return by when an inference that is due now should be done; an essential one goes before background ones."""
        share = 0.5 if self.params.priority_class == "essential" else 1.0
        return float(share / max(self.params.rate_hz, 1.0))

    def _publish(
        self,
        detections: Detections,
        header: Header,
        model: VisionModel,
        outputs: Mapping[str, LifecyclePublisher],
    ) -> None:
        names = model.meta.names
        if detections.probabilities is not None:
            best = self.params.top_classes
            outputs["classification"].publish(
                vision_messages.classification_message(detections.probabilities, names, header, best)
            )
            return
        # Masks first: whoever joins them with detections by stamp has them when the detections come.
        if detections.masks is not None and outputs["masks"].get_subscription_count():
            outputs["masks"].publish(
                vision_messages.masks_message(detections.masks, header, self._mask_image)
            )
        if detections.keypoints is not None:
            points = model.meta.keypoint_names
            outputs["keypoints"].publish(vision_messages.keypoints_message(detections, names, points, header))
        outputs["detections"].publish(vision_messages.detections_message(detections, names, header))

    def _publish_labels(self) -> None:
        if self._model is None:
            return
        header = Header(stamp=self.get_clock().now().to_msg())
        message = vision_messages.label_info_message(self._model.meta.names, self.params.confidence, header)
        self._outputs["label_info"].publish(message)


def main() -> None:
    """Run the node until SIGINT or SIGTERM."""
    run(YoloNode)


if __name__ == "__main__":
    main()
