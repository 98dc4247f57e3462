"""Names of files and folders, as people and their systems write them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

_LITTER_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)
_LITTER_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_LATIN = "\u00c0-\u017f"
_CYRILLIC = "\u0400-\u04ff"
_KANA, _HAN, _HANGUL = "\u3040-\u30ff", "\u3000-\u30ff\u4e00-\u9fff", "\uac00-\ud7a3"
_CODE_PAGES = (
    ("utf-8", ""),  # of systems that forget to say so
    ("cp437", f"[^{_LATIN}]"),  # western Europe: by the standard, and Windows' terminal
    ("cp1252", f"[^{_LATIN}]"),
    ("cp866", f"[^{_CYRILLIC}]"),
    ("cp1251", f"[^{_CYRILLIC}]"),
    ("cp949", f"[^{_HANGUL}]"),
    ("shift_jis", f"[^{_HAN}]|^[^{_KANA}]+$"),
    ("gbk", f"[^{_HAN}]"),
    ("shift_jis", f"[^{_HAN}]"),
)
"""By likelihood: a code page, and what its letters beyond ASCII do not look like."""


def is_litter(path: str) -> bool:
    """Return whether a system left a file or folder there: hidden, a cache, an index, a bin.

    Args:
        path: with ``/`` between its parts.
    """
    *folders, last = path.split("/")
    if any(part.startswith(".") for part in (*folders, last)):
        return True
    names = {part.casefold() for part in (*folders, last)}
    return not _LITTER_FOLDERS.isdisjoint(names) or last.casefold() in _LITTER_FILES


def files_below(folder: Path) -> tuple[list[Path], int]:
    """Return the files at any depth below a folder, sorted, and how many others are litter."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in files if not is_litter(path.relative_to(folder).as_posix())]
    return kept, len(files) - len(kept)


def composed(name: str) -> str:
    """Return a name with each accent in its letter (NFC); some systems write them apart."""
    return unicodedata.normalize("NFC", name)


def distinct(names: Sequence[str]) -> list[str]:
    """Return names that are all different: the second ``a.png`` becomes ``a (2).png``."""
    taken, seen, result = set(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        new = name
        while seen[name] > 1 and new in taken:
            folder, mark, last = name.rpartition("/")
            stem, dot, suffix = last.rpartition(".")
            numbered = f" ({seen[name]})"
            new = folder + mark + (stem + numbered + dot + suffix if stem else last + numbered)
            seen[name] += new in taken
        taken.add(new)
        result.append(new)
    return result


def natural_order(names: Iterable[str]) -> list[str]:
    """Return names sorted as people count: 2 before 10."""

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"([0-9]+)", name)
        return [(0, int(part), part) if part[:1].isdecimal() else (1, 0, part) for part in parts]

    return sorted(names, key=key)


def sorted_as_text(classes: Sequence[str]) -> str:
    """Return a sentence where classes are not in the order in which people count, else ""."""
    if list(classes) == (natural := natural_order(classes)):
        return ""
    first, counted = (", ".join(names[:4]) for names in (list(classes), natural))
    return f"Classes are in the order of their names as text: {first}, …; not {counted}, …"


def decoded(names: Sequence[bytes]) -> list[str]:
    """Return the names of one archive that does not say how they are encoded.

    The first code page in which all of them look like names in a language is taken.
    """
    for code_page, unlikely in _CODE_PAGES:
        try:
            found = [name.decode(code_page) for name in names]
        except UnicodeDecodeError:
            continue
        beyond = re.sub(r"[\x00-\x7f]", "", "".join(found))
        mostly_accents = _LATIN in unlikely and 2 * len(beyond) > len("".join(found)) - len(beyond)
        if not mostly_accents and not (unlikely and re.search(unlikely, beyond)):
            return found
    return [name.decode("cp437") for name in names]
