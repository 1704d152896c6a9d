# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a process asks of the system, and what it uses: name, title, cores, nice value, policy; resident memory and CPU share.

Its unit of work is one process: a setting goes to every thread it has, because on Linux a setting belongs to a thread and
only new threads inherit it. A setting that the system refuses is reported in words with the remedy, never raised. It
never changes another process.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge_stack_core.runtime import linux

POLICIES: dict[str, int] = {
    "other": os.SCHED_OTHER,
    "batch": os.SCHED_BATCH,
    "idle": os.SCHED_IDLE,
    "fifo": os.SCHED_FIFO,
    "rr": os.SCHED_RR,
}
_REALTIME = ("fifo", "rr")
_NAMES = {number: name for name, number in POLICIES.items()}
_NAMES_KEPT: list[ctypes.Array[ctypes.c_char]] = []  # C libraries point at them
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024

REMEDY = (
    "give the user the rights in /etc/security/limits.d/99-edge-stack.conf: "
    "'@realtime - rtprio 95', '@realtime - nice -20' and '@realtime - memlock unlimited', "
    "then 'sudo groupadd -f realtime; sudo usermod -aG realtime $USER' and log in again "
    "(in a container: --cap-add SYS_NICE --cap-add IPC_LOCK --ulimit rtprio=95 --ulimit memlock=-1)"
)


@dataclass(frozen=True)
class ProcessSettings:
    """
    What a process wants.

    title: in ps and top; empty leaves it. cpu_affinity: cores; empty leaves them. nice: -20..19; None leaves it.
    scheduling_policy: other, batch, idle, fifo or rr; None leaves it. scheduling_priority: 1..99, for fifo and rr.
    """

    title: str = ""
    cpu_affinity: tuple[int, ...] = ()
    nice: int | None = None
    scheduling_policy: str | None = None
    scheduling_priority: int = 10


@dataclass(frozen=True)
class Rights:
    """What the process may ask of the scheduler. max_rt_priority: 0 = none; min_nice: lowest nice value."""

    max_rt_priority: int
    min_nice: int
    lock_memory: bool

    @property
    def realtime(self) -> bool:
        """Whether a real-time policy is permitted at all."""
        return self.max_rt_priority > 0

    def as_dict(self) -> dict[str, int | bool]:
        """Return the rights as plain values for reports."""
        return {
            "max_rt_priority": self.max_rt_priority,
            "min_nice": self.min_nice,
            "lock_memory": self.lock_memory,
        }


@dataclass(frozen=True)
class Usage:
    """rss_mb: resident memory, MiB. cpu_pct: CPU use since the sample before, percent of one core."""

    rss_mb: float
    cpu_pct: float


def thread_ids() -> list[int]:
    """Return the ids of all threads of this process."""
    try:
        return sorted(int(name) for name in os.listdir("/proc/self/task"))
    except OSError:
        return [0]


def rights() -> Rights:
    """Return what this process may ask of the scheduler, from its capabilities and limits."""
    sys_nice, ipc_lock = _has_capability(23), _has_capability(14)
    rt_limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[1]
    nice_limit = resource.getrlimit(resource.RLIMIT_NICE)[1]
    memlock = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    unlimited = resource.RLIM_INFINITY
    return Rights(
        max_rt_priority=99 if sys_nice or rt_limit == unlimited else min(rt_limit, 99),
        min_nice=-20 if sys_nice or nice_limit == unlimited else min(max(20 - nice_limit, -20), 19),
        lock_memory=ipc_lock or memlock == unlimited,
    )


def apply_process_settings(settings: ProcessSettings) -> list[str]:
    """
    Apply settings to every thread of this process.

    Returns what was refused, one sentence each with the reason and the remedy; empty if all is as wanted.
    """
    refused: list[str] = []
    if settings.title:
        set_title(settings.title)
    if settings.cpu_affinity:
        problem = set_affinity(settings.cpu_affinity)
        refused += [problem] if problem else []
    # Order matters: leaving a real-time policy first, or the nice value has no effect yet.
    if settings.scheduling_policy is not None:
        problem = set_policy(settings.scheduling_policy, settings.scheduling_priority)
        refused += [problem] if problem else []
    if settings.nice is not None:
        problem = set_nice(settings.nice)
        refused += [problem] if problem else []
    return refused


def set_title(title: str) -> None:
    """Set the title that ps and top show; without the setproctitle package nothing happens."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(title)


def program_name(arguments: Sequence[str]) -> str:
    """Return what a node's process is called by its command line: the node's name if it is given, else the program's."""
    named = [word.partition(":=")[2] for word in arguments if word.startswith(("__node:=", "__name:="))]
    return named[-1] if named and named[-1] else os.path.basename(arguments[0]) if arguments else ""


def set_program_name(name: str) -> None:
    """
    Set the name that C libraries know this program by, glibc's program_invocation_name; without glibc nothing happens.

    rcl_logging names a node's log file by it. It points into the command line, which reads otherwise once a title was set.
    """
    if not name:
        return
    with contextlib.suppress(ValueError, OSError):  # another C library
        buffer = ctypes.create_string_buffer(os.fsencode(name))
        _NAMES_KEPT.append(buffer)
        for variable in ("program_invocation_name", "program_invocation_short_name"):
            ctypes.c_void_p.in_dll(ctypes.CDLL(None), variable).value = ctypes.addressof(buffer)


def set_affinity(cores: Iterable[int], threads: Iterable[int] | None = None) -> str | None:
    """Confine threads (default: all of the process) to cores; return what was refused, or None."""
    wanted = set(cores)
    available = set(range(os.cpu_count() or 1))
    if not wanted <= available:
        missing = ", ".join(str(core) for core in sorted(wanted - available))
        return f"cpu_affinity: there is no core {missing}; this machine has 0 to {max(available)}"
    return _for_threads(
        lambda tid: os.sched_setaffinity(tid, wanted), threads, f"cpu_affinity {sorted(wanted)}"
    )


def set_nice(nice: int, threads: Iterable[int] | None = None) -> str | None:
    """Set the nice value of threads (default: all of the process); return what was refused, or None."""
    return _for_threads(lambda tid: os.setpriority(os.PRIO_PROCESS, tid, nice), threads, f"nice {nice}")


def set_policy(policy: str, priority: int = 10, threads: Iterable[int] | None = None) -> str | None:
    """
    Set the scheduling policy of threads (default: all of the process); return what was refused, or None.

    priority: 1..99, used with fifo and rr.
    """
    if policy not in POLICIES:
        return f"scheduling_policy: '{policy}' is not one of {', '.join(POLICIES)}"
    wanted = f"scheduling_policy {policy}"
    parameter = os.sched_param(0)
    if policy in _REALTIME:
        wanted += f" at priority {priority}"
        parameter = os.sched_param(priority)
        _raise_soft_limit(resource.RLIMIT_RTPRIO, priority)
    return _for_threads(lambda tid: os.sched_setscheduler(tid, POLICIES[policy], parameter), threads, wanted)


def fifo_refusal(priority: int = 1) -> str | None:
    """
    Return why a thread of this process may not have SCHED_FIFO, or None.

    Tried, in a thread that ends at once: control groups refuse it to processes whose limits and capabilities allow it.
    """
    answer: list[str | None] = []

    def ask() -> None:
        answer.append(set_policy("fifo", priority, [threading.get_native_id()]))

    thread = threading.Thread(target=ask, name="rights")
    thread.start()
    thread.join()
    return answer[0] if answer else "scheduling_policy fifo could not be tried"


def lock_memory() -> str | None:
    """Keep the process's pages in memory; return why not, or None."""
    if not rights().lock_memory:
        # Under a finite limit a later allocation would fail instead: worse than a page fault.
        return f"memory is not locked: the limit memlock is finite; {REMEDY}"
    try:
        linux.lock_memory()
    except OSError as error:
        return f"memory is not locked: {error.strerror}; {REMEDY}"
    return None


def describe_thread(tid: int = 0) -> str:
    """Return policy, priority or nice value, and cores of one thread (0: the calling one), as text."""
    policy = os.sched_getscheduler(tid) & ~os.SCHED_RESET_ON_FORK
    name = _NAMES.get(policy, str(policy))
    if name in _REALTIME:
        level = f"priority {os.sched_getparam(tid).sched_priority}"
    else:
        level = f"nice {os.getpriority(os.PRIO_PROCESS, tid)}"
    return f"{name}, {level}, cores {sorted(os.sched_getaffinity(tid))}"


class ProcessUsage:
    """Resident memory and CPU share of this process, by procfs; CPU between one sample and the next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic time, s."""
        self._clock = clock
        self._last_s = clock()
        self._last_cpu_s = time.process_time()
        self._cpu_pct = 0.0

    def sample(self) -> Usage:
        """Return usage now. Samples closer than 10 ms repeat the last CPU figure: they would measure noise."""
        now_s = self._clock()
        elapsed_s = now_s - self._last_s
        if elapsed_s >= 0.01:
            cpu_s = time.process_time()
            self._cpu_pct = 100.0 * (cpu_s - self._last_cpu_s) / elapsed_s
            self._last_s, self._last_cpu_s = now_s, cpu_s
        return Usage(rss_mb=rss_mb(), cpu_pct=self._cpu_pct)


def rss_mb(pid: int | None = None) -> float:
    """Return the resident memory of a process (default: this one), MiB; NaN if there is no such process."""
    try:
        with open(f"/proc/{pid or 'self'}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE / _MIB
    except (OSError, IndexError, ValueError):
        return math.nan


def peak_rss_mb() -> float:
    """
    Return the most resident memory that this process ever had, MiB; NaN if it cannot be read.

    Not getrusage's ru_maxrss: across exec it keeps the peak of the process that this one was forked from.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            peak = next(line for line in file if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024.0
    except (OSError, StopIteration, ValueError):
        return math.nan


def _for_threads(change: Callable[[int], None], threads: Iterable[int] | None, wanted: str) -> str | None:
    for tid in thread_ids() if threads is None else threads:
        try:
            change(tid)
        except ProcessLookupError:
            continue  # the thread ended meanwhile
        except PermissionError:
            return f"{wanted} is not permitted; {REMEDY}"
        except OSError as error:
            reason = error.strerror or errno.errorcode.get(error.errno or 0, "unknown reason")
            return f"{wanted} was refused: {reason}"
    return None


def _raise_soft_limit(limit: int, wanted: int) -> None:
    soft, hard = resource.getrlimit(limit)
    if soft != resource.RLIM_INFINITY and soft < wanted and (hard == resource.RLIM_INFINITY or hard > soft):
        top = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(limit, (top, hard))
        except (OSError, ValueError):
            return


def _has_capability(number: int) -> bool:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("CapEff:"):
                    return bool(int(line.split()[1], 16) >> number & 1)
    except (OSError, ValueError):
        pass
    return False
