"""A data set is prepared whole, or a sentence says why not and nothing is left."""

import errno
import shutil
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets

from core.data import sources
from core.data.prepared import ImageSet, load_prepared, prepared_names, write_prepared
from core.data.sources import DATASETS, Request, can_download, prepare
from core.data.splits import SPLITS, load_split
from core.foundation.errors import UserError
from core.foundation.jobs import Stopped
from tests.core.data.servers import serving
from tests.core.data.test_folders import picture

PIXELS = np.random.RandomState(0).randint(0, 256, (6, 32, 32, 3)).astype(np.uint8)
LABELS = [3, 0, 1, 2, 0, 9]


class FakeMNIST:
    mirrors: tuple[str, ...] = ()
    resources: tuple[tuple[str, str], ...] = ()

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        assert download
        (Path(root) / "downloaded").write_text("large")
        count = 6 if train else 2
        self.data = torch.from_numpy(PIXELS[:count, :28, :28, 0])
        self.targets = torch.tensor(LABELS[:count])


class FakeCIFAR:
    filename, url, tgz_md5 = "cifar.tar.gz", "http://127.0.0.1:9/cifar.tar.gz", ""
    classes = [f"class {number}" for number in range(10)]  # noqa: RUF012

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        print("Files already downloaded and verified")  # noqa: T201
        count = 6 if train else 2
        self.data, self.targets = PIXELS[:count], LABELS[:count]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(PIXELS[number]).save(folder / name / f"{number}.png")
    return folder


def leftovers(root: Path) -> list[Path]:
    return list(root.rglob("*")) if root.exists() else []


def test_mnist_is_downloaded_and_kept_as_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "MNIST", FakeMNIST)
    folder = prepare("mnist", tmp_path, progress=False)
    assert folder == tmp_path / "mnist"
    assert sorted(leftovers(tmp_path)) == [folder, folder / "test.npz", folder / "train.npz"]
    train, test = (load_prepared("mnist", file, tmp_path) for file in ("train", "test"))
    assert train.classes == tuple("0123456789")
    assert (len(train), len(test)) == (6, 2)
    np.testing.assert_array_equal(train.images, PIXELS[:, :28, :28, :1])
    np.testing.assert_array_equal(train.labels, LABELS)


@pytest.mark.parametrize(("name", "kind"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_cifar_is_downloaded_and_stdout_stays_clean(
    name: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(datasets, kind, FakeCIFAR)
    monkeypatch.setattr(sources, "fetch", lambda file, on_bytes: on_bytes(5, 5))
    prepare(name, tmp_path)
    train = load_prepared(name, "train", tmp_path)
    np.testing.assert_array_equal(train.images, PIXELS)
    assert train.classes[2] == "class 2"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "verified" in printed.err


def house_numbers(folder: Path) -> Path:
    """Files as SVHN has them: X (32, 32, 3, N), y (N, 1) with 10 for the digit 0."""
    folder.mkdir()
    marks = np.array([[10 if label == 0 else label] for label in LABELS], np.uint8)
    for split, count in (("train", 6), ("test", 2)):
        pixels = np.transpose(PIXELS[:count], (1, 2, 3, 0))
        scipy.io.savemat(folder / f"{split}_32x32.mat", {"X": pixels, "y": marks[:count]})
    return folder


def test_svhn_is_read_from_files_of_its_format(tmp_path: Path) -> None:
    prepare("svhn", tmp_path, source=house_numbers(tmp_path / "mat"), progress=False)
    train, test = (load_prepared("svhn", file, tmp_path) for file in ("train", "test"))
    np.testing.assert_array_equal(train.images, PIXELS)
    np.testing.assert_array_equal(train.labels, LABELS)
    np.testing.assert_array_equal(test.images, PIXELS[:2])
    assert train.classes == tuple("0123456789")


@pytest.mark.parametrize("damage", ["missing", "text", "truncated"])
def test_damaged_svhn_files_are_refused(damage: str, tmp_path: Path) -> None:
    source = house_numbers(tmp_path / "mat")
    file = source / "test_32x32.mat"
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"hello" if damage == "text" else content[: len(content) // 2])
    with pytest.raises(UserError, match="to be complete"):
        prepare("svhn", tmp_path / "root", source=source, progress=False)
    assert leftovers(tmp_path / "root") == []


@pytest.mark.parametrize("name", ["mnist", "svhn", "cifar10", "cifar100"])
def test_a_known_set_reads_class_folders_too(name: str, tmp_path: Path, pets: Path) -> None:
    prepare(name, tmp_path, source=pets, progress=False)
    assert load_prepared(name, "train", tmp_path).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["mnist", "svhn", "cifar10", "cifar100"])
def test_a_folder_with_neither_files_nor_pictures_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is neither"):
        prepare(name, tmp_path / "root", source=tmp_path / "empty", progress=False)


def test_unverified_cifar_files_are_not_unpickled(tmp_path: Path) -> None:
    batches = tmp_path / "files" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for number in range(1, 6):
        (batches / f"data_batch_{number}").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UserError, match="corrupted"):
        prepare("cifar10", tmp_path, source=tmp_path / "files", progress=False)


def send_downloads_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{address}/"])
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}/cifar.tar.gz")
    monkeypatch.setattr(datasets.CIFAR100, "url", f"{address}/cifar.tar.gz")
    svhn = {split: [f"{address}/{split}", f"{split}_32x32.mat", "0"] for split in ("train", "test")}
    monkeypatch.setattr(datasets.SVHN, "split_list", svhn)


DOWNLOADED = ["mnist", "svhn", "cifar10", "cifar100"]


@pytest.mark.parametrize("name", DOWNLOADED)
def test_without_a_connection_a_sentence_says_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_downloads_to("http://127.0.0.1:9", monkeypatch)  # the discard port: nobody answers
    with pytest.raises(UserError, match="check the connection") as caught:
        prepare(name, tmp_path / "root", progress=False)
    assert "\n" not in str(caught.value)
    assert leftovers(tmp_path / "root") == []


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_damaged_download_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda path: b"this is not the data set") as (address, _):
        send_downloads_to(address, monkeypatch)
        with pytest.raises(UserError, match="corrupted"):
            prepare(name, tmp_path / "root", progress=False)
    assert leftovers(tmp_path / "root") == []


@pytest.fixture
def house_numbers_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a server that has SVHN's files is asked for."""
    folder = house_numbers(tmp_path / "mat")
    with serving(lambda path: (folder / path[1:]).read_bytes()) as (address, requested):
        split_list = {
            split: [f"{address}/{file}", file, md5((folder / file).read_bytes()).hexdigest()]
            for split in ("train", "test")
            for file in [f"{split}_32x32.mat"]
        }
        monkeypatch.setattr(datasets.SVHN, "split_list", split_list)
        yield requested


def test_every_file_is_downloaded_once_and_how_far_it_is_is_told(
    tmp_path: Path, house_numbers_online: list[str]
) -> None:
    told: list[tuple[float, str]] = []
    prepare("svhn", tmp_path / "root", progress=False, on_progress=lambda *now: told.append(now))
    np.testing.assert_array_equal(load_prepared("svhn", "train", tmp_path / "root").images, PIXELS)
    assert house_numbers_online == ["/train_32x32.mat", "/test_32x32.mat"]
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0 == fractions[0] < fractions[-1] < 1
    assert any("file 2 of 2: 0.0 of 0.0 MB" in says for _, says in told)


def test_a_download_that_is_called_off_leaves_nothing(
    tmp_path: Path, house_numbers_online: list[str]
) -> None:
    def enough(fraction: float, says: str) -> None:
        if "file 2" in says:
            raise Stopped

    with pytest.raises(Stopped):
        prepare("svhn", tmp_path / "root", progress=False, on_progress=enough)
    assert leftovers(tmp_path / "root") == []


def test_it_is_known_what_can_be_downloaded() -> None:
    assert {name for name in DATASETS if not can_download(name)} == set(sources.BY_HAND)
    assert not can_download("somebody-s-own")
    assert not can_download("tiny-imagenet")


def test_a_full_disk_leaves_the_old_set_as_it_was(
    tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    prepare("pets", root, source=pets, progress=False)
    before = {path: path.read_bytes() for path in leftovers(root) if path.is_file()}
    written = write_prepared

    def half(name: str, file: Any, *parts: Any) -> Path:
        if file == "test":
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(name, file, *parts)

    monkeypatch.setattr(sources, "write_prepared", half)
    (pets / "cat" / "0.png").unlink()
    with pytest.raises(UserError, match="disk is full"):
        prepare("pets", root, source=pets, progress=False)
    assert {path: path.read_bytes() for path in leftovers(root) if path.is_file()} == before


def test_a_disk_that_fills_while_downloading_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sources, "fetch", full)
    with pytest.raises(UserError, match="disk is full"):
        prepare("cifar10", tmp_path / "root", progress=False)
    assert leftovers(tmp_path / "root") == []


def test_an_interrupt_leaves_nothing(
    tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "write_prepared", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare("pets", tmp_path / "root", source=pets, progress=False)
    assert leftovers(tmp_path / "root") == []


def test_a_root_that_is_a_file_is_refused(tmp_path: Path, pets: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"):
        prepare("pets", tmp_path / "file", source=pets, progress=False)


def test_preparing_again_replaces_and_keeps_other_files(tmp_path: Path, pets: Path) -> None:
    prepare("pets", tmp_path, source=pets, progress=False)
    (tmp_path / "pets" / "mine.txt").write_text("keep me")
    (pets / "cat" / "0.png").unlink()
    prepare("pets", tmp_path, source=pets, size=16, progress=False)
    assert load_prepared("pets", "train", tmp_path).images.shape == (7, 16, 16, 3)
    assert (tmp_path / "pets" / "mine.txt").exists()


def test_a_broken_picture_leaves_nothing(tmp_path: Path, pets: Path) -> None:
    (pets / "dog" / "1.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"dog.1\.png"):
        prepare("pets", tmp_path / "root", source=pets, progress=False)
    assert leftovers(tmp_path / "root") == []


def test_an_unknown_set_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'cifar10'"):
        prepare("cifar-10", tmp_path, progress=False)


def test_tiny_imagenet_asks_for_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--from FOLDER"):
        prepare("tiny-imagenet", tmp_path, progress=False)


def test_a_set_with_a_size_of_its_own_takes_no_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected no size for mnist"):
        prepare("mnist", tmp_path, size=64, progress=False)


def test_progress_is_drawn_on_stderr(
    tmp_path: Path, pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare("pets", tmp_path, source=pets)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "10/10" in printed.err
    prepare("pets", tmp_path, source=pets, progress=False)
    assert capsys.readouterr().err == ""


def test_a_further_data_set_is_one_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noise(request: Request) -> tuple[ImageSet, ImageSet]:
        part = ImageSet.counted(
            request.name, "train", PIXELS, np.array(LABELS), tuple("0123456789")
        )
        return part, part.select([0, 1])

    monkeypatch.setitem(DATASETS, "noise", noise)
    prepare("noise", tmp_path, progress=False)
    assert prepared_names(tmp_path) == ["noise"]
    assert len(load_prepared("noise", "test", tmp_path)) == 2


def test_a_calibration_split_of_its_own_is_kept_until_the_set_is_made_without_one(
    tmp_path: Path,
) -> None:
    for start, split in ((0, "train"), (50, "val"), (60, "test")):
        for label, name in enumerate(("cat", "dog")):
            for number in range(4):
                path = tmp_path / "own" / split / name / f"{number}.png"
                picture(path, start + 100 * label + number)
    root = tmp_path / "data"
    prepare("pets", root, tmp_path / "own", progress=False)
    parts = {split: load_split("pets", split, root) for split in SPLITS}
    assert {split: len(one) for split, one in parts.items()} == dict.fromkeys(SPLITS, 8)
    assert {one.split for one in parts.values()} == set(SPLITS)
    assert parts["calibration"].images[0, 0, 0, 0] == 50
    assert len(set().union(*({i.tobytes() for i in one.images} for one in parts.values()))) == 24

    shutil.rmtree(tmp_path / "own" / "val")
    prepare("pets", root, tmp_path / "own", progress=False)
    train, calibration = (load_split("pets", split, root) for split in ("train", "calibration"))
    assert (len(train), len(calibration)) == (7, 1)
    assert not {*train.ids.tolist()} & {*calibration.ids.tolist()}
