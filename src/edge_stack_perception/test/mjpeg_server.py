# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera on the network for tests: MJPEG over HTTP with a user and a password."""

from __future__ import annotations

import base64
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class MjpegServer:
    """Serves 64x48 pictures at about 20 Hz until it is closed; a context manager."""

    def __init__(self, user: str, password: str, port: int = 0) -> None:
        wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        stopped = self._stopped = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                while not stopped.is_set():
                    number += 1
                    picture = np.linspace(0, 200, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
                    picture[:8, :8] = number % 200
                    data = cv2.imencode(".jpg", picture)[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + data + b"\r\n")
                    except OSError:
                        return
                    time.sleep(0.05)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def address(self, user: str, password: str) -> str:
        return f"http://{user}:{password}@127.0.0.1:{self.port}/stream.mjpg"

    def close(self) -> None:
        """End all connections, and refuse new ones."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> MjpegServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
