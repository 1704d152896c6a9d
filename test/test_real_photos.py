# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The detect node over DDS on real photos, with a COCO model from beside the repository; skipped where it is absent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import pytest
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.testing import NodeProcess, Peer

REPOSITORY = Path(__file__).parents[1]
MODEL = REPOSITORY.parent / "shared" / "models" / "yolo26n.onnx"
PHOTOS = Path(__file__).parent / "data" / "goldens"

pytestmark = pytest.mark.skipif(not MODEL.is_file(), reason=f"needs {MODEL.name} in ../shared/models")


def detected(peer: Peer, photo: str) -> Counter[str]:
    """Publish a photo until a result of it comes; return how many there are of each class."""
    image = cv2.imread(str(PHOTOS / photo))
    assert image is not None
    message = fill_image(Image(), cv2.cvtColor(image, cv2.COLOR_BGR2RGB), "rgb8")
    message.header.frame_id = photo
    results = peer.collect(Detection2DArray, "detect/detections", qos.result())
    publisher = peer.node.create_publisher(Image, "image_raw", qos.frame())
    peer.spin_until(publisher.get_subscription_count)

    def publish() -> None:
        message.header.stamp = peer.node.get_clock().now().to_msg()
        publisher.publish(message)

    timer = peer.node.create_timer(0.2, publish)
    peer.spin_until(lambda: any(r.header.frame_id == photo for r in results), 60.0, f"a result of {photo}")
    peer.node.destroy_timer(timer)
    peer.node.destroy_publisher(publisher)
    result = next(r for r in results if r.header.frame_id == photo)
    return Counter(d.results[0].hypothesis.class_id for d in result.detections)


def test_the_detect_node_finds_the_bus_and_the_people_on_real_photos(peer: Peer) -> None:
    settings = {"task": "detect", "model": str(MODEL), "rate_hz": 5.0, "confidence": 0.3}
    with NodeProcess("edge_stack_perception.ros.yolo", "detect", settings) as process:
        peer.bring_up("detect")
        bus = detected(peer, "bus.jpg")
        assert bus["bus"] == 1 and bus["person"] >= 3, bus
        zidane = detected(peer, "zidane.jpg")
        assert zidane["person"] == 2, zidane
        assert process.alive()
