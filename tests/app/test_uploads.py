"""Uploaded files: within a budget, the oldest are let go first, and their owners are told."""

from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from app import uploads
from app.uploads import LimitedUploads, UploadBudget


@pytest.fixture
def files() -> MemoryUploadedFileManager:
    return MemoryUploadedFileManager("/_stcore/upload_file")


def upload(
    files: MemoryUploadedFileManager, budget: UploadBudget, session: str, name: str, size: int
) -> None:
    files.add_file(session, UploadedFileRec(name, f"{name}.png", "image/png", bytes(size)))
    budget.came(files, session, name)


def kept(files: MemoryUploadedFileManager, session: str) -> list[str]:
    return list(files.file_storage.get(session, {}))


def test_a_session_loses_its_oldest_files_and_is_told_once(
    files: MemoryUploadedFileManager,
) -> None:
    budget = UploadBudget(of_a_session=10, of_all=1000)
    for name in "abc":
        upload(files, budget, "mine", name, 4)
    upload(files, budget, "other", "d", 9)
    assert kept(files, "mine") == ["b", "c"]
    assert kept(files, "other") == ["d"]
    assert budget.take_dropped("mine") == ["a.png"]
    assert budget.take_dropped("mine") == []
    assert budget.take_dropped("other") == []


def test_the_newest_file_stays_however_large(files: MemoryUploadedFileManager) -> None:
    budget = UploadBudget(of_a_session=10, of_all=1000)
    upload(files, budget, "mine", "a", 4)
    upload(files, budget, "mine", "b", 40)
    assert kept(files, "mine") == ["b"]


def test_all_sessions_together_lose_the_oldest_files(files: MemoryUploadedFileManager) -> None:
    budget = UploadBudget(of_a_session=10, of_all=20)
    for session in ("first", "second", "third"):
        upload(files, budget, session, "a", 8)
    assert [kept(files, session) for session in ("first", "second", "third")] == [[], ["a"], ["a"]]
    assert budget.take_dropped("first") == ["a.png"]


def test_what_a_session_took_with_it_counts_no_more(files: MemoryUploadedFileManager) -> None:
    budget = UploadBudget(of_a_session=10, of_all=20)
    upload(files, budget, "first", "a", 8)
    upload(files, budget, "first", "b", 8)  # "a" is let go, which nobody is told any more
    files.remove_session_files("first")
    upload(files, budget, "second", "a", 8)
    upload(files, budget, "third", "a", 8)
    assert kept(files, "second") == ["a"]
    assert budget.take_dropped("first") == []


@pytest.mark.parametrize(("status", "counted"), [(204, True), (403, False), (413, False)])
def test_only_uploads_that_succeed_count(
    files: MemoryUploadedFileManager, monkeypatch: pytest.MonkeyPatch, status: int, counted: bool
) -> None:
    budget, sent = UploadBudget(of_a_session=10, of_all=20), []
    monkeypatch.setattr(uploads, "_budget", lambda: budget)
    monkeypatch.setattr(uploads, "get_instance", lambda: SimpleNamespace(uploaded_file_mgr=files))
    upload(files, budget, "mine", "a", 8)

    async def server(scope: Any, receive: Any, send: Any) -> None:
        files.add_file("mine", UploadedFileRec("b", "b.png", "image/png", bytes(8)))
        await send({"type": "http.response.start", "status": status})

    async def send(message: Any) -> None:
        sent.append(message["status"])

    scope = {"type": "http", "method": "PUT", "path": "/below/_stcore/upload_file/mine/b"}
    with pytest.raises(StopIteration):  # nothing waits, so that it takes no event loop
        LimitedUploads(server)(scope, None, send).send(None)  # type: ignore[arg-type]
    assert sent == [status]
    assert kept(files, "mine") == (["b"] if counted else ["a", "b"])
