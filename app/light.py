"""What browsers load, made small: Streamlit's own files are compressed once, and kept."""

import gzip
import hashlib
import re
import threading
from typing import TYPE_CHECKING

import anyio
from starlette.responses import Response

from app import icons

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 64 * 2**20
"""Bytes of compressed files that are kept."""
_SMALL = 1000  # bytes that are not worth it
_COMPRESSED = re.compile(rb"text/|application/(javascript|json|wasm)|image/svg")
_UNUSED_FONT = re.compile(
    rb'<link\s+rel="preload"[^>]*SourceSans[^>]*>|@font-face\s*{[^}]*SourceSans[^}]*}'
)
"""In Streamlit's page and style sheet: a font that the explorer's theme does without."""


class Light:
    """Middleware that compresses files with a name of their own version, and Streamlit's page.

    The font of icons is replaced by a small one as soon as that is made.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app
        self._kept: dict[str, bytes] = {}
        self._lock = threading.Lock()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve a request."""
        if scope["type"] == "http" and f"/{icons.NAME}" in scope["path"]:
            font = icons.font_if_made()
            if font is not None:
                await _unless_known(scope, font)(scope, receive, send)
                return
        if scope["type"] != "http" or scope["method"] != "GET" or not _accepts_gzip(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        parts: list[bytes] = []

        async def sending(message: "Message") -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_text(message):
                start = message
            elif start is None:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._send(scope["path"], start, b"".join(parts), send)

        await self._app(scope, receive, sending)

    async def _send(self, path: str, start: "Message", body: bytes, send: "Send") -> None:
        headers = [(name.lower(), value) for name, value in start.get("headers", ())]
        if dict(headers)[b"content-type"].startswith((b"text/html", b"text/css")):
            body = _UNUSED_FONT.sub(b"", body)
        if len(body) >= _SMALL:
            body = await anyio.to_thread.run_sync(self._compressed, path, body)
            headers.append((b"content-encoding", b"gzip"))
        replaced = (b"content-length", b"accept-ranges")
        headers = [one for one in headers if one[0] not in replaced]
        headers += [(b"content-length", str(len(body)).encode()), (b"vary", b"accept-encoding")]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _compressed(self, path: str, body: bytes) -> bytes:
        versioned = "/static/" in path
        with self._lock:
            if versioned and path in self._kept:
                return self._kept[path]
        small = gzip.compress(body, 9 if versioned else 6, mtime=0)
        with self._lock:
            if versioned and sum(map(len, self._kept.values())) + len(small) <= MOST:
                self._kept[path] = small
        return small


def _unless_known(scope: "Scope", font: bytes) -> Response:
    """Another version of the explorer has other icons under the same address."""
    tag = f'"{hashlib.sha256(font).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1") == tag:
        return Response(status_code=304, headers=headers)
    return Response(font, media_type="font/woff2", headers=headers)


def _accepts_gzip(scope: "Scope") -> bool:
    given = dict(scope["headers"])
    return b"gzip" in given.get(b"accept-encoding", b"") and b"range" not in given


def _is_text(start: "Message") -> bool:
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    kind = headers.get(b"content-type", b"")
    whole = start["status"] == 200 and b"content-encoding" not in headers
    return whole and bool(_COMPRESSED.match(kind)) and not kind.startswith(b"text/event-stream")
