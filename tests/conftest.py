"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # no test may depend on the machine's speed
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def prepared_root() -> Path:
    """The folder of prepared data sets: optional on a desk, required in CI."""
    root = os.environ.get("EENET_DATA", "")
    if root and Path(root).is_dir():
        return Path(root)
    reason = f"expected $EENET_DATA to be a folder of prepared data sets, but got {root!r}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
