# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the system grants the stack: real-time scheduling, locked memory, shared memory, the network it talks on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_stack.doctor.findings import Finding, Level, read
from edge_stack_core.process_environment import PROFILE_VARIABLES, process_environment
from edge_stack_core.runtime import process, run_state

# Two processes with 32 MiB of segment, a dozen with 8 MiB, and as much again for a second stack.
_SHM_MB = 400.0


def scheduling() -> Iterator[Finding]:
    """Look at real-time priority and locked memory, with the eyes of the nodes themselves."""
    rights = process.rights()
    kernel = " on a PREEMPT_RT kernel" if "PREEMPT_RT" in os.uname().version else ""
    if rights.realtime:
        yield Finding("real-time", Level.GOOD, f"SCHED_FIFO up to priority {rights.max_rt_priority}{kernel}")
    else:
        fact = f"no SCHED_FIFO{kernel}: under load the control loop is less punctual (./edge bench tick)"
        yield Finding("real-time", Level.NOTE, fact, process.REMEDY)
    throttle = read("/proc/sys/kernel/sched_rt_runtime_us")
    if rights.realtime and throttle == "0":
        yield Finding(
            "real-time",
            Level.NOTE,
            "sched_rt_runtime_us is 0",
            "sudo sysctl kernel.sched_rt_runtime_us=950000",
        )
    yield _admission(process.fifo_refusal() is None)
    if rights.lock_memory:
        yield Finding("locked memory", Level.GOOD, "unlimited")
    else:
        fact = "limited: the control loop may wait for a page fault"
        yield Finding("locked memory", Level.NOTE, fact, "the same file: memlock unlimited")


def _admission(may_have_fifo: bool) -> Finding:
    """Say what `admission: auto` of the nodes means here."""
    if may_have_fifo:
        fact = "auto means off on the CPU here, because this user may have SCHED_FIFO; on a GPU it means on"
        return Finding("admission", Level.GOOD, fact)
    fact = (
        "auto means on, on the CPU too, because this user may not have SCHED_FIFO:"
        " fewer background inferences, and a less punctual policy"
    )
    return Finding(
        "admission", Level.NOTE, fact, "the same file: rtprio 95 (in a container: also --cap-add SYS_NICE)"
    )


def shared_memory() -> Iterator[Finding]:
    """Look at /dev/shm, where camera frames travel."""
    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError:
        yield Finding(
            "shared memory", Level.NOTE, "no /dev/shm: camera frames go by UDP, and get lost", "mount it"
        )
        return
    free_mb, total_mb = usage.free / 1e6, usage.total / 1e6
    fact = f"{free_mb:.0f} of {total_mb:.0f} MB free"
    if free_mb < _SHM_MB:
        remedy = "sudo mount -o remount,size=1G /dev/shm (in a container: --shm-size=1g)"
        yield Finding(
            "shared memory", Level.NOTE, f"{fact}; {_SHM_MB:.0f} MB are needed, or frames get lost", remedy
        )
    else:
        yield Finding("shared memory", Level.GOOD, fact)


def state() -> Iterator[Finding]:
    """Look at the folder in which runs and requested stops are kept, and at runs that were not ended."""
    try:
        folder = run_state.state_folder(make=False)
    except run_state.StateMissing as error:
        yield Finding("state", Level.GOOD, f"{error.strerror} yet; the first run makes it")
        return
    except OSError as error:
        fact = f"{error.strerror}; a requested stop would not survive a power cut"
        yield Finding(
            "state", Level.NOTE, fact, f"{run_state.STATE_VARIABLE}=FOLDER, for every process of the stack"
        )
        return
    stops = [f"{name}: {', '.join(sorted(held))}" for name, held in run_state.unended(folder) if held]
    fact = f"{folder}, {len(run_state.unended(folder))} runs that go on or were not ended"
    if stops:
        remedy = "ros2 service call /fusion/stop std_srvs/srv/SetBool, with data false, once the stack runs"
        yield Finding("state", Level.NOTE, f"{fact}; stops that hold: {'; '.join(stops)}", remedy)
    else:
        yield Finding("state", Level.GOOD, fact)


def discovery() -> Iterator[Finding]:
    """Look at who will see the stack's topics, and whom it will see."""
    ours = process_environment(os.environ)
    profile = Path(ours.get(PROFILE_VARIABLES[0], "")).name
    reach = (
        "this machine only" if "localhost" in profile else f"range {ours['ROS_AUTOMATIC_DISCOVERY_RANGE']}"
    )
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    rmw = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    fact = f"{rmw}, domain {domain}, {reach}" + (f", profile {profile}" if profile else "")
    if not domain.isdigit() or int(domain) > 101:
        yield Finding("DDS", Level.NOTE, fact, "ROS_DOMAIN_ID must be 0 to 101")
    elif rmw != "rmw_fastrtps_cpp":
        yield Finding("DDS", Level.NOTE, fact, "the shipped transport profile is for rmw_fastrtps_cpp only")
    elif "localhost" in profile:
        yield Finding("DDS", Level.GOOD, f"{fact}; for others too: ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET")
    else:
        yield Finding("DDS", Level.GOOD, fact)
