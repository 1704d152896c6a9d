# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A device: what background jobs share with critical ones, such as the processor cores or one GPU.

Its unit is one name, and the limits that hold for all jobs of all processes of this user on it.
"""

from __future__ import annotations

import os

from edge_stack_core.admission import layout
from edge_stack_core.admission.page import AdmissionPage

DEFAULT_GUARD_S = 0.0005


class AdmissionDevice:
    """
    One device of this machine. Limits that are given hold for everyone from then on; those left out stay.

    The names in use are "cpu" for the processor cores and "cuda:0" and so on for GPUs; any other name is as good.
    """

    def __init__(
        self,
        name: str,
        limit: int | None = None,
        guard_s: float | None = None,
        co_run: int | None = None,
        measure: str | None = None,
    ) -> None:
        """
        Open or make admission of a device.

        Args:
            name: the same word in every process.
            limit: background jobs at once; first: as many as there are cores for "cpu", 1 for others.
            guard_s: kept free before each critical release; first: 0.5 ms.
            co_run: background jobs that may run beside an active critical job, as long as they do not stretch it
                (admission/co_run.py); first: all cores but one for "cpu", 0 for others.
            measure: what a background job's duration is learned from. "wall": from its begin to its end. "cpu": processor
                time of the thread that runs it, so that what other programs take from it does not count. None: "cpu" for
                the device "cpu", "wall" for others.
        """
        self.name = name
        self.measure = measure or ("cpu" if name == "cpu" else "wall")
        cores = len(os.sched_getaffinity(0)) if name == "cpu" else 1
        self._limits = (
            limit if limit is not None else cores,
            round((guard_s if guard_s is not None else DEFAULT_GUARD_S) * 1e9),
            co_run if co_run is not None else cores - 1,
        )
        page = self.page()
        given = ((layout.H_LIMIT, limit), (layout.H_GUARD, guard_s), (layout.H_CO_RUN, co_run))
        for (word, value), figure in zip(given, self._limits, strict=True):
            if value is not None and page.words[word] != figure:
                page.words[word] = figure

    @staticmethod
    def of(device: AdmissionDevice | str) -> AdmissionDevice:
        """Return the device, opened if only its name is given."""
        return device if isinstance(device, AdmissionDevice) else AdmissionDevice(device)

    def page(self) -> AdmissionPage:
        """Return the shared page as it is now."""
        return AdmissionPage.open(self.name, *self._limits)
