"""Names of classes, as they are shown."""

from collections.abc import Sequence


def first_synonyms(names: Sequence[str]) -> tuple[str, ...]:
    """Return the first of WordNet's synonyms for each class: of "ladybug, lady beetle", ladybug."""
    short = tuple(name.partition(",")[0].strip() or name for name in names)
    return short if len(set(short)) == len(names) else tuple(names)
