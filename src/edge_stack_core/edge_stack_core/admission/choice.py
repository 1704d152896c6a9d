# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether admission is in force: what the parameters `admission` and `device` of a node mean for its job.

Its unit is one decision with its reason, which the node logs and publishes. Priority alone keeps a critical job on time on
processor cores, because the kernel takes a core away at any moment; so `auto` asks for admission on a CPU only where the
critical job may not have SCHED_FIFO. A GPU does not interrupt what runs: there `auto` is always on. Nothing here opens a
page or changes a thread.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from edge_stack_core.device import is_cuda

AUTO, ON, OFF = "auto", "on", "off"
SETTINGS = (AUTO, ON, OFF)
_SET = "set by the parameter"


@dataclass(frozen=True)
class CriticalChoice:
    """
    How a critical job keeps its time.

    announces: it announces itself, and background jobs keep clear of it. priority: SCHED_FIFO priority that its threads
    take; 0: none. why: in words.
    """

    announces: bool
    priority: int
    why: str

    def __str__(self) -> str:
        """Return the line for logs and diagnostics."""
        return f"{ON if self.announces else OFF} ({self.why})"


class Asks(enum.Enum):
    """When a background job asks for admission."""

    ALWAYS = enum.auto()
    NEVER = enum.auto()
    WHILE_ANNOUNCED = enum.auto()
    """While a living critical job is announced on its device: only the critical job knows whether it has SCHED_FIFO."""


@dataclass(frozen=True)
class BackgroundChoice:
    """When a background job asks for admission, and why, in words."""

    asks: Asks
    why: str

    def text(self, announced: bool) -> str:
        """Return the line for diagnostics. announced: whether a critical job is announced now."""
        if self.asks is Asks.WHILE_ANNOUNCED:
            found = "a critical job is announced" if announced else "no critical job is announced"
            return f"{ON if announced else OFF} ({AUTO}: {found})"
        return f"{ON if self.asks is Asks.ALWAYS else OFF} ({self.why})"


def choose_critical(
    setting: str,
    device: str,
    *,
    may_have_fifo: bool,
    priority: int,
    given_policy: str = "",
) -> CriticalChoice:
    """
    Decide for a critical job.

    Args:
        setting: one of SETTINGS.
        device: canonical; empty: the job is computed on another computer.
        may_have_fifo: whether threads of this process may run under SCHED_FIFO.
        priority: that the job's threads would take; 0: none.
        given_policy: scheduling policy that the user gave the whole process, which is left as it is; empty: none.
    """
    if not device:
        return CriticalChoice(False, 0, "the policy is computed on a server")
    on_cpu = not is_cuda(device)
    takes = priority if on_cpu and may_have_fifo and not given_policy else 0
    if setting == OFF:
        return CriticalChoice(False, takes, _SET)
    if setting == ON:
        return CriticalChoice(True, 0, _SET)
    if not on_cpu:
        return CriticalChoice(True, 0, f"{AUTO}: {device} is a GPU")
    if takes:
        return CriticalChoice(False, takes, f"{AUTO}: the policy may have SCHED_FIFO")
    if given_policy == "fifo" and may_have_fifo:
        return CriticalChoice(False, 0, f"{AUTO}: scheduling_policy is fifo")
    if not may_have_fifo:
        return CriticalChoice(True, 0, f"{AUTO}: the policy may not have SCHED_FIFO; see ./edge doctor")
    because = f"scheduling_policy is {given_policy}" if given_policy else "inference_priority is 0"
    return CriticalChoice(True, 0, f"{AUTO}: {because}")


def choose_background(setting: str, device: str) -> BackgroundChoice:
    """Decide for a background job. setting: one of SETTINGS. device: canonical."""
    if setting == AUTO and not is_cuda(device):
        return BackgroundChoice(Asks.WHILE_ANNOUNCED, f"{AUTO}: asks while a critical job is announced")
    if setting == AUTO:
        return BackgroundChoice(Asks.ALWAYS, f"{AUTO}: {device} is a GPU")
    return BackgroundChoice(Asks.ALWAYS if setting == ON else Asks.NEVER, _SET)


def explain_auto(device: str, announced: Collection[str], may_have_fifo: bool) -> str:
    """Say what `admission: auto` means on a device now. announced: names of the critical jobs that are."""
    if device != "cpu":
        return f"admission: {AUTO} is on, because a GPU does not interrupt what runs"
    rights = f"this user {'may' if may_have_fifo else 'may not'} have SCHED_FIFO"
    if announced:
        return f"admission: {AUTO} is on now, because {', '.join(announced)} is announced ({rights})"
    return f"admission: {AUTO} is off now, because no critical job is announced ({rights})"
