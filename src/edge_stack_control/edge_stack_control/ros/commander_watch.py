# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The fusion node's ear on its own command topic: publishes each command, and hears who else does.

Its unit is one command. It is serialized once: its digest is noted, then the bytes go out; what is heard is looked at as
bytes and never made a message. Who it is that sends what was not sent here is told by the graph.

It hears in a thread of its own, which the control thread wakes at the end of each tick: taking a message of 40 MB out of the
middleware lasts for two periods and more, whoever does it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rclpy.subscription import Subscription

from edge_stack_control.second_commander import (
    RING_WORDS,
    DigestRing,
    SecondCommander,
    private_words,
    words_for,
)
from edge_stack_core.runtime.command_page import SENT_WORDS, CommandPage

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode

TOPIC = "joint_command"
# A stranger's command may be longer than ours and is one all the same; beyond this it need not be read to know that.
_MAX_BYTES = 64 * 1024
# So many messages are looked at after each tick; each foreign one is as good as all.
_AT_ONCE = 4
# How often the graph is asked who it is.
_ASK_S = 1.0
# Of an id of Fast DDS: who made it, and a digest of the addresses of the computer it runs on.
_VENDOR, _HOST = slice(0, 2), slice(2, 4)
_FAST_DDS = b"\x01\x0f"

assert SENT_WORDS == RING_WORDS


class CommanderWatch:
    """Publishes commands, and knows whether another one does."""

    def __init__(self, node: StackNode) -> None:
        """Neither publish nor hear anything yet."""
        self._node = node
        self._own = DigestRing(private_words())
        self._page: CommandPage | None = None
        self._judge = SecondCommander(1.0, [self._own])
        self._ear: Subscription | None = None
        self._gid = b""
        self._asked_s = -_ASK_S
        self._said = False
        self._words = ""
        self._listener: threading.Thread | None = None
        self._wakes = os.eventfd(
            0, os.EFD_CLOEXEC
        )  # for good: a tick that outlives its thread's end may still write to it
        self._rests = False

    def open(self, message_type: type, profile: QoSProfile, period_s: float, page: CommandPage | None) -> Any:
        """Return the publisher of commands, and hear its topic from now on. page: shared with the standby; None: none is."""
        node = self._node
        before = set(self._gids())
        publisher = node.publisher(message_type, TOPIC, profile)
        # Nothing else tells a publisher's own id. Another one of the same name may have been discovered in between, then
        # both are taken for ours: what is judged does not depend on it.
        new = self._gids().keys() - before
        self._gid = next((gid for gid in new if self._gids().get(gid, ("", ""))[0] == self._name()), b"")
        self.use(page, period_s)
        # Best effort: whoever listens must not hold up the commands.
        hears = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._ear = node.subscription(
            message_type,
            TOPIC,
            self._take,
            hears,
            raw=True,
            max_bytes=_MAX_BYTES,
            too_large=self._take_large,
            polled=True,
        )
        return publisher

    def use(self, page: CommandPage | None, period_s: float) -> None:
        """Share a page with the standby; None: let go of the one before, which is closed next. While nothing ticks."""
        self._page = page
        shared = [] if page is None else [DigestRing(page.sent)]
        self._judge = SecondCommander(period_s, [self._own, *shared])
        if page is not None:
            page.set_publisher(self._gid)
            if page.made:  # what the others sent before is known to none of its digests
                self._judge.catch_up(time.monotonic())

    def close(self) -> None:
        """Let go of the page, which is closed next."""
        self.rest()
        self._ear = None
        self.use(None, 1.0)

    def begin(self) -> None:
        """Begin to hear and judge: at activation, before anything ticks."""
        self._judge.begin(time.monotonic())
        self._said, self._words = False, ""
        self._rests = False
        self._listener = threading.Thread(target=self._listen, name="ear", daemon=True)
        self._listener.start()

    def rest(self) -> None:
        """Hear no more: at deactivation, once nothing ticks."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._rests = True
        self.wake()
        listener.join()

    # ---- the control thread

    def wake(self) -> None:
        """Let it be looked at what came since the last tick. An executor that is woken for each command costs far more."""
        os.eventfd_write(self._wakes, 1)

    def send(self, publish: Callable[[bytes], None], message: Any) -> None:
        """Publish a command."""
        data = serialize_message(message)
        self._judge.sent(data)
        publish(data)

    def words(self, now_s: float) -> str:
        """Return who else commands, in words; "" where nobody does. now_s: monotonic."""
        if not self._judge.present(now_s):
            return ""
        return self._words or words_for([], TOPIC)

    # ---- the executor's thread

    def look(self) -> None:
        """Note that this thread runs, and say when somebody else begins to command and when he has ended."""
        now_s = time.monotonic()
        self._judge.awake(now_s)
        if self._judge.present(now_s) and not (self._said and now_s - self._asked_s < _ASK_S):
            self._asked_s = now_s
            self._words = words_for(self._others(), TOPIC)
        words = self.words(now_s)
        if bool(words) != self._said:
            self._said = bool(words)
            self._node.get_logger().warning(words or f"nobody else publishes {TOPIC} any more")

    # ---- the listener's thread

    def _listen(self) -> None:
        while True:
            os.eventfd_read(self._wakes)
            if self._rests or self._ear is None:
                return
            try:
                self._node.poll(self._ear, _AT_ONCE)
            except Exception as error:  # noqa: BLE001 (whatever the middleware says, it goes on to listen)
                self._node.count_raised(TOPIC, error)

    def _take(self, data: bytes) -> None:
        self._judge.heard(data, time.monotonic())

    def _take_large(self, _: str) -> None:
        self._judge.heard_other(time.monotonic())

    def _name(self) -> str:
        return self._node.get_fully_qualified_name()

    def _gids(self) -> dict[bytes, tuple[str, str]]:
        """Return node and namespace-less place of every publisher of the topic, by its id."""
        found = {}
        with contextlib.suppress(Exception):  # the graph may change while it is read
            for info in self._node.get_publishers_info_by_topic(TOPIC):
                gid = bytes(info.endpoint_gid)[:16].ljust(16, b"\0")
                node = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                found[gid] = (node, self._place(gid))
        return found

    def _place(self, gid: bytes) -> str:
        if self._gid[_VENDOR] == gid[_VENDOR] == _FAST_DDS and self._gid[_HOST] == gid[_HOST]:
            return f"on this host ({socket.gethostname()})"
        return f"on another host (its publisher is {gid[:12].hex()})"

    def _others(self) -> list[tuple[str, str]]:
        """Return node and place of each publisher that is none of ours."""
        ours = {self._gid} | (set() if self._page is None else self._page.publishers())
        known = self._gids()
        others = {gid: who for gid, who in known.items() if gid not in ours}
        # A process of ours that was killed stays in the graph for a while; it is not who commands.
        names = {known[gid] for gid in ours & known.keys()}
        strangers = {gid: who for gid, who in others.items() if who not in names}
        return sorted((strangers or others).values())
