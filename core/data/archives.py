"""Untrusted zip archives: checked before they are read, and never unpacked onto the disk."""

import io
import zipfile
from functools import partial

from core.data.file_names import decoded
from core.data.images import MAX_BYTES
from core.data.uploads import (
    MOST_BYTES,
    MOST_FILES,
    Collection,
    OwnFile,
    collected,
    plain_path,
    too_large,
    too_many,
)
from core.foundation.errors import UserError

MOST_UNPACKED = 512 * 2**20
_DIRECTORY = 256 * MOST_FILES  # bytes, enough for the list of so many files
_ENCRYPTED, _UTF8 = 0x1, 0x800  # bits of a file's flags
# Other methods may allocate gigabytes for a few bytes, before their output can be counted.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _TooManyFilesError(Exception):
    pass


class _Bounded(io.BytesIO):
    """An archive whose list of files is refused, unread, when it is longer than ``most`` bytes."""

    most: int | None = _DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise _TooManyFilesError
        return super().read(size)


def files_in_zip(content: bytes, name: str) -> Collection:
    """Return the pictures in a zip archive; each is unpacked into memory when it is read.

    Names in the archive are only shown, never used as paths. Damaged pictures raise when they are
    read.

    Args:
        content: bytes of the archive, at most `MOST_BYTES`.
        name: of the archive, for messages.

    Raises:
        UserError: the archive is no zip, empty, encrypted, or larger than `MOST_FILES`,
            `MOST_PICTURES` or `MOST_UNPACKED` allow.
    """
    called = repr(name)
    if len(content) > MOST_BYTES:
        raise too_large(called, len(content))
    stream = _Bounded(content)
    try:
        archive = zipfile.ZipFile(stream)
    except _TooManyFilesError:
        raise too_many(called) from None
    except Exception:  # fed with hostile bytes, it may raise anything
        raise UserError(
            f"expected {called} to be a zip archive, but it is damaged or of another kind: pack "
            "the pictures again as .zip."
        ) from None
    stream.most = None
    members = [member for member in archive.infolist() if not member.is_dir()]
    if not members:
        raise UserError(f"expected pictures in {called}, but it is empty: choose another one.")
    if len(members) > MOST_FILES:
        raise too_many(called)
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise UserError(
            f"expected {called} to open without a password, but it is encrypted: pack the pictures "
            "again without one."
        )
    unpacked = sum(member.file_size for member in members)
    if unpacked > MOST_UNPACKED:
        raise UserError(
            f"expected {called} to unpack to at most {MOST_UNPACKED / 2**20:.0f} MB, but it lists "
            f"{unpacked / 2**20:,.0f} MB: choose fewer pictures, or scale them down first."
        )
    names = zip(_names(members), members, strict=True)
    return collected(
        (OwnFile(plain_path(path), partial(_read, archive, member)) for path, member in names),
        called,
    )


def _names(members: list[zipfile.ZipInfo]) -> list[str]:
    """Return the paths of files; those that are not marked as UTF-8 are in some code page."""
    old = [not member.flag_bits & _UTF8 for member in members]
    paths = [member.orig_filename for member in members]
    read_as = iter(
        decoded([path.encode("cp437") for path, is_old in zip(paths, old, strict=True) if is_old])
    )
    return [next(read_as) if is_old else path for path, is_old in zip(paths, old, strict=True)]


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int = MAX_BYTES + 1) -> bytes:
    if member.compress_type not in _METHODS:
        raise UserError(
            "expected it to be packed by deflate or not at all, but it is packed by method "
            f"{member.compress_type}: pack it again as an ordinary .zip."
        )
    try:
        with archive.open(member) as stream:
            return stream.read(most)
    except Exception as error:  # bad checksums, cut-off data and wrong headers raise many types
        raise UserError(
            f"expected an intact file, but it is damaged in the archive ({error}): pack it again."
        ) from None
