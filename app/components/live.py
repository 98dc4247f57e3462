"""Thresholds under the hand: a part of a page that follows them while they move.

Python draws the part as it stands (so it needs no browser to be right), `live.js` keeps it up to
date during a drag, and the policy comes back when the hand lets go.
"""

import json
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from app import text
from app.components.mount import component
from core.exits.criteria import CRITERIA
from core.exits.intervals import CONFIDENCE
from core.exits.policy import Policy
from core.exits.routing import right_at_end
from core.exits.table import BoolArray, ExitTable
from core.foundation.errors import UserError
from core.hub.card import Card

_WORD = 32
"""Exits, and the reference after them, whose right answers share a number."""
_show = component("live")
_store = component("store", height=1)

CHIPS = {
    "left": "● leaves here",
    "passed": "→ goes on",
    "off": "○ switched off",
    "dark": "not reached",
}
STAGES = "after {done} of {all} stages"
ANSWERS, WOULD_ANSWER = "answers", "would answer"
WORDS = {
    "saved": text.SAVED,
    "extra": text.EXTRA,
    "answers": ANSWERS,
    "would_answer": WOULD_ANSWER,
    "stages": STAGES,
    "here": "You are here: accuracy {accuracy}, relative cost {cost}",
    "threshold": "{exit}: leave above",
    "threshold_help": "An image leaves at {exit} when its score is greater than this. Lower saves "
    "more compute, higher is more careful. Arrow keys move it by 0.001, with Shift by 0.01.",
    "enabled": "{exit} in use",
    "enabled_help": "No image leaves at an exit that is switched off, and its head is not "
    "computed.",
    "chips": CHIPS,
}


def live(
    before: str,
    after: str,
    table: Mapping[str, Any],
    card: Card,
    policy: Policy,
    on_policy: Callable[[Policy], None],
    *,
    macs: str,
    columns: int,
    key: str,
    **more: Any,
) -> None:
    """Show ``before``, a threshold and a switch per early exit, and ``after``.

    Args:
        before: HTML above the thresholds. Marks with ``data-…`` are kept up to date, see `live.js`.
        after: HTML below them.
        table: `table_here`, or the reference that `keep_in_browser` returned.
        card: of the model.
        policy: where the thresholds stand.
        on_policy: told the policy when a hand lets go.
        macs: the note under the compute saved, with ``{spent}`` and ``{whole}``.
        columns: of the grid that the thresholds stand in.
        key: of the part, unique on the page.
        more: what else `live.js` needs.
    """

    def moved(value: Any) -> None:
        try:
            moved_to = Policy(
                policy.criterion, value["thresholds"], value["enabled"], policy.temperatures
            )
            moved_to.check(card.num_exits)
        except (UserError, KeyError, TypeError):  # a browser can send anything
            return
        on_policy(moved_to)

    data = {
        "before": before,
        "after": after,
        "table": dict(table),
        "exits": [text.exit_name(index, card.num_exits) for index in range(card.num_exits - 1)],
        "thresholds": policy.thresholds,
        "enabled": policy.enabled,
        "plain_macs": card.plain_macs,
        "columns": columns,
        "z": NormalDist().inv_cdf((1 + CONFIDENCE) / 2),
        "words": WORDS | {"macs": macs},
        **more,
    }
    _show(key, data, policy=moved)


def table_here(table: ExitTable, policy: Policy) -> dict[str, Any]:
    """Return a small table's scores for `live`, to travel with each message."""
    scores, right, _ = _columns(table, policy, table.right[:, -1])
    return {
        **_costs(table),
        "scores": scores.ravel().astype(np.float64).tolist(),
        "right": right.ravel().tolist(),
    }


def keep_in_browser(
    table: ExitTable, policy: Policy, name: str, reference: BoolArray | None = None
) -> dict[str, str]:
    """Send a large table's scores to the browser, once; return a reference to them.

    Args:
        table: any split, with labels.
        policy: whose criterion and temperatures give the scores.
        name: tells this table and its reference from all others.
        reference: ``(N,)`` whether the network that it is compared with is right; None: the last
            exit.
    """
    reference = table.right[:, -1] if reference is None else reference
    scores, right, window = _columns(table, policy, reference)
    identity = f"{name} {policy.criterion} {policy.temperatures}"
    if CRITERIA[policy.criterion].history:
        identity += f" {policy.enabled}"
    header = json.dumps({"id": identity, **_costs(table)}).encode()
    header += b" " * (-len(header) % 4)
    length = np.array([len(header)], np.uint32).tobytes()
    # Unchanged bytes are not sent again: Streamlit knows a message by its hash.
    arrays = scores.tobytes() + right.tobytes() + window
    _store("store", length + header + arrays)
    return {"id": identity}


def _columns(table: ExitTable, policy: Policy, reference: BoolArray) -> tuple[Any, Any, bytes]:
    scores = policy.scores(table)
    right = np.column_stack([table.right, reference])
    bytes_of_bits = np.packbits(right, axis=1, bitorder="little")
    words = -(-right.shape[1] // _WORD)
    bits = np.zeros((len(table), words * _WORD // 8), np.uint8)
    bits[:, : bytes_of_bits.shape[1]] = bytes_of_bits
    window = right_at_end(table, policy)
    between = b"" if window is None else window.tobytes()
    return np.ascontiguousarray(scores, np.float32), bits.view("<u4"), between


def _costs(table: ExitTable) -> dict[str, Any]:
    return {
        "samples": len(table),
        "early": table.num_exits - 1,
        "stage_costs": table.costs.stages.tolist(),
        "head_costs": table.costs.heads.tolist(),
    }
