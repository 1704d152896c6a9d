# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Processes of one machine find each other, however many share its domain, up to what a domain has ports for."""

from __future__ import annotations

import contextlib
import re

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import String

from edge_stack_core.process_environment import dds_folder
from edge_stack_core.ros.testing import Peer

OTHERS = 50
# Of a domain's 250 ports two are for multicast, and each participant has two; some are left over for what comes and goes.
PARTICIPANTS = 120


def test_every_profile_asks_as_many_participants_as_a_domain_has_ports_for() -> None:
    folder = dds_folder({})
    assert folder is not None
    profiles = sorted(folder.glob("*.xml"))
    assert profiles
    for profile in profiles:
        found = re.findall(r"<maxInitialPeersRange>(\d+)<", profile.read_text(encoding="utf-8"))
        assert found == [str(PARTICIPANTS)], profile.name


@pytest.mark.usefixtures("domain")
def test_two_that_come_after_many_others_hear_each_other() -> None:
    with contextlib.ExitStack() as exits:
        for _ in range(OTHERS):
            context = Context()
            rclpy.init(context=context)
            exits.callback(rclpy.shutdown, context=context)
            other = Node("other", context=context, start_parameter_services=False, enable_rosout=False)
            exits.callback(other.destroy_node)
        one, two = (exits.enter_context(Peer(name)) for name in ("one", "two"))
        publisher = one.node.create_publisher(String, "word", 10)
        heard = two.collect(String, "word", 10)

        def came() -> bool:
            publisher.publish(String(data="a"))
            return bool(heard)

        two.spin_until(came, timeout_s=30.0, what="one to be heard by two")
