"""A server of our own to download from."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def serving(content: Callable[[str], bytes | None]) -> Iterator[tuple[str, list[str]]]:
    """Yield a server's address and the paths that are requested from it, in order.

    ``content`` gives the body for a path; None is "not found". Of /half only half arrives, and the
    length of /untold is not told.
    """
    requested: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            body = content(self.path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            if self.path != "/untold":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path == "/half" else body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with mock.patch.dict(os.environ, {"no_proxy": "127.0.0.1"}):
        yield f"http://127.0.0.1:{server.server_port}", requested
    server.shutdown()
    server.server_close()
