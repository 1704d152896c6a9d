# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The environment of the stack's processes, and that the transport profiles do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_stack.runner.stack import node_environment
from edge_stack_core.process_environment import (
    FRAME_PROFILES,
    PROFILE_VARIABLES,
    dds_folder,
    process_environment,
)
from edge_stack_core.stack_config import NodeConfig

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
        sizes_mib = {"": [8], "_udp": [], **{variant: [size] for size, variant in FRAME_PROFILES.items()}}
        for variant, sizes in sizes_mib.items():
            text = (folder / f"edge_stack_{kind}{variant}.xml").read_text()
            found = re.findall(r"<segment_size>(\d+)</segment_size>", text)
            assert found == [str(size * 1024 * 1024) for size in sizes]
            assert [int(mib) for mib in re.findall(r"(\d+) MiB for what", text)] == sizes
            assert ("<address>127.0.0.1</address></interfaceWhiteList>" in text) == (kind == "localhost")
    assert len(list(folder.iterdir())) == 2 * len(sizes_mib)


@pytest.mark.parametrize(
    ("width", "height", "variant"),
    [
        (0, 0, "_frames"),
        (1920, 1080, "_frames"),
        (2560, 1440, "_frames_64"),
        (3840, 2160, "_frames_128"),
        (5120, 2880, "_frames_256"),
        (7680, 4320, "_frames_256"),
    ],
)
def test_the_segment_of_a_camera_holds_the_frames_under_way_up_to_a_bound(
    width: int, height: int, variant: str
) -> None:
    environment = process_environment({}, frames=True, frame_bytes=width * height * 3)
    assert profile(environment) == f"edge_stack_localhost{variant}"
    assert process_environment(environment, frames=True, frame_bytes=width * height * 3) == environment


TALKER = """
import array, sys, time, rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("talker")
publisher = node.create_publisher(Image, "picture", 1)
print("up", flush=True)
width, height = map(int, sys.argv[1:] or (640, 480))
pixels = array.array("B", bytes(width * height * 3))
picture = Image(height=height, width=width, step=width * 3, encoding="rgb8", data=pixels)
end_s = time.monotonic() + 300.0  # it is killed long before
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


@pytest.mark.parametrize(
    ("parameters", "size", "least_mib"),
    [
        (None, (640, 480), 8),
        ({}, (640, 480), 32),
        ({"width": 3840, "height": 2160}, (3840, 2160), 128),
    ],
)
def test_a_node_listens_on_loopback_only_and_its_frames_arrive_by_shared_memory(
    domain: int, parameters: dict[str, int] | None, size: tuple[int, int], least_mib: int
) -> None:
    """parameters: of a camera node; None for a node that is none."""
    from sensor_msgs.msg import Image

    from edge_stack_core.ros.testing import Peer

    base = {k: v for k, v in os.environ.items() if k not in (*PROFILE_VARIABLES, RANGE)}
    executable = "yolo" if parameters is None else "camera"
    node = NodeConfig(
        "talker", "edge_stack", executable, "essential", 1, "always", True, None, parameters or {}, {}
    )
    talker = subprocess.Popen(
        [sys.executable, "-c", TALKER, *map(str, size)],
        env=node_environment(node, base),
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
        assert any(size > least_mib * 1024 * 1024 for size in sizes)
        assert len(got[0].data) == size[0] * size[1] * 3
    finally:
        talker.kill()
        talker.wait()


def test_a_node_started_later_is_found_within_a_second_or_so(domain: int) -> None:
    """A newcomer can miss the first answer; the announcements' period in the profile bounds how long that costs."""
    from sensor_msgs.msg import Image

    from edge_stack_core.ros.testing import Peer

    folder = dds_folder({})
    assert folder is not None
    for file in folder.iterdir():
        period = re.search(
            r"<leaseAnnouncement><sec>(\d+)</sec><nanosec>(\d+)</nanosec></leaseAnnouncement>",
            file.read_text(),
        )
        assert period is not None and int(period[1]) + 1e-9 * int(period[2]) <= 1.0, file
    with Peer() as peer:
        for _ in range(4):
            talker = subprocess.Popen([sys.executable, "-c", TALKER], stdout=subprocess.PIPE, text=True)
            try:
                assert talker.stdout is not None
                talker.stdout.readline()
                got = peer.collect(Image, "picture", 1)
                peer.spin_until(lambda got=got: got)
            finally:
                talker.kill()
                talker.wait()
