# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Servers that answer wrongly, slowly or never, for tests of clients."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc


@contextmanager
def tcp_server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Accept connections and hand each to `serve`, in a thread of its own; yields the port."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    open_: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(connection, stop)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_.append(connection)
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        listener.close()
        for connection in open_:
            connection.close()


def silent(connection: socket.socket, stop: threading.Event) -> None:
    """Take everything and say nothing."""
    while not stop.is_set() and connection.recv(65536):
        pass


def trickle(connection: socket.socket, stop: threading.Event) -> None:
    """Begin HTTP/2 as a server does, then a frame that comes byte by byte and never ends."""
    connection.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # SETTINGS
    frame = b"\x00\x40\x00\x00\x00\x00\x00\x00\x01"
    index = 0
    while not stop.wait(0.02):
        connection.sendall(frame[index : index + 1] or b"\x00")
        index += 1


def web_server(connection: socket.socket, stop: threading.Event) -> None:
    """Answer as something else does."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    silent(connection, stop)


def noise(connection: socket.socket, stop: threading.Event) -> None:
    """Send nonsense."""
    connection.sendall(bytes(range(256)) * 64)
    silent(connection, stop)


def hang_up(connection: socket.socket, stop: threading.Event) -> None:
    """Close at once."""
    connection.close()


TCP = {"silent": silent, "trickle": trickle, "a web server": web_server, "noise": noise, "hangs up": hang_up}


@contextmanager
def grpc_server(methods: dict[str, Callable[..., Any]]) -> Iterator[int]:
    """
    Serve raw bytes.

    methods: by path; each gets the requests, an iterator of bytes, and the call's context, and yields its answers as bytes.
    """

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            method = methods.get(details.method)
            return None if method is None else grpc.stream_stream_rpc_method_handler(method)

    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0.0).wait(5.0)
