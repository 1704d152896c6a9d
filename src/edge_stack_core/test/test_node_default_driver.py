# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a camera driver that runs in its own environment, with Fast DDS as it is by default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from edge_stack_core.process_environment import PROFILE_VARIABLES
from edge_stack_core.ros.testing import NodeProcess, Peer, stamp_s

FRAMES = 150


@pytest.fixture
def driver(domain: int) -> Iterator[subprocess.Popen[bytes]]:
    ours = (*PROFILE_VARIABLES, "ROS_AUTOMATIC_DISCOVERY_RANGE")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("default_driver.py"))], env=environment
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.exclusive
def test_nearly_all_frames_of_a_driver_in_its_default_environment_arrive(peer: Peer, driver: object) -> None:
    with NodeProcess("frame_sink", "sink"):
        peer.bring_up("sink")
        got = peer.collect(Header, "got", QoSProfile(depth=1000))
        peer.spin_until(lambda: len(got) >= 10)
        first = int(got[-1].frame_id)  # what is lost while both find each other is no matter
        peer.spin_until(lambda: int(got[-1].frame_id) >= first + FRAMES)
        taken = [one for one in got if int(one.frame_id) >= first]
        assert len(taken) / (int(taken[-1].frame_id) - first + 1) >= 0.95
        assert np.diff([stamp_s(_Stamped(one)) for one in taken]).max() < 0.3
        assert peer.statuses["sink"].message == ""


class _Stamped:
    def __init__(self, header: Header) -> None:
        self.header = header
