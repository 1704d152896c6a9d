# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What waits between a session's network and its policy, and who may have a session.

A mailbox holds one observation, the newest. Seats are the policies of a server, one for each session. A client that comes
back after a cut takes over its own seat; a seat whose client has been silent for a while goes to a newcomer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge_stack_policy.base import Policy
from edge_stack_policy.remote import policy_service_pb2 as pb

SEAT_IDLE_S = 30.0
_TAKE_OVER_S = 5.0  # for the former session's computation to end


@dataclass(frozen=True)
class Letter:
    """A request and when it arrived, on this machine's monotonic clock, s."""

    request: pb.Request
    arrival_s: float


class Mailbox:
    """The first request, then one at a time: the newest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._first: Letter | None = None
        self._letter: Letter | None = None
        self._superseded: list[int] = []
        self._closed = False

    def fill(self, requests: Iterable[pb.Request]) -> None:
        """Put every request in, until they end or the call does."""
        try:
            for number, request in enumerate(requests):
                letter = Letter(request, time.monotonic())
                with self._changed:
                    if number == 0:
                        self._first = letter
                    else:
                        if self._letter is not None:
                            self._superseded.append(self._letter.request.observation.sequence)
                            del self._superseded[:-64]
                        self._letter = letter
                    self._changed.notify_all()
        except Exception:  # noqa: BLE001 (grpc raises a bare Exception when a call is over)
            pass
        finally:
            self.close()

    def take_first(self, timeout_s: float) -> Letter | None:
        """Wait for the first request; None: the call is over, or the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._first is not None or self._closed, timeout_s)
            return None if self._closed else self._first

    def take(self) -> tuple[Letter | None, list[int]]:
        """Wait for a later request; also return which ones it superseded. None: the call is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._letter is not None or self._closed)
            letter, self._letter = self._letter, None
            superseded, self._superseded = self._superseded, []
            return (None if self._closed else letter), superseded

    def close(self) -> None:
        """End: nothing is taken from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass
class Seat:
    """One policy and who uses it. used_s: when its client was heard of last, s. end: makes its session end."""

    policy: Policy
    client_id: bytes = b""
    used_s: float = 0.0
    end: Callable[[str], None] | None = None
    task_count: int = 0


class Seats:
    """The policies of one server. Thread-safe."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._seats = [Seat(policy) for policy in policies]
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._seats)

    def take(self, client_id: bytes, end: Callable[[str], None]) -> Seat | None:
        """Return a seat for a client, its policy as new; None if all are taken by others."""
        until_s = time.monotonic() + _TAKE_OVER_S
        with self._changed:
            while True:
                seat = next((s for s in self._seats if s.end is None), None)
                own = next((s for s in self._seats if s.end is not None and s.client_id == client_id), None)
                if own is None and seat is not None:
                    seat.client_id, seat.end, seat.used_s = client_id, end, time.monotonic()
                    seat.task_count = 0
                    seat.policy.reset()
                    return seat
                leaving = own or self._idle()
                if leaving is None or time.monotonic() >= until_s:
                    return None
                assert leaving.end is not None
                leaving.end("its seat was given away" if own is None else "its client came back")
                self._changed.wait(0.05)

    def leave(self, seat: Seat) -> None:
        """Free a seat."""
        with self._changed:
            seat.end, seat.client_id = None, b""
            self._changed.notify_all()

    def _idle(self) -> Seat | None:
        oldest = min(self._seats, key=lambda seat: seat.used_s)
        return oldest if time.monotonic() - oldest.used_s > SEAT_IDLE_S else None


def session_thread(requests: Iterable[pb.Request], mailbox: Mailbox) -> None:
    """Start the thread that reads a call's requests."""
    threading.Thread(target=mailbox.fill, args=(requests,), name="policy session", daemon=True).start()


def is_client_id(client_id: bytes) -> bool:
    """Whether it is as the protocol says."""
    return len(client_id) == 16
