# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What every job has of admission: a slot in its page, and a look now and then whether it still is there.

Its unit is one job's slot. Neither is the page for ever the one that others open (its file may be removed), nor the slot
the job's (somebody who takes it for dead may free it): then the job joins anew.
"""

from __future__ import annotations

import time
from typing import ClassVar

from edge_stack_core.admission import layout
from edge_stack_core.admission.device import AdmissionDevice
from edge_stack_core.admission.page import AdmissionPage

# How often to look whether the shared memory still is the one that others open.
_LOOK_AFTER_NS = 1_000_000_000


class Member:
    """A job's place in admission. Used by one thread at a time. STATE: of the slot when it is taken."""

    STATE: ClassVar[int]

    def __init__(self, device: AdmissionDevice | str, name: str) -> None:
        """Join nothing yet."""
        self.name = name
        self._device = AdmissionDevice.of(device)

    def _join(self) -> None:
        self._page: AdmissionPage = self._device.page()
        self._words = self._page.words
        self._slot, self._token = self._page.claim(self.STATE, self.name)
        self._base = layout.base_of(self._slot)
        self._look_at_ns = time.monotonic_ns() + _LOOK_AFTER_NS

    def _look_after(self, now_ns: int) -> bool:
        """Make sure that the page is the one that others open and the slot is this job's; return whether it joined anew."""
        self._look_at_ns = now_ns + _LOOK_AFTER_NS
        if self._page.stale:
            raise RuntimeError(
                f"admission: job {self.name!r} was made before this process was forked; make it anew"
            )
        if self._words[self._base + layout.S_TOKEN] != self._token or self._page.was_replaced():
            self._join()
            return True
        return False
