# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A model hub on loopback: what `snapshot_download` of huggingface_hub asks for, and faults at will."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, content; Content-Length is of the content unless the headers have another."""


class TinyHub:
    """Serves the files of a folder under any name. spoil: changes answers, given the question (GET /path)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.spoil: Callable[[str, Answer], Answer] = lambda question, answer: answer
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._serve(self)

            do_HEAD = do_GET  # noqa: N815 (its name in http.server)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def commit(self) -> str:
        """The version of the files: another for other content."""
        return hashlib.sha1("".join(_etag(file) for file in self._files()).encode()).hexdigest()

    def close(self) -> None:
        """Be gone."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _files(self) -> list[Path]:
        return sorted(file for file in self.folder.rglob("*") if file.is_file())

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path
        self.asked.append(path)
        status, headers, content = self.spoil(f"{request.command} {path}", self._answer(path))
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start and status == 200:
            status, content = 206, content[start:]
        with suppress(ConnectionError):  # whoever asked does not always wait
            request.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **headers}.items():
                request.send_header(key, value)
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(content)

    def _answer(self, path: str) -> Answer:
        """Return what the hub says, from https://huggingface.co/docs/hub/api and what huggingface_hub reads of it."""
        names = {file.relative_to(self.folder).as_posix(): file for file in self._files()}
        if (match := re.fullmatch("/api/models/([^/]+/[^/]+)/revision/main", path)) is not None:
            siblings = [{"rfilename": name} for name in names]
            return as_json({"id": match[1], "sha": self.commit, "siblings": siblings})
        if path.endswith(f"/tree/{self.commit}"):
            return as_json(
                [
                    {"type": "file", "path": name, "size": file.stat().st_size, "oid": _etag(file)}
                    for name, file in names.items()
                ]
            )
        file = names.get(path.partition(f"/resolve/{self.commit}/")[2])
        if file is None:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "there is none"}, b""
        return 200, {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": self.commit}, file.read_bytes()


def as_json(data: Any) -> Answer:
    """Return an answer with data."""
    return 200, {"Content-Type": "application/json"}, json.dumps(data).encode()


def _etag(file: Path) -> str:
    return hashlib.sha1(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode()).hexdigest()
