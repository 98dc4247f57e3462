"""Where things lie: in a checkout beside `core`, in an installed package inside it."""

import os
from pathlib import Path

_CORE = Path(__file__).resolve().parents[1]
CHECKOUT = _CORE.parent if (_CORE.parent / "pyproject.toml").is_file() else None
"""The repository, or None where the package was installed without it."""
_ROOT = CHECKOUT or _CORE

PRETRAINED = _ROOT / "pretrained"
"""The models that ship."""
SAMPLES = _ROOT / "assets" / "samples"
"""The images that ship."""
ICONS = _ROOT / "assets" / "icons"
APP = _CORE.parent / "app" / "server.py"
"""The explorer's entry: beside `core` in both."""
STREAMLIT_CONFIG = (CHECKOUT / ".streamlit" if CHECKOUT else _CORE / "streamlit") / "config.toml"
"""The explorer's settings."""


def data_root(explicit: Path | None = None) -> Path:
    """Return the folder of prepared data sets: ``explicit``, else `$EENET_DATA`, else ``data``.

    The last lies in the checkout, or in the working directory where there is none.
    """
    if explicit is not None:
        return Path(explicit)
    from_environment = os.environ.get("EENET_DATA")
    return Path(from_environment) if from_environment else (CHECKOUT or Path()) / "data"
