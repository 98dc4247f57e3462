"""A fault at every write: afterwards each file is the old or the new one, and nothing stale lies
about."""

import errno
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.prepared import write_prepared
from core.data.samples import load_samples
from core.data.sources import prepare
from core.deploy.export import export
from core.exits.policy import Policy
from core.exits.table_file import save_tables
from core.foundation.errors import UserError
from core.foundation.files import atomic_folder, atomic_path
from core.hub.model import Model, load
from core.hub.registry import tables_of
from core.training.checkpoint import Checkpoint, save_checkpoint
from tests.core.data.test_folders import pets

FAULTS: tuple[tuple[Any, str], ...] = (
    *((os, name) for name in ("fsync", "replace", "rename", "mkdir", "chmod")),
    (tempfile, "mkstemp"),
)
"""Calls that fail, one after another."""
SIZES = (0, 100, 1000, 4096, 20_000)
"""Bytes after which any file is cut off."""


@contextmanager
def failing(place: Any, name: str, at: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let one call of a function fail as on a full disk; yield how often it was called."""
    real, calls = getattr(place, name), [0]

    def fails(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*given, **named)

    with monkeypatch.context() as broken:
        broken.setattr(place, name, fails)
        yield calls


@contextmanager
def cut_off(size: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def model() -> Model:
    return load("eenet8-mnist")


Write = Callable[[Path, int], None]
"""Writes something of a version, 0 or 1, below a folder."""


def write_policy(folder: Path, version: int) -> None:
    Policy("margin", [version / 2]).save(folder / "policy.json")


def write_table(folder: Path, version: int) -> None:
    table = tables_of("eenet8-mnist")["test"]
    save_tables(folder / "table.npz", {"test": table.select(np.arange(200) + version)})


def write_data(folder: Path, version: int) -> None:
    images = np.full((20, 8, 8, 3), version, np.uint8)
    write_prepared("mine", "train", images, np.arange(20) % 2, ("a", "b"), folder)


def write_checkpoint(folder: Path, version: int) -> None:
    tensors = {"network.x": torch.full((2000,), float(version))}
    save_checkpoint(folder / "checkpoint.safetensors", Checkpoint(tensors, {"epoch": version}))


def write_model(folder: Path, version: int) -> None:
    small = tables_of("eenet8-mnist")["test"].select(np.arange(40))
    load("eenet8-mnist").save(
        folder / "model", small, policy=Policy("margin", [0.5, version / 2]), on_note=str
    )


def write_bundle(folder: Path, version: int) -> None:
    policy, images = Policy("margin", [0.5, version / 2]), load_samples("mnist").images[:4]
    export(load("eenet8-mnist"), policy, folder / "bundle", images, triton=True)


def prepare_folder(folder: Path, version: int) -> None:
    source = folder.parent / "source"
    if not source.exists():
        pets(source)
    prepare("pets", folder, source, 8 + version, progress=False)


WRITES: tuple[Write, ...] = (
    *(write_policy, write_table, write_data, write_checkpoint, write_model, write_bundle),
    prepare_folder,
)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def each_is_old_or_new(
    folder: Path, old: dict[str, bytes], new: dict[str, bytes], write: Write
) -> None:
    now = content(folder)
    assert now.keys() <= old.keys() | new.keys(), "something stale lies about"
    assert now.keys() >= old.keys() & new.keys(), "something is neither old nor new"
    if write in (write_model, write_bundle):  # as a whole
        assert now in (old, new)
    for name, body in now.items():
        assert body in (old.get(name), new.get(name)), name


def refusal(write: Write, folder: Path) -> str:
    """The sentence by which a write is refused; "" where it succeeds."""
    try:
        write(folder, 1)
    except UserError as error:
        return str(error)
    return ""


def versions(write: Write, folder: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What both versions are; the old one is there afterwards."""
    write(folder, 1)
    new = content(folder)
    write(folder, 0)
    return content(folder), new


@pytest.mark.parametrize("write", WRITES)
def test_a_call_that_fails(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    old, new = versions(write, folder)
    refusals = []
    for place, name in FAULTS:
        at, called = 1, 1
        while called >= at:
            with failing(place, name, at, monkeypatch) as calls:
                refusals.append(refusal(write, folder))
            called = calls[0]
            each_is_old_or_new(folder, old, new, write)
            write(folder, 0)
            assert content(folder) == old
            at += 1
    sentences = [sentence for sentence in refusals if sentence]
    assert len(sentences) >= 3
    assert all("disk is full" in one and str(folder) in one for one in sentences)


@pytest.mark.parametrize("write", WRITES)
def test_a_file_that_is_cut_off(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    old, new = versions(write, folder)
    for size in SIZES:
        with cut_off(size):
            sentence = refusal(write, folder)
        assert size or sentence
        assert not sentence or ("disk is full" in sentence and str(folder) in sentence)
        each_is_old_or_new(folder, old, new, write)
        write(folder, 0)
        assert content(folder) == old


def killed(write: Write, folder: Path) -> None:
    """Begin to write in a process that is killed meanwhile."""
    pid = os.fork()
    if pid == 0:
        write(folder, 1)
        os._exit(0)
    os.waitpid(pid, 0)


def begin_file(folder: Path, version: int) -> None:
    with atomic_path(folder / "a.json") as partial:
        partial.write_text("half")
        os._exit(9)


def begin_folder(folder: Path, version: int) -> None:
    with atomic_folder(folder / "model") as partial:
        (partial / "a").write_text("half")
        os._exit(9)


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    killed(begin_file, tmp_path)
    killed(begin_folder, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_path(tmp_path / "b.json") as partial:  # leaves alone what is of another
        partial.write_text("b")
    assert len(list(tmp_path.iterdir())) == 3
    with atomic_path(tmp_path / "a.json") as partial:
        partial.write_text("a")
    with atomic_folder(tmp_path / "model"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json", "model"]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.json") as first, atomic_folder(tmp_path / "model") as folder:
        with atomic_path(tmp_path / "a.json") as second, atomic_folder(tmp_path / "model"):
            assert first.exists()
            assert folder.exists()
            second.write_text("second")
        first.write_text("first")
    assert (tmp_path / "a.json").read_text() == "first"


def test_a_file_system_without_locks_is_written_to_and_not_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("core.foundation.files.fcntl.flock", unknown)
    killed(begin_file, tmp_path)
    write_policy(tmp_path, 1)
    with atomic_path(tmp_path / "a.json") as partial:
        partial.write_text("a")
    assert len(list(tmp_path.iterdir())) == 3
