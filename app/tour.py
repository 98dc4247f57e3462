"""A tour through the page Present: steps in a Markdown file that anybody can edit."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from core.foundation.errors import UserError

SHIPPED = Path(__file__).with_name("tour.md")
_LINK = re.compile(r"\[[^\]]*\]\(\?([^)\s]*)\)")


@dataclass(frozen=True)
class Step:
    """One step of a tour.

    Attributes:
        title: of it.
        body: what is said, Markdown.
        shows: what the page shows meanwhile, by the parameters of a link to it.
    """

    title: str
    body: str
    shows: Mapping[str, str]


def load_tour() -> list[Step]:
    """Return the steps of the file in ``$EENET_TOUR``, or of the tour that ships.

    A step is a heading of the second level, what is said, and a link to what is shown, such as
    ``[Shown](?model=eenet8-mnist&sample=7&level=50)``.

    Raises:
        UserError: the file cannot be read, or has no steps.
    """
    path = Path(os.environ.get("EENET_TOUR") or SHIPPED)
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the tour {path} cannot be read ({error}): name another in $EENET_TOUR."
        ) from None
    steps = [_step(part) for part in re.split(r"^## ", content, flags=re.MULTILINE)[1:]]
    if not steps:
        raise UserError(
            f"expected the tour {path} to have headings that begin with '## ', one for each step, "
            "but it has none: add some."
        )
    return steps


def _step(part: str) -> Step:
    title, _, rest = part.partition("\n")
    link = _LINK.search(rest)
    shows = dict(parse_qsl(link[1])) if link else {}
    return Step(title.strip(), _LINK.sub("", rest, count=1).strip(), shows)
