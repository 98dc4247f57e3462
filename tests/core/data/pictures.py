"""Small files of pictures, and archives of them."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image


def png(value: int, size: int = 8) -> bytes:
    """A grey square as a PNG."""
    content = io.BytesIO()
    Image.fromarray(np.full((size, size), value, np.uint8)).save(content, "PNG")
    return content.getvalue()


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of files by their names."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return content.getvalue()
