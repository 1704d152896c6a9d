# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The environment of the stack's processes, and that the transport profiles do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_stack.runner.environment import PROFILE_VARIABLES, dds_folder, process_environment

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"


def profile(environment: dict[str, str]) -> str:
    paths = {environment[name] for name in PROFILE_VARIABLES}
    assert len(paths) == 1
    path = Path(paths.pop())
    assert path.is_file()
    return path.stem


def test_by_default_discovery_stays_on_this_machine() -> None:
    environment = process_environment({})
    assert profile(environment) == "edge_stack_localhost"
    assert environment[RANGE] == "SYSTEM_DEFAULT"


@pytest.mark.parametrize(
    ("base", "stem", "wanted"),
    [
        ({RANGE: "LOCALHOST"}, "edge_stack_localhost", "SYSTEM_DEFAULT"),
        ({RANGE: "SUBNET"}, "edge_stack_subnet", "SUBNET"),
        ({RANGE: "OFF"}, "edge_stack_subnet", "OFF"),
        ({RANGE: "SYSTEM_DEFAULT"}, "edge_stack_subnet", "SYSTEM_DEFAULT"),
        ({"ROS_LOCALHOST_ONLY": "1"}, "edge_stack_localhost", "SYSTEM_DEFAULT"),
        ({"ROS_LOCALHOST_ONLY": "0"}, "edge_stack_subnet", "SUBNET"),
        ({"ROS_STATIC_PEERS": "192.0.2.1"}, "edge_stack_subnet", "LOCALHOST"),
    ],
)
def test_the_discovery_range_is_the_users(base: dict[str, str], stem: str, wanted: str) -> None:
    environment = process_environment(base)
    assert (profile(environment), environment[RANGE]) == (stem, wanted)
    assert "ROS_LOCALHOST_ONLY" not in environment


def test_the_kind_of_process_chooses_the_profile_also_from_an_environment_of_ours() -> None:
    first = process_environment({})
    assert profile(process_environment(first, frames=True)) == "edge_stack_localhost_frames"
    assert profile(process_environment(first, shared_memory=False)) == "edge_stack_localhost_udp"
    assert process_environment(process_environment(first, frames=True)) == first


def test_another_range_set_in_an_environment_of_ours_counts() -> None:
    environment = process_environment({**process_environment({}), RANGE: "SUBNET"})
    assert (profile(environment), environment[RANGE]) == ("edge_stack_subnet", "SUBNET")


def test_what_the_user_set_stays() -> None:
    own = {"OMP_NUM_THREADS": "4", "MALLOC_TOP_PAD_": "1", PROFILE_VARIABLES[1]: "/mine.xml"}
    environment = process_environment(own)
    assert own.items() <= environment.items()
    assert PROFILE_VARIABLES[0] not in environment


def test_another_middleware_gets_no_profile() -> None:
    environment = process_environment({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"})
    assert environment[RANGE] == "LOCALHOST"
    assert not set(PROFILE_VARIABLES) & set(environment)


def test_every_combination_has_its_profile_and_the_sizes_that_are_told() -> None:
    folder = dds_folder({})
    assert folder is not None
    for kind in ("localhost", "subnet"):
        for variant, sizes in (("", ["8388608"]), ("_frames", ["33554432"]), ("_udp", [])):
            text = (folder / f"edge_stack_{kind}{variant}.xml").read_text()
            assert re.findall(r"<segment_size>(\d+)</segment_size>", text) == sizes
            assert ("<address>127.0.0.1</address></interfaceWhiteList>" in text) == (kind == "localhost")


TALKER = """
import sys, time, rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("talker")
publisher = node.create_publisher(Image, "picture", 1)
print("up", flush=True)
picture = Image(height=480, width=640, step=1920, encoding="rgb8", data=bytes(640 * 480 * 3))
end_s = time.monotonic() + 30.0
while time.monotonic() < end_s:
    publisher.publish(picture)
    time.sleep(0.05)
"""


def udp_addresses(pid: int) -> set[str]:
    """Return the local IPv4 addresses of a process's UDP sockets, 0.0.0.0 for every interface."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
        inodes.update({found[1]} if found else ())
    addresses = set()
    for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            number = bytes.fromhex(fields[1].split(":")[0])[::-1]
            addresses.add(".".join(map(str, number)))
    return addresses


@pytest.mark.parametrize("frames", [True, False])
def test_a_node_listens_on_loopback_only_and_its_frames_arrive_by_shared_memory(
    domain: int, frames: bool
) -> None:
    from sensor_msgs.msg import Image

    from edge_stack.testing import Peer

    base = {k: v for k, v in os.environ.items() if k not in (*PROFILE_VARIABLES, RANGE)}
    talker = subprocess.Popen(
        [sys.executable, "-c", TALKER],
        env=process_environment(base, frames=frames),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert talker.stdout is not None
        talker.stdout.readline()
        with Peer() as peer:
            got: list[Image] = peer.collect(Image, "picture", 1)
            peer.spin_until(lambda: len(got) >= 10)
        assert udp_addresses(talker.pid) == {"127.0.0.1"}
        mapped = Path(f"/proc/{talker.pid}/maps").read_text()
        segments = set(re.findall(r"/dev/shm/(fastrtps_[0-9a-f]{16})\n", mapped))
        sizes = [(Path("/dev/shm") / name).stat().st_size for name in segments]
        assert any(size > (32 if frames else 8) * 1024 * 1024 for size in sizes)
        assert len(got[0].data) == 640 * 480 * 3
    finally:
        talker.kill()
        talker.wait()


def test_a_node_started_later_is_found_within_a_second_or_so(domain: int) -> None:
    """A newcomer can miss the first answer; the announcements' period in the profile bounds how long that costs."""
    from sensor_msgs.msg import Image

    from edge_stack.testing import Peer

    with Peer() as peer:
        for _ in range(4):
            talker = subprocess.Popen([sys.executable, "-c", TALKER], stdout=subprocess.PIPE, text=True)
            try:
                assert talker.stdout is not None
                talker.stdout.readline()
                begin_s = time.monotonic()
                got = peer.collect(Image, "picture", 1)
                peer.spin_until(lambda got=got: got)
                assert time.monotonic() - begin_s < 2.5
            finally:
                talker.kill()
                talker.wait()
