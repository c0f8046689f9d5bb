"""An index over HTTP whose every answer the test writes itself: wrong ones, hostile ones, and those with an ETag."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Reply:
    """An answer. With an `etag` it is 304 to who has it already; `slow` seconds pass between two pieces of it."""

    body: bytes = b""
    content_type: str = JSON
    status: int = 200
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    slow: float = 0.0


class OddIndex:
    """Answers what `pages` says of a path, else 404; `asked` are the paths and headers, in order."""

    def __init__(self, pages: Mapping[str, Reply] | None = None) -> None:
        self.pages = dict(pages or {})
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                reply = index.pages.get(self.path, Reply(status=404))
                if reply.etag is not None and self.headers.get("If-None-Match") == reply.etag:
                    reply = Reply(status=304, etag=reply.etag)
                self.send_response(reply.status)
                for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
                    self.send_header(name, value)
                if reply.etag is not None:
                    self.send_header("ETag", reply.etag)
                if reply.status != 304:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if not reply.slow:
                    self.wfile.write(reply.body)
                    return
                for start in range(0, len(reply.body), 10):
                    if index.closing.wait(reply.slow):
                        return
                    self.wfile.write(reply.body[start : start + 10])

            def log_message(self, format: str, *args: Any) -> None:
                """`asked` is the log."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that has heard enough is what these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The address of the index."""
        return f"http://{self.host}/simple/"

    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [path for path, _ in self.asked]

    def close(self) -> None:
        """Answer no more."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.closing.is_set():
            self.close()
