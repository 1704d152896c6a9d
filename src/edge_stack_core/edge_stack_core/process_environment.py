# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The environment of every process of the stack: transport, discovery, memory allocator, threads, logging.

Its unit is one environment: a mapping in, a dict out; applied twice it changes nothing more. What the user set stays. It
needs no ROS, so that tools can use it before anything is built.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

# Both names are set: Fast DDS before 2.11 knows only the first, from 3.0 on only the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

# By this variable, <process id>-<random>, all that a launch started is known, and ends with it (runner/guard.py).
LAUNCH_VARIABLE = "EDGE_STACK_LAUNCH"

# Profiles for processes that publish camera frames, by the size of their shared-memory segment, MiB.
FRAME_PROFILES = {32: "_frames", 64: "_frames_64", 128: "_frames_128", 256: "_frames_256"}
# How many frames a segment has to hold: one is written while subscribers still read the ones before. With five, five
# subscriber processes get every frame at 30 Hz (docs/benchmarks.md).
FRAMES_UNDER_WAY = 5

_DEFAULTS = {
    # glibc gives blocks above 128 KiB back to the kernel at once and gets them page by page again: with camera frames that
    # costs more than the transport. Blocks up to 32 MiB stay in the heap instead.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
    "MALLOC_TOP_PAD_": str(4 * 1024 * 1024),
    # Two intra-op threads on contended cores cost 5 to 40 times one.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    # setproctitle would write a title over the environment that /proc shows, by which processes are found (runner/guard.py).
    "SPT_NOENV": "1",
    "RCUTILS_LOGGING_BUFFERED_STREAM": "1",
    "RCUTILS_CONSOLE_OUTPUT_FORMAT": "[{severity}] [{time}] [{name}]: {message}",
}


def process_environment(
    base: Mapping[str, str], *, frames: bool = False, frame_bytes: int = 0, shared_memory: bool = True
) -> dict[str, str]:
    """
    Return the environment for a process of the stack.

    base: the environment to start from, usually os.environ. frames: whether the process publishes camera frames and so
    needs a large shared-memory segment, which costs its whole size in memory. frame_bytes: the largest of these frames, for
    the segment's size; 0 if unknown. shared_memory: False for a process that sends and gets small messages only and has to
    reach a killed node's next process at once (see edge_stack_*_udp.xml).
    """
    environment = {**_DEFAULTS, **base}
    variant = _frames_variant(frame_bytes) if frames else "" if shared_memory else "_udp"
    _set_transport(environment, variant)
    return environment


def _frames_variant(frame_bytes: int) -> str:
    """Return the ending of the smallest profile that holds the frames that are under way; of the largest if none does."""
    needed_mib = frame_bytes * FRAMES_UNDER_WAY / 1024**2
    return FRAME_PROFILES[next((size for size in FRAME_PROFILES if size >= needed_mib), max(FRAME_PROFILES))]


def send_small_messages_only() -> None:
    """
    Change this process's own environment to that of one that sends and gets small messages only.

    For the start of a main(), before rclpy.init, so that it holds whoever started the process.
    """
    with contextlib.suppress(ImportError):
        import setproctitle

        setproctitle.getproctitle()  # it finds the title by the environment that the process began with
    environment = process_environment(os.environ, shared_memory=False)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def dds_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of the shipped Fast DDS profiles: installed, or beside the sources; None if it is in neither."""
    prefixes = [p for p in environment.get("AMENT_PREFIX_PATH", "").split(":") if p]
    candidates = [Path(prefix) / "share" / "edge_stack_core" / "dds" for prefix in prefixes]
    here = Path(__file__).resolve()
    candidates += [
        prefix / "share" / "edge_stack_core" / "dds" for prefix in here.parents
    ]  # where nothing is sourced
    candidates.append(here.parents[1] / "dds")
    return next((folder for folder in candidates if folder.is_dir()), None)


def _set_transport(environment: dict[str, str], variant: str) -> None:
    """
    Choose discovery range and transport profile.

    Given LOCALHOST, rmw_fastrtps adds transports of its own that listen on every interface. So the localhost profile says
    all itself, on the loopback address alone, and rmw_fastrtps is told to add nothing (SYSTEM_DEFAULT).
    """
    if environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp":
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        return
    present = [environment[name] for name in PROFILE_VARIABLES if environment.get(name)]
    ours = bool(present) and all(Path(path).name.startswith("edge_stack_") for path in present)
    if present and not ours:
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        return
    folder = dds_folder(environment)
    if folder is None:
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        return
    wanted = _wanted_range(environment, present[0] if ours else "")
    # Deprecated, and where set it wins over the range.
    environment.pop("ROS_LOCALHOST_ONLY", None)
    kind = "subnet"
    if wanted == "LOCALHOST" and not environment.get("ROS_STATIC_PEERS"):
        kind, wanted = "localhost", "SYSTEM_DEFAULT"
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = wanted
    profile = str(folder / f"edge_stack_{kind}{variant}.xml")
    environment.update(dict.fromkeys(PROFILE_VARIABLES, profile))


def _wanted_range(environment: Mapping[str, str], our_profile: str) -> str:
    """Return the discovery range that the user wants; LOCALHOST unless said otherwise."""
    wanted = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper()
    if wanted == "SYSTEM_DEFAULT" and "localhost" in Path(our_profile).name:
        return "LOCALHOST"
    if not wanted and environment.get("ROS_LOCALHOST_ONLY") == "0":
        return "SUBNET"
    return wanted or "LOCALHOST"
