from pathlib import Path

import pytest

from core.foundation.places import CHECKOUT, PRETRAINED, SAMPLES, data_root


def test_what_ships_lies_in_the_checkout() -> None:
    assert Path(__file__).resolve().parents[3] == CHECKOUT
    assert PRETRAINED.is_dir()
    assert SAMPLES.is_dir()


def test_root_is_the_argument_then_the_environment_then_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_DATA", "/somewhere")
    assert data_root(tmp_path) == tmp_path
    assert data_root() == Path("/somewhere")
    monkeypatch.delenv("EENET_DATA")
    assert data_root() == (CHECKOUT or Path()) / "data"
