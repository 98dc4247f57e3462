"""The switch for a server that strangers visit."""

import os

PUBLIC = "EENET_PUBLIC"
"""Environment variable, see docs/deploying.md."""


def is_public() -> bool:
    """Return whether strangers visit: `$EENET_PUBLIC` is set, and not to 0, no or false."""
    return os.environ.get(PUBLIC, "").strip().lower() not in ("", "0", "no", "false")
