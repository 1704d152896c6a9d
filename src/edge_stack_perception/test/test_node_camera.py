# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera node in a real process over DDS, with folders, videos and topics as its camera."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_stack_msgs.msg import NodeStatus
from mjpeg_server import MjpegServer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import fill_image, read_rgb
from edge_stack_core.ros.testing import History, NodeProcess, Peer, stamp_s

Start = Callable[..., NodeProcess]


@pytest.fixture
def start(peer: Peer) -> Iterator[Start]:
    """Start the camera with these parameters, and bring it up unless told otherwise."""
    running: list[NodeProcess] = []

    def begin(bring_up: bool = True, **parameters: Any) -> NodeProcess:
        process = NodeProcess("edge_stack_perception.ros.camera", "camera", parameters)
        running.append(process)
        if bring_up:
            peer.bring_up("camera")
        return process

    yield begin
    for process in running:
        assert process.stop() == 0, process.output()
        process.__exit__()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, red, green and blue, 64x48."""
    path = tmp_path / "pictures"
    path.mkdir()
    for i in range(3):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 2 - i] = 200
        cv2.imwrite(str(path / f"{i}.png"), picture)
    return path


def images(peer: Peer) -> History:
    return peer.record(Image, "image_raw", qos.frame(offered=False))


def until_paced(peer: Peer, frames: Sequence[Image], rate_hz: float, count: int = 10) -> None:
    """
    Wait for so many frames that came one period after the one before; all the while they may come no faster.

    On a busy machine some are late or lost, so that how many come within a time says nothing.
    """

    def pauses_s() -> np.ndarray:
        return np.diff([stamp_s(frame) for frame in frames])

    peer.spin_until(
        lambda: (np.abs(pauses_s() * rate_hz - 1.0) < 0.3).sum() >= count, what=f"frames at {rate_hz} Hz"
    )
    assert pauses_s().sum() * rate_hz > 0.9 * len(pauses_s()) - 1.0, "more frames than their rate allows"


def status(peer: Peer, condition: Callable[[NodeStatus], bool], what: str) -> NodeStatus:
    def heard() -> NodeStatus | None:
        now = peer.statuses.get("camera")
        return now if now is not None and condition(now) else None

    return peer.spin_until(heard, what=what)


def test_pictures_come_in_order_with_their_camera_info_at_the_same_stamp(
    peer: Peer, start: Start, folder: Path
) -> None:
    frames = images(peer)
    infos = peer.record(CameraInfo, "camera_info", qos.frame(offered=False))
    began_s = time.time()
    # Not so fast that a frame is too old for its lifespan when a busy test comes to take it.
    start(source="folder", path=str(folder), rate_hz=5.0, frame_id="table", fovy_deg=60.0)

    def with_their_info() -> list[float]:
        return sorted({stamp_s(frame) for frame in frames} & {stamp_s(info) for info in infos})

    peer.spin_until(lambda: len(with_their_info()) >= 6)
    assert all((m.width, m.height, m.encoding, m.step) == (64, 48, "rgb8", 192) for m in frames)
    assert {m.header.frame_id for m in (*frames, *infos)} == {"table"}
    colours = [int(read_rgb(m)[0, 0].argmax()) for m in frames]
    steps = [(after - before) % 3 for before, after in itertools.pairwise(colours)]
    assert steps.count(1) > len(steps) / 2, colours  # best effort: a frame may be lost
    assert all(began_s < stamp < time.time() for stamp in with_their_info())
    assert infos[0].k[4] == pytest.approx(24.0 / np.tan(np.radians(30.0)))


def test_frames_keep_their_rate_and_the_rate_is_changed_live(peer: Peer, start: Start, folder: Path) -> None:
    frames = images(peer)
    start(source="folder", path=str(folder), rate_hz=20.0)
    until_paced(peer, frames, 20.0, count=20)
    assert peer.set_parameter("camera", "rate_hz", 0.0)[0]
    paused = status(peer, lambda s: s.target_hz == 0.0, "a target of 0 Hz")
    seen = status(peer, lambda s: stamp_s(s) > stamp_s(paused) + 1.0, "a later status")
    assert (seen.target_hz, seen.processed <= paused.processed + 1) == (0.0, True)
    frames.clear()
    assert peer.set_parameter("camera", "rate_hz", 50.0)[0]
    until_paced(peer, frames, 50.0)


def test_a_video_plays_at_its_own_speed(peer: Peer, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for i in range(30):
        writer.write(np.full((48, 64, 3), 8 * i, np.uint8))
    writer.release()
    frames = images(peer)
    start(source="video", path=str(path), rate_hz=60.0)
    until_paced(peer, frames, 10.0)
    assert status(peer, lambda s: s.target_hz > 0, "a target").target_hz == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"path": "/dev/video99"}, "device /dev/video99: does not exist; there "),
        ({"path": "/dev/null"}, "device /dev/null: cannot be opened as a camera"),
        ({}, "parameter path: is empty; source device needs a device such as /dev/video0"),
        ({"source": "video", "path": "/no/such.mp4"}, "video /no/such.mp4: does not exist"),
        ({"source": "csi", "path": "0"}, "CSI camera 0: OpenCV "),
        ({"source": "csi"}, "parameter path: is empty; source csi needs the number of a camera, such as 0"),
        ({"path": "rtsp://me:s3cret@h/a"}, "rtsp://***@h/a is the address of a stream; set source to video"),
        (
            {"source": "video", "path": "rtsp://me:s3cret@127.0.0.1:9/a"},
            "rtsp://***@127.0.0.1:9/a: cannot be opened",
        ),
        ({"source": "topic"}, "parameter topic: is empty"),
        ({"source": "topic", "topic": "image_raw"}, "/image_raw is what this node publishes itself"),
        ({"path": "/dev/null", "device_options": ["exposre=3"]}, "'exposre': is not known; perhaps exposure"),
        ({"path": "/dev/null", "fourcc": "MJPEG"}, "parameter fourcc: 'MJPEG' is not four letters"),
        ({"path": "/dev/null", "camera_info_file": "/no/camera.yaml"}, "/no/camera.yaml: cannot be read"),
    ],
)
def test_a_camera_that_cannot_work_fails_configure_with_the_reason(
    peer: Peer, start: Start, parameters: dict[str, Any], says: str
) -> None:
    start(bring_up=False, **parameters)
    assert not peer.transition("camera", "configure")
    refused = status(peer, lambda s: bool(s.message) and s.state == "unconfigured", "a reason")
    assert says in refused.message


def test_a_camera_that_vanishes_is_reported_and_taken_again_when_it_is_back(
    peer: Peer, start: Start, folder: Path
) -> None:
    frames = images(peer)
    start(source="folder", path=str(folder), rate_hz=20.0)
    peer.spin_until(lambda: frames)
    kept = folder.with_name("kept")
    folder.rename(kept)
    lost = status(peer, lambda s: bool(s.message), "a problem")
    assert f"folder {folder}: " in lost.message
    assert "opened again" in lost.message
    assert lost.state == "active"
    back_s = peer.now_s()
    kept.rename(folder)
    peer.spin_until(lambda: frames.since(back_s))
    status(peer, lambda s: not s.message, "no problem any more")


def test_a_folder_that_ends_says_so_and_stays_active(peer: Peer, start: Start, folder: Path) -> None:
    start(source="folder", path=str(folder), rate_hz=50.0, loop=False)
    ended = status(peer, lambda s: bool(s.message), "a problem")
    assert "ended; set loop to start it again" in ended.message
    assert ended.state == "active"
    status(peer, lambda s: s.processed == 3, "every picture to be counted")


def test_a_relayed_image_is_resized_and_converted_and_keeps_its_stamp(peer: Peer, start: Start) -> None:
    frames = images(peer)
    infos = peer.collect(CameraInfo, "camera_info", qos.frame(offered=False))
    out = peer.node.create_publisher(Image, "other/image", qos.frame())
    out_info = peer.node.create_publisher(CameraInfo, "other/camera_info", qos.frame())
    start(source="topic", topic="other/image", rate_hz=100.0, width=32, height=24, encoding="bgr8")
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[..., 0] = 200
    message = fill_image(Image(), picture, "rgb8")
    message.header.frame_id = "theirs"
    info = CameraInfo(width=64, height=48, k=[50.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1.0])
    sent: set[tuple[int, int]] = set()

    def relayed() -> bool:
        message.header.stamp = peer.node.get_clock().now().to_msg()
        sent.add((message.header.stamp.sec, message.header.stamp.nanosec))
        out_info.publish(info)
        out.publish(message)
        return bool(frames) and any(i.k[0] for i in infos)

    peer.spin_until(relayed)
    frame = frames[0]
    assert (frame.width, frame.height, frame.encoding, frame.header.frame_id) == (32, 24, "bgr8", "theirs")
    assert (frame.header.stamp.sec, frame.header.stamp.nanosec) in sent
    assert read_rgb(frame)[5, 5].tolist() == [200, 0, 0]
    relayed_info = next(i for i in infos if i.k[0])
    assert (relayed_info.width, relayed_info.k[0], relayed_info.k[2]) == (32, 25.0, 15.5)


def test_a_message_that_is_no_image_is_counted_and_the_next_good_one_is_relayed(
    peer: Peer, start: Start
) -> None:
    frames = images(peer)
    out = peer.node.create_publisher(Image, "other/image", qos.frame())
    start(source="topic", topic="other/image", rate_hz=100.0)
    bad = fill_image(Image(), np.zeros((4, 4, 3), np.uint8), "rgb8")
    bad.step = 7
    depth = fill_image(Image(), np.zeros((4, 4), np.float32), "32FC1")

    def counted(which: Image) -> bool:
        out.publish(which)
        events = peer.statuses["camera"].events
        return any(e.topic == "other/image" and e.event == "raised_ImageError" for e in events)

    peer.spin_until(lambda: counted(bad), what="the bad image is counted")
    for _ in range(5):
        out.publish(depth)
        peer.executor.spin_once(timeout_sec=0.02)
    good = fill_image(Image(), np.full((4, 4), 9, np.uint8), "mono8")

    def relayed() -> bool:
        out.publish(good)
        return bool(frames)

    peer.spin_until(relayed)
    assert (frames[0].width, frames[0].encoding) == (4, "rgb8")


def test_a_topic_that_is_silent_is_a_problem_said_once(peer: Peer, start: Start) -> None:
    process = start(source="topic", topic="nobody/image")
    silent = status(peer, lambda s: bool(s.message), "a problem")
    assert "topic /nobody/image: no image for 2 s: nobody publishes /nobody/image; start" in silent.message
    later_s = stamp_s(silent) + 2.5
    peer.spin_until(lambda: peer.said("camera", later_s))
    assert {s.message for s in peer.said("camera", stamp_s(silent))} == {silent.message}
    assert process.output().count("no image for") == 1


def test_what_is_refused_on_a_topic_is_said_with_what_is_read(peer: Peer, start: Start) -> None:
    out = peer.node.create_publisher(Image, "other/image", 10)
    start(source="topic", topic="other/image", rate_hz=100.0)
    depth = fill_image(Image(), np.zeros((4, 4), np.float32), "32FC1")

    def refused(now: NodeStatus) -> bool:
        out.publish(depth)
        return "images are refused: encoding: 32FC1 has no colours; one of rgb8," in now.message

    status(peer, refused, "a refusal")


def test_a_compressed_topic_is_relayed_and_a_bomb_on_it_refused(peer: Peer, start: Start) -> None:
    frames = images(peer)
    out = peer.node.create_publisher(CompressedImage, "other/image/compressed", 10)
    start(source="topic", topic="other/image/compressed", rate_hz=100.0)
    picture = np.linspace(0, 200, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    good = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    message = CompressedImage(format="rgb8; png compressed bgr8", data=good)

    def relayed() -> bool:
        message.header.stamp = peer.now()
        out.publish(message)
        return bool(frames)

    peer.spin_until(relayed)
    np.testing.assert_array_equal(read_rgb(frames[0]), picture)
    bomb = good[:16] + (60000).to_bytes(4, "big") * 2 + good[24:]

    def refused(now: NodeStatus) -> bool:
        out.publish(CompressedImage(format="png", data=bomb))
        return "a picture of 60000x60000, at most" in now.message

    status(peer, refused, "a refusal")


def test_a_camera_on_the_network_comes_back_and_its_password_is_nowhere(peer: Peer, start: Start) -> None:
    frames = images(peer)
    server = MjpegServer("me", "s3cret")
    process = start(source="video", path=server.address("me", "s3cret"), rate_hz=50.0)
    peer.spin_until(lambda: frames)
    assert (frames[0].width, frames[0].height) == (64, 48)
    server.close()
    lost = status(peer, lambda s: "opened again" in s.message, "a problem")
    assert f"stream http://***@127.0.0.1:{server.port}/stream.mjpg: " in lost.message
    back_s = peer.now_s()
    with MjpegServer("me", "s3cret", server.port):
        peer.spin_until(lambda: frames.since(back_s))
        status(peer, lambda s: not s.message, "no problem any more")
        assert process.stop() == 0
    assert "s3cret" not in process.output()
    assert not any("s3cret" in s.message for s in peer.said("camera"))


@pytest.mark.parametrize(
    ("colour", "says"), [(0, "the pictures are black all over"), (255, "the pictures are white all over")]
)
def test_pictures_in_which_nothing_can_be_seen_are_a_problem(
    peer: Peer, start: Start, tmp_path: Path, colour: int, says: str
) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.full((48, 64, 3), colour, np.uint8))
    start(source="folder", path=str(tmp_path), rate_hz=10.0)
    blind = status(peer, lambda s: says in s.message, "a problem")
    assert (blind.state, f"folder {tmp_path}: " in blind.message) == ("active", True)


def test_a_calibration_of_another_view_is_a_problem_and_is_not_published(
    peer: Peer, start: Start, folder: Path, tmp_path: Path
) -> None:
    calibration = tmp_path / "camera.yaml"
    calibration.write_text(
        "image_width: 1280\nimage_height: 720\ndistortion_model: plumb_bob\n"
        "camera_matrix: {rows: 3, cols: 3, data: [500, 0, 639.5, 0, 500, 359.5, 0, 0, 1]}\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [-0.1, 0.01, 0, 0, 0]}\n",
        encoding="utf-8",
    )
    infos = peer.collect(CameraInfo, "camera_info", qos.frame(offered=False))
    start(source="folder", path=str(folder), camera_info_file=str(calibration))
    wrong = status(peer, lambda s: "is for pictures of 1280x720" in s.message, "a problem")
    assert str(calibration) in wrong.message and "64x48" in wrong.message
    peer.spin_until(lambda: infos)
    assert (infos[0].width, infos[0].height, infos[0].k[0]) == (64, 48, 0.0)


def test_a_plain_reliable_subscriber_gets_images_and_camera_info(
    peer: Peer, start: Start, folder: Path
) -> None:
    frames, infos = peer.collect(Image, "image_raw", 10), peer.collect(CameraInfo, "camera_info", 10)
    start(source="folder", path=str(folder), rate_hz=20.0)
    peer.spin_until(lambda: frames and infos)


def test_the_calibration_file_is_published_for_the_size_of_the_image(
    peer: Peer, start: Start, folder: Path, tmp_path: Path
) -> None:
    calibration = tmp_path / "camera.yaml"
    calibration.write_text(
        "image_width: 640\nimage_height: 480\ndistortion_model: plumb_bob\n"
        "camera_matrix: {rows: 3, cols: 3, data: [500, 0, 319.5, 0, 500, 239.5, 0, 0, 1]}\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [-0.1, 0.01, 0, 0, 0]}\n",
        encoding="utf-8",
    )
    infos = peer.collect(CameraInfo, "camera_info", qos.frame(offered=False))
    start(source="folder", path=str(folder), camera_info_file=str(calibration))
    peer.spin_until(lambda: infos)
    info = infos[0]
    assert (info.width, info.height, info.distortion_model) == (64, 48, "plumb_bob")
    assert (info.k[0], info.k[2], info.k[5]) == pytest.approx((50.0, 31.5, 23.5))
    assert info.d[0] == -0.1
    assert info.p[0] == pytest.approx(50.0)


def test_no_frame_leaves_an_inactive_camera(peer: Peer, start: Start, folder: Path) -> None:
    frames = images(peer)
    start(source="folder", path=str(folder), rate_hz=50.0)
    # A status of the inactive state before this one must not be taken for that after it.
    status(peer, lambda s: s.state == "active" and s.processed > 0, "active")
    assert peer.transition("camera", "deactivate")
    inactive = status(peer, lambda s: s.state == "inactive", "inactive")
    later = status(peer, lambda s: stamp_s(s) > stamp_s(inactive) + 1.0, "a later status")
    assert later.processed == inactive.processed
    # One that left before may still have been under way.
    assert not frames.since(stamp_s(inactive))
    again_s = peer.now_s()
    assert peer.transition("camera", "activate")
    peer.spin_until(lambda: frames.since(again_s))
