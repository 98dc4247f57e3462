"""What a server for strangers leaves out: one switch, `$EENET_PUBLIC`, see docs/deploying.md."""

import os
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.foundation.places import CHECKOUT, PRETRAINED, data_root
from core.foundation.public import is_public

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRAMES = "EENET_FRAMES"
"""Environment variable: the sites that may frame the pages."""
PUBLIC_UPLOAD = 64 * 2**20
"""Bytes of a file, and of all files of a session, where strangers visit."""
_PATH = re.compile(r"(?<![\w/:.<])(?:~|\.{1,2})?/(?:[^\s/'\"`,;:()]+/)+([^\s/'\"`,;:()]*)")
_CONTENT = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self' ws: wss: data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {ancestors}"
)


def shown(sentence: str) -> str:
    """Return a sentence as visitors may read it: in public, without paths of this machine."""
    if not is_public():
        return sentence
    roots = (data_root(), PRETRAINED, CHECKOUT, Path.cwd(), Path.home(), tempfile.gettempdir())
    for root in sorted((str(root) for root in roots if root), key=len, reverse=True):
        if len(root) > 1:
            sentence = sentence.replace(f"{root}/", "/…/")
    return _PATH.sub(lambda found: found[1] or "a folder", sentence)


def headers() -> list[tuple[bytes, bytes]]:
    """Return what browsers are told with every answer.

    Streamlit's own code needs inline styles and scripts. Other sites may frame the pages only where
    `$EENET_FRAMES` names them.
    """
    ancestors = " ".join(("'self'", *os.environ.get(FRAMES, "").split()))
    lines = {
        "content-security-policy": _CONTENT.format(ancestors=ancestors),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
    }
    return [(name.encode(), value.encode()) for name, value in lines.items()]


class Guarded:
    """Middleware that adds `headers`, and in public closes what is for operators."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app, self._headers, self._public = app, headers(), is_public()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._public and scope["path"].rstrip("/").endswith("/_stcore/metrics"):
            await send({"type": "http.response.start", "status": 404, "headers": self._headers})
            await send({"type": "http.response.body", "body": b"Not found"})
        else:
            await self._app(scope, receive, self._with_headers(send))

    def _with_headers(self, send: "Send") -> Callable[["Message"], Awaitable[None]]:
        async def sending(message: "Message") -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in self._headers}
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in own]
                message = {**message, "headers": [*kept, *self._headers]}
            await send(message)

        return sending
