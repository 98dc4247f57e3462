"""A budget for uploaded files: of each session, and of all. The oldest files are let go first."""

import re
import threading
from collections import deque
from functools import cache
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime import exists, get_instance
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.public import PUBLIC_UPLOAD
from core.foundation.public import is_public

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OF_A_SESSION = 256 * 2**20
"""Bytes; the largest single file that any page takes has as many."""
OF_ALL = 2**30
_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)$")


class UploadBudget:
    """Uploads in the order in which they came, and the names of those that were let go."""

    def __init__(self, of_a_session: int, of_all: int) -> None:
        self._of_a_session, self._of_all = of_a_session, of_all
        self._came: deque[tuple[str, str]] = deque()
        self._dropped: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def came(self, files: MemoryUploadedFileManager, session: str, file: str) -> None:
        """Take note of a file that has been uploaded, and let older ones go if need be.

        Args:
            files: that the server keeps; a session's are gone when it ends.
            session: that the file belongs to.
            file: its identifier.
        """
        with self._lock:
            self._came.append((session, file))
            kept = deque(one for one in self._came if files.get_files(one[0], [one[1]]))
            sizes = {one: len(files.get_files(one[0], [one[1]])[0].data) for one in kept}
            mine = sum(size for (owner, _), size in sizes.items() if owner == session)
            total = sum(sizes.values())
            for one in list(kept)[:-1]:
                too_much_here = one[0] == session and mine > self._of_a_session
                if not too_much_here and total <= self._of_all:
                    continue
                (record,) = files.get_files(one[0], [one[1]])
                files.remove_file(*one)
                kept.remove(one)
                total -= sizes[one]
                mine -= sizes[one] if one[0] == session else 0
                self._dropped.setdefault(one[0], []).append(record.name)
            self._came = kept
            owners = files.file_storage.keys()
            self._dropped = {owner: x for owner, x in self._dropped.items() if owner in owners}

    def take_dropped(self, session: str) -> list[str]:
        """Return the names of a session's files that were let go since it was last told."""
        with self._lock:
            return self._dropped.pop(session, [])


@cache
def _budget() -> UploadBudget:
    return UploadBudget(of_a_session(), of_all())


def of_a_session() -> int:
    """Return the bytes that a session's uploads may have together."""
    return PUBLIC_UPLOAD if is_public() else OF_A_SESSION


def of_all() -> int:
    """Return the bytes that all uploads may have together."""
    return OF_ALL // 2 if is_public() else OF_ALL


class LimitedUploads:
    """Middleware that keeps uploads within the budget."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve a request; after an upload that succeeded, older files may be let go."""
        upload = scope["type"] == "http" and scope["method"] == "PUT"
        place = _UPLOAD.search(scope["path"]) if upload else None

        async def watched(message: "Message") -> None:
            if place and message["type"] == "http.response.start" and message["status"] < 300:
                files = get_instance().uploaded_file_mgr
                assert isinstance(files, MemoryUploadedFileManager)
                _budget().came(files, *place.groups())
            await send(message)

        await self._app(scope, receive, watched)


def say_what_was_let_go() -> None:
    """Tell a visitor which uploads are no longer kept."""
    context = get_script_run_ctx()
    names = _budget().take_dropped(context.session_id) if context and exists() else []
    if names:
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        st.info(
            f"Earlier uploads are no longer kept: {', '.join(names[:3])}{more}. A session keeps "
            f"{of_a_session() // 2**20} MB of files, all sessions together "
            f"{of_all() // 2**20:,} MB; what is shown already stays.",
            icon=":material/inventory_2:",
        )
