# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The fusion node and what it watches, over DDS: several topics, and rules that can never fire."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from edge_stack_msgs.msg import ActionChunk, FusionStatus, StackState
from rcl_interfaces.srv import DescribeParameters
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, JointState
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import HISTORY_DEPTH, History, NodeProcess, Peer, ros_domain

MODULE = "edge_stack_control.ros.fusion"
DETECT, WRIST = "detect/detections", "wrist/detections"
COCO = ("person", "bicycle", "car", *(f"class {number}" for number in range(77)))
ROBOT = """
name: one_joint
base_frame: base_link
following_error: {max: 3.0, time_s: 0.5}
joints:
  - {name: pan, position: [-2.0, 2.0], velocity_max: 1.0, home: 0.0}
"""
PARAMETERS: dict[str, Any] = {"control_priority": 0, "lock_memory": False, "stop_clear_s": 0.3}


class Scene:
    """Robot, policy, supervisor and detectors, played by the test. seen: class and centre, px, of what each topic sees."""

    def __init__(self, peer: Peer, *topics: str) -> None:
        node = peer.node
        self.peer = peer
        self.seen: dict[str, list[tuple[str, float, float]]] = {topic: [] for topic in topics}
        self._detections: dict[str, Publisher] = {}
        self._labels: dict[str, Publisher] = {}
        for topic in topics:
            self.appear(topic)
        self._joints = node.create_publisher(JointState, "joint_states", qos.sensor())
        self._chunks = node.create_publisher(ActionChunk, "action_chunk", qos.chunk())
        self._state = node.create_publisher(StackState, "stack_state", qos.state())
        self._camera = node.create_publisher(CameraInfo, "camera_info", qos.frame())
        self.image = (0, 0)
        self.statuses = History()
        profile = qos.status()
        profile.depth = HISTORY_DEPTH
        node.create_subscription(FusionStatus, "fusion_status", self.statuses.append, profile)
        self._sequence = 0
        node.create_timer(0.05, self._play)

    def appear(self, topic: str) -> None:
        """Begin to publish a topic."""
        self._detections[topic] = self.peer.node.create_publisher(Detection2DArray, topic, qos.result())

    def disappear(self, topic: str) -> None:
        self.peer.node.destroy_publisher(self._detections.pop(topic))

    def tell(self, topic: str, names: tuple[str, ...]) -> None:
        """Publish the classes of a topic's model."""
        beside = topic.replace("detections", "label_info")
        if beside not in self._labels:
            self._labels[beside] = self.peer.node.create_publisher(LabelInfo, beside, qos.state())
        classes = [VisionClass(class_id=number, class_name=name) for number, name in enumerate(names)]
        self._labels[beside].publish(LabelInfo(class_map=classes))

    def _play(self) -> None:
        now = self.peer.now()
        for topic, publisher in self._detections.items():
            message = Detection2DArray()
            message.header.stamp, message.header.frame_id = now, "cam"
            for name, x, y in self.seen[topic]:
                detection = Detection2D(results=[ObjectHypothesisWithPose()])
                detection.results[0].hypothesis.class_id = name
                detection.results[0].hypothesis.score = 0.95
                detection.bbox.center.position.x, detection.bbox.center.position.y = x, y
                detection.bbox.size_x, detection.bbox.size_y = 20.0, 30.0
                message.detections.append(detection)
            publisher.publish(message)
        joints = JointState(name=["pan"], position=[0.0])
        state = StackState(state=StackState.ACTIVE)
        self._sequence += 1
        chunk = ActionChunk(sequence=self._sequence, joint_names=["pan"], positions=[0.1] * 20, start=now)
        chunk.step.nanosec = 50_000_000
        for message, publisher in ((joints, self._joints), (state, self._state), (chunk, self._chunks)):
            message.header.stamp = now
            publisher.publish(message)
        if self.image != (0, 0):
            camera = CameraInfo(width=self.image[0], height=self.image[1])
            camera.header.stamp, camera.header.frame_id = now, "cam"
            self._camera.publish(camera)

    def until(self, reason: str, state: int, words: str = "") -> FusionStatus:
        def reached() -> FusionStatus | None:
            status = self.statuses[-1] if self.statuses else None
            fits = status and (status.reason, status.state) == (reason, state) and words in status.detail
            return status if fits else None

        return self.peer.spin_until(reached, what=f"{reason} in state {state}: {words}")

    def running(self) -> FusionStatus:
        return self.until("ok", FusionStatus.RUN)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with ros_domain(), Peer() as peer:
        yield peer


@pytest.fixture
def robot_file(tmp_path: Path) -> str:
    file = tmp_path / "robot.yaml"
    file.write_text(ROBOT, encoding="utf-8")
    return str(file)


@contextlib.contextmanager
def fusion(peer: Peer, robot_file: str, **parameters: Any) -> Iterator[NodeProcess]:
    with NodeProcess(MODULE, "fusion", {**PARAMETERS, "robot_file": robot_file, **parameters}) as process:
        peer.bring_up("fusion")
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output()


def test_a_person_rule_on_a_class_that_no_model_has_holds_and_says_what_to_write(
    peer: Peer, robot_file: str
) -> None:
    scene = Scene(peer, DETECT)
    diagnostics = peer.collect(DiagnosticArray, "diagnostics", qos.status())
    with fusion(peer, robot_file, person_classes=["human"]) as process:
        scene.running()  # nobody has told the classes yet: it cannot be told
        peer.spin_until(
            lambda: "detect/detections: no detect/label_info" in process.output(), what="that it is said"
        )
        scene.tell(DETECT, COCO)
        status = scene.until("rule_cannot_fire", FusionStatus.HOLD)
        said = "'human' is no class of detect/detections (80 classes, for example person, bicycle, car): write person"
        assert status.detail == f"person_classes: {said}"
        peer.spin_until(lambda: said in peer.statuses["fusion"].message, what="its status to say so")
        assert peer.set_parameter("fusion", "blind_rules", "warn") == (True, "")
        scene.running()
        peer.spin_until(
            lambda: peer.statuses["fusion"].message == f"person_classes: {said}", what="the problem shown"
        )
        peer.spin_until(
            lambda: [
                value
                for array in diagnostics
                for one in array.status
                for value in one.values
                if value.key == "rules" and said in value.value
            ],
            what="diagnostics to say so",
        )
        assert peer.set_parameter("fusion", "blind_rules", "hold") == (True, "")
        scene.until("rule_cannot_fire", FusionStatus.HOLD)
        ok, why = peer.set_parameter("fusion", "blind_rules", "ignore")
        assert not ok and "hold, warn" in why
        assert peer.set_parameter("fusion", "person_classes", ["person"]) == (True, "")
        scene.running()
        peer.spin_until(lambda: not peer.statuses["fusion"].message, what="the status to be clear")
        assert process.output().count("[fusion]: person_classes: 'human'") == 1


def test_a_class_by_number_is_the_person_of_the_labels(peer: Peer, robot_file: str) -> None:
    scene = Scene(peer, DETECT)
    scene.tell(DETECT, COCO)
    with fusion(peer, robot_file):
        scene.running()
        # Again and again: labels and detections come on topics of their own, in whichever order.
        scene.seen[DETECT] = [("0", 100.0, 100.0)]
        scene.until("person_in_workspace", FusionStatus.STOP)


def test_a_person_before_the_second_of_two_cameras_stops_the_robot(peer: Peer, robot_file: str) -> None:
    scene = Scene(peer, DETECT, WRIST)
    square = "200 200 300 200 300 300 200 300"
    with fusion(peer, robot_file, detections_topics=[DETECT, WRIST], workspaces_px=[square, ""]):
        scene.running()
        scene.seen[WRIST] = [("person", 100.0, 100.0)]
        scene.until("person_in_workspace", FusionStatus.STOP, "on wrist/detections")
        scene.seen[WRIST] = []
        scene.running()
        # Each with its own workspace: the same place of the first camera is outside.
        scene.seen[DETECT] = [("person", 100.0, 100.0)]
        assert peer.set_parameter("fusion", "workspaces_px", ["", square]) == (True, "")
        scene.until("person_in_workspace", FusionStatus.STOP, "on detect/detections")
        assert peer.set_parameter("fusion", "workspaces_px", [square, square]) == (True, "")
        scene.running()
        assert peer.set_parameter("fusion", "workspaces_px", []) == (True, "")
        scene.until("person_in_workspace", FusionStatus.STOP, "on detect/detections")
        for wrong, word in (
            ([square], "1 for 2 of detections_topics"),
            (["", "1 2"], "workspaces_px[1]"),
            (["", "a"], "'a'"),
        ):
            ok, why = peer.set_parameter("fusion", "workspaces_px", wrong)
            assert not ok and word in why


def test_the_topic_that_is_stale_and_the_one_that_nobody_publishes_are_named(
    peer: Peer, robot_file: str
) -> None:
    scene = Scene(peer, DETECT, WRIST)
    scene.disappear(WRIST)
    with fusion(peer, robot_file, detections_topics=[DETECT, WRIST]):
        status = scene.until("stale_perception", FusionStatus.HOLD, "no publisher on wrist/detections")
        assert DETECT not in status.detail
        scene.appear(WRIST)
        scene.running()
        scene.disappear(DETECT)
        scene.until("stale_perception", FusionStatus.HOLD, "no publisher on detect/detections")


def test_a_workspace_outside_the_image_holds(peer: Peer, robot_file: str) -> None:
    scene = Scene(peer, DETECT)
    far = [900.0, 900.0, 990.0, 900.0, 990.0, 990.0]
    with fusion(peer, robot_file, workspace_px=far):
        scene.running()
        scene.image = (640, 480)
        scene.until(
            "rule_cannot_fire", FusionStatus.HOLD, "workspace_px: lies outside the image of detect/detections"
        )
        assert peer.set_parameter("fusion", "workspace_px", [v - 600.0 for v in far]) == (True, "")
        scene.running()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"detections_topic": DETECT}, "write detections_topics: [detect/detections]"),
        ({"detections_topics": [DETECT, DETECT]}, "detect/detections is there twice"),
        ({"detections_topics": [DETECT, WRIST], "workspaces_px": [""]}, "1 for 2 of detections_topics"),
        ({"workspaces_px": ["1 2 3"]}, "workspaces_px[0]"),
    ],
    ids=["earlier name", "twice", "wrong length", "no polygon"],
)
def test_a_wrong_list_refuses_configure_with_what_would_be_right(
    peer: Peer, robot_file: str, parameters: dict[str, Any], words: str
) -> None:
    with NodeProcess(MODULE, "fusion", {**PARAMETERS, "robot_file": robot_file, **parameters}):
        assert not peer.transition("fusion", "configure")
        peer.spin_until(lambda: words in peer.statuses["fusion"].message, what=words)


def test_without_topics_nothing_is_watched_and_nothing_is_stale(peer: Peer, robot_file: str) -> None:
    scene = Scene(peer)
    with fusion(peer, robot_file, detections_topics=[]):
        scene.running()
        names = ["detections_topics", "workspaces_px", "blind_rules"]
        answer = peer.call(
            DescribeParameters, "fusion/describe_parameters", DescribeParameters.Request(names=names)
        )
        assert all(one.description for one in answer.descriptors)
        ok, why = peer.set_parameter("fusion", "detections_topic", DETECT)
        assert not ok and "detections_topics" in why
