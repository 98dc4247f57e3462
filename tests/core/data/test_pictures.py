"""Pictures of any size stay encoded, and become what torchvision makes of them."""

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from core.data import parquet
from core.data.encoded import at_size, write_encoded
from core.data.parquet import GROUP, ParquetRows, schema_of
from core.data.pictures import PictureFiles, PictureSet
from core.data.prepared import ImageSet, check_disjoint, is_prepared, prepared_names
from core.data.sources import prepare
from core.data.splits import load_split
from core.data.transform import CenterCrop, EvaluationTransform, Resize
from core.foundation.errors import UserError

CLASSES = ("cat", "dog", "sea horse")
MEAN, STD = (0.498,) * 3, (0.502,) * 3


def noise(number: int, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def class_folders(folder: Path, each: int = 5) -> Path:
    number = 0
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for index in range(each):
            (folder / name / f"{index}.png").write_bytes(noise(number, (40 + number, 30)))
            number += 1
    return folder


def pictures_of(folder: Path, each: int = 5) -> PictureSet:
    files = tuple(sorted(class_folders(folder, each).rglob("*.png")))
    labels = np.repeat(np.arange(len(CLASSES)), each)
    return PictureSet("pets", "train", PictureFiles(files), labels, CLASSES, np.arange(len(files)))


def write_parquet(path: Path, count: int, **changes: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "image": [{"bytes": noise(index), "path": f"{index}.png"} for index in range(count)],
        "label": [index % 3 for index in range(count)],
    }
    schema = None if changes else schema_of(CLASSES)
    pq.write_table(pa.table(columns | changes, schema=schema), path)


def test_class_folders_become_parquet_that_gives_the_same_pictures(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "source")
    folder = prepare("pets", tmp_path / "data", source, progress=False)
    assert sorted(path.name for path in folder.iterdir()) == [
        "test-00000.parquet",
        "train-00000.parquet",
    ]
    assert prepared_names(tmp_path / "data") == ["pets"]
    seen = {}
    for split in ("train", "calibration", "test"):
        pictures = load_split("pets", split, tmp_path / "data")  # type: ignore[arg-type]
        assert isinstance(pictures, PictureSet)
        assert pictures.classes == CLASSES
        for index, label in enumerate(pictures.labels):
            name = pictures.rows.path(int(pictures.ids[index]))
            assert name not in seen
            seen[name] = split
            assert name.split("/")[0] == CLASSES[label]
            original = Image.open(source / name).convert("RGB")
            assert pictures.picture(index).tobytes() == original.tobytes()
    assert [list(seen.values()).count(split) for split in ("train", "calibration", "test")] == [
        11,
        1,
        3,
    ]


def test_a_new_data_set_replaces_one_of_the_other_kind(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "source")
    for size, kind in ((8, ".npz"), (None, ".parquet"), (8, ".npz")):
        folder = prepare("pets", tmp_path / "data", source, size, progress=False)
        assert {path.suffix for path in folder.iterdir()} == {kind}


@pytest.mark.parametrize("inside", ["", "data"])
def test_files_of_hugging_face_are_read(inside: str, tmp_path: Path) -> None:
    source = tmp_path / "source" / inside
    write_parquet(source / "train-00000-of-00002.parquet", 7)
    write_parquet(source / "train-00001-of-00002.parquet", 4)
    write_parquet(source / "validation-00000-of-00001.parquet", 3)
    prepare("pets", tmp_path / "data", tmp_path / "source", progress=False)
    assert len(load_split("pets", "test", tmp_path / "data")) == 3
    assert len(load_split("pets", "train", tmp_path / "data")) == 10
    assert load_split("pets", "train", tmp_path / "data").classes == CLASSES


def test_one_split_alone_is_divided_by_class(tmp_path: Path) -> None:
    write_parquet(tmp_path / "source" / "train-0.parquet", 30)
    prepare("pets", tmp_path / "data", tmp_path / "source", progress=False)
    test = load_split("pets", "test", tmp_path / "data")
    assert np.bincount(test.labels).tolist() == [2, 2, 2]


def test_with_a_size_they_become_arrays(tmp_path: Path) -> None:
    write_parquet(tmp_path / "source" / "train-0.parquet", 12)
    prepare("pets", tmp_path / "data", tmp_path / "source", 8, progress=False)
    train = load_split("pets", "train", tmp_path / "data")
    assert isinstance(train, ImageSet)
    assert train.images.shape[1:] == (8, 8, 3)


def test_files_lie_directly_under_the_root_too(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pets" / "train-00000-of-00001.parquet", 20)
    assert is_prepared("pets", "train", tmp_path)
    assert not is_prepared("pets", "test", tmp_path)
    train = load_split("pets", "train", tmp_path)
    calibration = load_split("pets", "calibration", tmp_path)
    assert sorted([*train.ids, *calibration.ids]) == list(range(20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": [b"bytes alone"] * 3}, r"columns `image` \(a struct"),
        ({"label": ["cat"] * 3}, "whole numbers"),
        ({"label": [0, -1, 2]}, "got -1 to 2"),
        ({"image": [{"bytes": None, "path": "a.png"}] * 3}, "are none"),
    ],
)
def test_other_layouts_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "pets" / "test-0.parquet", 3, **changes)
    with pytest.raises(UserError, match=message):
        load_split("pets", "test", tmp_path)[0]  # type: ignore[index]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pets" / "test-0.parquet"
    write_parquet(path, 3)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"test-0\.parquet.*cannot be read"):
        load_split("pets", "test", tmp_path)


def test_the_first_damaged_picture_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "source")
    (source / "dog" / "3.png").write_bytes(noise(0)[:60])
    with pytest.raises(UserError, match=r"dog.3\.png"):
        prepare("pets", tmp_path / "data", source, progress=False)
    assert list((tmp_path / "data").iterdir()) == []


def test_rows_are_found_across_groups_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.encoded.SHARD", 1)
    pictures = pictures_of(tmp_path / "source", GROUP)
    write_encoded(pictures, "train", tmp_path)
    files = sorted((tmp_path / "pets").iterdir())
    assert len(files) > 2
    monkeypatch.setattr(parquet, "KEPT", 0)
    rows = pickle.loads(pickle.dumps(ParquetRows(files)))  # noqa: S301
    assert len(rows) == len(pictures)
    contents = [rows.encoded(row) for row in range(len(rows))]
    assert sorted(contents) == sorted(pictures.contents())
    for row in (GROUP, 3, GROUP - 1, 2 * GROUP):
        assert rows.encoded(row) == contents[row]


def test_calibration_pictures_that_are_test_pictures_are_refused(tmp_path: Path) -> None:
    pictures = pictures_of(tmp_path)
    with pytest.raises(UserError, match="5 of 5 calibration images are in both"):
        check_disjoint(pictures.select(range(5)), pictures)
    check_disjoint(pictures.select(range(5)), pictures.select(range(5, 15)))


@pytest.mark.parametrize("size", [(300, 200), (200, 331), (120, 90), (224, 224)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_evaluation_transform_is_torchvisions_to_the_bit(
    size: tuple[int, int], kind: str
) -> None:
    steps = (Resize(size=(232,), interpolation="bicubic"), CenterCrop(size=(224, 224)))
    ours = EvaluationTransform(size=(224, 224), channels=3, steps=steps, mean=MEAN, std=STD)
    theirs = v2.Compose(
        [
            v2.Resize(232, InterpolationMode.BICUBIC),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ConvertImageDtype(torch.float32),
            v2.Normalize(MEAN, STD),
        ]
    )
    picture = Image.open(io.BytesIO(noise(1, size, kind))).convert("RGB")
    exact = ours.model_copy(update={"reciprocal": True})
    assert torch.equal(exact(picture), theirs(picture))
    assert EvaluationTransform.of(theirs, (3, 224, 224)) == exact
    again = EvaluationTransform.model_validate(json.loads(exact.model_dump_json()))
    assert torch.equal(again(picture), theirs(picture))


def test_some_pictures_are_brought_to_one_size(tmp_path: Path) -> None:
    pictures = pictures_of(tmp_path)
    transform = EvaluationTransform.square(8, 3, MEAN, STD)
    images = at_size(pictures, transform, 4)
    assert images.images.shape == (4, 8, 8, 3)
    assert images.ids.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(images.images[2], transform.pixels(pictures.picture(2)))
    assert at_size(images, transform) is images


LOOK = """
import sys
from pathlib import Path
from core.data import parquet
from core.data.splits import load_split
from tests.memory import most_memory

parquet.KEPT = 2**16
for name in ("few", "many"):
    pictures = load_split(name, "test", Path(sys.argv[1]))
    for index in range(0, len(pictures), 101):
        pictures.picture(index)
    print(len(pictures), most_memory())
"""


def test_a_million_pictures_fit_into_two_gigabytes(tmp_path: Path) -> None:
    """Measure the bytes that each more picture takes; what is kept at hand does not grow."""
    content = noise(0, (24, 24))
    for name, count in (("few", 1_000), ("many", 30_000)):
        (tmp_path / name).mkdir()
        rows = ((content, "", index % 3) for index in range(count))
        parquet.write_rows(tmp_path / name / "test-0.parquet", CLASSES, rows, parquet.SHARD)
    command = [sys.executable, "-c", LOOK, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    (few, low), (many, high) = (map(int, line.split()) for line in run.stdout.splitlines())
    slope = (high - low) / (many - few)
    assert slope < len(content) / 2  # they are not in memory
    assert low + parquet.KEPT + slope * (1_000_000 - few) < 2e9
