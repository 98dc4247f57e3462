"""Files from the network, by a server of our own."""

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.fetch import RemoteFile, fetch
from core.foundation.jobs import Stopped
from tests.core.data.servers import serving

CONTENT = bytes(range(256)) * 1024
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def quiet(done: int, whole: int | None) -> None:
    pass


@pytest.fixture
def address() -> Iterator[str]:
    special = {"/missing": None, "/other": b"something else"}
    with serving(lambda path: special.get(path, CONTENT)) as (address, _):
        yield address


def test_it_arrives_whole_and_tells_how_far_it_is(tmp_path: Path, address: str) -> None:
    told: list[tuple[int, int | None]] = []
    path = tmp_path / "deep" / "file"
    fetch(RemoteFile(path, [f"{address}/whole"], MD5), lambda *now: told.append(now))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) > 1


def test_a_server_may_keep_quiet_about_the_length(tmp_path: Path, address: str) -> None:
    told: list[int | None] = []
    file = RemoteFile(tmp_path / "file", [f"{address}/untold"], MD5)
    fetch(file, lambda done, whole: told.append(whole))
    assert set(told) == {None}


@pytest.mark.parametrize("first", ["missing", "half", "other"])
def test_the_next_address_is_tried(first: str, tmp_path: Path, address: str) -> None:
    file = RemoteFile(tmp_path / "file", [f"{address}/{first}", f"{address}/whole"], MD5)
    fetch(file, quiet)
    assert file.path.read_bytes() == CONTENT


@pytest.mark.parametrize(("path", "says"), [("missing", "404"), ("other", "corrupted")])
def test_without_any_the_reasons_are_told_and_nothing_is_left(
    path: str, says: str, tmp_path: Path, address: str
) -> None:
    file = RemoteFile(tmp_path / "file", [f"{address}/{path}", "http://127.0.0.1:9/"], MD5)
    with pytest.raises(ConnectionError, match=says) as caught:
        fetch(file, quiet)
    assert "127.0.0.1:9" in str(caught.value)
    assert not file.path.exists()


def test_it_ends_when_nobody_wants_it(tmp_path: Path, address: str) -> None:
    def enough(done: int, whole: int | None) -> None:
        raise Stopped

    file = RemoteFile(tmp_path / "file", [f"{address}/whole", f"{address}/whole"], MD5)
    with pytest.raises(Stopped):
        fetch(file, enough)
    assert file.path.stat().st_size < len(CONTENT)


def test_a_full_disk_is_not_taken_for_a_bad_address(tmp_path: Path, address: str) -> None:
    def full(done: int, whole: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        fetch(RemoteFile(tmp_path / "file", [f"{address}/whole"], MD5), full)
    assert caught.value.errno == errno.ENOSPC
