"""Data sets that come in the background, whoever asked for them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.data.downloads import Downloads
from core.data.prepared import ImageSet, load_prepared
from core.data.sources import DATASETS, Request
from core.foundation.errors import UserError

PATIENCE = 60.0
PIXELS = np.random.RandomState(0).randint(0, 256, (4, 8, 8, 3)).astype(np.uint8)


class Source:
    """A data set that arrives when it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.asked = 0
        self.mistake: Exception | None = None

    def __call__(self, request: Request) -> tuple[ImageSet, ImageSet]:
        self.asked += 1
        (request.workspace / "half a file").write_text("…")
        while not self.let_go.wait(0.001):
            request.on_progress(0.5, "half of it")
            self.begun.set()
        if self.mistake is not None:
            raise self.mistake
        labels = np.array([0, 1, 0, 1])
        part = ImageSet.counted(request.name, "train", PIXELS, labels, ("a", "b"))
        return part, part.select([0, 1])


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    found = Source()
    for name in ("slow", "other"):
        monkeypatch.setitem(DATASETS, name, found)
    yield found
    found.let_go.set()


def test_it_is_there_in_the_end(tmp_path: Path, source: Source) -> None:
    downloads = Downloads()
    assert downloads.of("slow", tmp_path) is None
    job = downloads.start("slow", tmp_path)
    assert source.begun.wait(PATIENCE)
    assert (job.fraction, job.message) == (0.5, "half of it")
    source.let_go.set()
    assert job.wait(PATIENCE)
    assert job.result == tmp_path / "slow"
    assert len(load_prepared("slow", "test", tmp_path)) == 2


def test_two_who_want_the_same_wait_for_one(tmp_path: Path, source: Source) -> None:
    downloads = Downloads()
    job = downloads.start("slow", tmp_path)
    assert downloads.start("slow", tmp_path) is job
    assert downloads.of("slow", tmp_path) is job
    with pytest.raises(UserError, match="slow is being downloaded"):
        downloads.start("other", tmp_path)
    source.let_go.set()
    assert job.wait(PATIENCE)
    assert source.asked == 1
    assert downloads.start("other", tmp_path).wait(PATIENCE)


def test_called_off_it_leaves_nothing_and_may_begin_again(tmp_path: Path, source: Source) -> None:
    downloads = Downloads()
    job = downloads.start("slow", tmp_path)
    assert source.begun.wait(PATIENCE)
    job.stop()
    assert job.wait(PATIENCE)
    assert job.stage == "stopped"
    assert list(tmp_path.iterdir()) == []
    source.let_go.set()
    again = downloads.start("slow", tmp_path)
    assert again.wait(PATIENCE)
    assert again.stage == "finished"


def test_what_goes_wrong_is_a_sentence(tmp_path: Path, source: Source) -> None:
    source.mistake = UserError("expected to download slow, but got: nobody answers.")
    source.let_go.set()
    downloads = Downloads()
    job = downloads.start("slow", tmp_path)
    assert job.wait(PATIENCE)
    assert (job.stage, job.mistake) == ("failed", str(source.mistake))
    assert list(tmp_path.iterdir()) == []
    source.mistake = ZeroDivisionError("a secret")
    job = downloads.start("slow", tmp_path)
    assert job.wait(PATIENCE)
    assert "secret" not in job.mistake
    assert "broke off" in job.mistake
