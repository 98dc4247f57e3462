"""What a network says about somebody's own pictures."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.data.archives import files_in_zip
from core.data.images import fit, open_image
from core.foundation.errors import UserError
from core.foundation.jobs import Stopped
from core.hub import scoring
from core.hub.model import Model, load
from core.hub.registry import shipped_models
from core.hub.scoring import score
from tests.core.data.pictures import packed, png

FILES = {f"{number % 3}/{number:02}.png": png(5 * number, 28) for number in range(10)}


def encoded(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def quiet(fraction: float, says: str) -> None:
    pass


@pytest.fixture(scope="module")
def model() -> Model:
    return load("eenet8-mnist")


def test_the_table_is_that_of_the_pictures(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "BATCH", 4)
    files = {**FILES, "1/broken.png": b"x", "notes.txt": b"x"}
    scored = score(model, files_in_zip(packed(files), "mine.zip"), quiet)
    names = sorted(FILES)
    assert scored.pictures.names == tuple(names)
    assert [one.name for one in scored.pictures.skipped] == ["notes.txt", "1/broken.png"]
    images = np.stack([fit(open_image(FILES[name]).image, 28, 1) for name in names])
    np.testing.assert_array_equal(scored.pictures.pixels, images)
    labels = np.array([int(name[0]) for name in names])
    whole = model.table(images, labels)
    np.testing.assert_allclose(scored.table.probabilities, whole.probabilities, atol=1e-5)
    np.testing.assert_array_equal(scored.table.labels, labels)
    np.testing.assert_array_equal(scored.table.ids, range(10))


@pytest.mark.parametrize("name", shipped_models())
def test_every_model_can_be_asked(name: str) -> None:
    one = load(name)
    scored = score(one, files_in_zip(packed({"a.png": png(9), "b.png": png(200)}), "z"), quiet)
    assert scored.table.num_exits == one.card.num_exits
    assert not scored.table.labelled.any()


@pytest.mark.parametrize(
    ("dataset", "exchanged"), [("mnist", 1), ("mnist-samples", 1), ("own-digits", 0)]
)
def test_polarity_belongs_to_the_data_set(model: Model, dataset: str, exchanged: int) -> None:
    of_it = replace(model, card=model.card.model_copy(update={"dataset": dataset}))
    pixels = np.zeros((28, 28), np.uint8)
    pixels[8:20, 13:15] = 255  # a one, light on dark
    files = {"dark.png": encoded(pixels), "light.png": encoded(255 - pixels)}
    scored = score(of_it, files_in_zip(packed(files), "mine.zip"), quiet)
    assert scored.pictures.exchanged == exchanged
    same = np.array_equal(*scored.pictures.pixels)
    assert same == bool(exchanged)


def test_others_have_their_turn_after_every_picture_and_every_batch(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "BATCH", 4)
    turns: list[str] = []
    told: list[float] = []

    @contextmanager
    def turn() -> Iterator[None]:
        turns.append("in")
        yield
        turns.append("out")

    score(
        model,
        files_in_zip(packed(FILES), "mine.zip"),
        lambda fraction, says: told.append(fraction),
        turn=turn,
    )
    assert turns == ["in", "out"] * (10 + 3)
    assert told == [number / 10 for number in range(11)]


def test_it_can_be_called_off_between_two_pictures(model: Model) -> None:
    def enough(fraction: float, says: str) -> None:
        if says.startswith("3 "):
            raise Stopped

    with pytest.raises(Stopped):
        score(model, files_in_zip(packed(FILES), "mine.zip"), enough)


def test_when_no_picture_can_be_read_a_sentence_says_why(model: Model) -> None:
    content = packed({"a.png": b"x", "b.png": b"y"})
    with pytest.raises(UserError, match=r"none of 2 can; the first, 'a.png': expected 'a.png'"):
        score(model, files_in_zip(content, "mine.zip"), quiet)
