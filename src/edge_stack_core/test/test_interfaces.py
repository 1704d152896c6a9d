# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The workspace's vision_msgs and tf2_msgs talk to the originals: same fields, same RIHS01 type hashes (REP-2011)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_stack_core.package_files import share_folder

# Type hashes of vision_msgs (branch ros2) and tf2_msgs. A message with the same names, fields and order has the same hash.
HASHES = {
    "tf2_msgs/TFMessage": "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    "vision_msgs/Point2D": "RIHS01_eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
    "vision_msgs/Pose2D": "RIHS01_b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
    "vision_msgs/BoundingBox2D": "RIHS01_008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
    "vision_msgs/ObjectHypothesis": "RIHS01_51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
    "vision_msgs/ObjectHypothesisWithPose": "RIHS01_41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc",
    "vision_msgs/Detection2D": "RIHS01_0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "vision_msgs/Detection2DArray": "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "vision_msgs/Classification": "RIHS01_f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143",
    "vision_msgs/VisionClass": "RIHS01_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
    "vision_msgs/LabelInfo": "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "vision_msgs/BoundingBox3D": "RIHS01_bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698",
    "vision_msgs/Detection3D": "RIHS01_ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b",
    "vision_msgs/Detection3DArray": "RIHS01_793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
}


@pytest.mark.parametrize("name", HASHES)
def test_the_type_hash_equals_the_originals(name: str) -> None:
    package, message = name.split("/")
    description = Path(share_folder(package)) / "msg" / f"{message}.json"
    if not description.is_file():
        pytest.skip("this ROS distribution has no type hashes (before Iron)")
    hashes = {h["type_name"]: h["hash_string"] for h in json.loads(description.read_text())["type_hashes"]}
    assert hashes[f"{package}/msg/{message}"] == HASHES[name]


def test_the_edge_stack_messages_import() -> None:
    from edge_stack_msgs.msg import ActionChunk, FusionStatus, NodeStatus, StackState

    assert ActionChunk().positions is not None
    assert (FusionStatus.RUN, FusionStatus.SLOW, FusionStatus.HOLD, FusionStatus.STOP) == (0, 1, 2, 3)
    assert StackState.ACTIVE == 2
    assert NodeStatus().processed == 0
