"""What was fixed before calibration images prove something, and how many proofs they have given."""

from dataclasses import dataclass

import streamlit as st

from app import resources, text
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.foundation.errors import UserError
from core.hub.card import Card
from core.hub.methods import own_criterion
from core.tuning.together import confidence_of_all

_BEST = "best"
_PROMISES = "promises-of-calibration"


@dataclass(frozen=True)
class Score:
    """The score that is to decide: fixed beforehand, or chosen on images that do not judge.

    Attributes:
        criteria: names to choose from; a single one is fixed.
    """

    criteria: tuple[str, ...]

    def premise(self, policy: Policy, path_samples: int) -> str:
        """Return what was fixed before the images that prove were looked at."""
        title = CRITERIA[policy.criterion].title
        if len(self.criteria) == 1:
            return f"Fixed beforehand: the score ({title}), the target and the confidence."
        return (
            f"Fixed beforehand: the target and the confidence. The score ({title}) was chosen on "
            f"{path_samples:,} calibration images that prove nothing."
        )


def score_choice(card: Card, key: str, *, history: bool, best: bool = True) -> Score:
    """Show a picker of the score that is to decide.

    Args:
        card: of the model.
        key: of the picker.
        history: whether scores that look back at earlier exits can be proven, too.
        best: whether a part of the images can choose the score.

    Raises:
        UserError: nothing can be proven for any score of the model.
    """
    names = [name for name in card.criteria if history or not CRITERIA[name].history]
    if not names:
        raise UserError(
            f"expected a score of {card.title} that does not look back at earlier exits, for which "
            "this can be proven, but there is none; take another goal."
        )
    own = own_criterion(card.method, names)
    titles = {name: CRITERIA[name].title for name in [own, *names]}
    if own == own_criterion(card.method, card.criteria):
        titles[own] += " (own)"
    if best:
        titles[_BEST] = "Best on a part"
    chosen = st.selectbox(
        "Score",
        [*titles],
        key=key,
        format_func=titles.__getitem__,
        help="What a proof needs: the score is chosen before the images that prove it are looked "
        "at. The method's own score is fixed by the method. Or a quarter of the calibration "
        "images chooses the best, and the rest prove.",
    )
    return Score((chosen,) if chosen in names else tuple(names))


def with_earlier(model: str, question: tuple[object, ...], confidence: float) -> str:
    """Note that the calibration images had to carry a promise; return what follows from that.

    Args:
        model: its name.
        question: all that tells it from others; the same once more is no other.
        confidence: of the promise.
    """
    earlier: dict[str, dict[tuple[object, ...], float]] = st.session_state.setdefault(_PROMISES, {})
    questions = earlier.setdefault(resources.version_of(model), {})
    questions[question] = confidence
    if len(questions) == 1:
        return "To find the same again takes nothing from it."
    together = confidence_of_all(questions.values())
    return (
        f"It is one of {len(questions)} different guarantees that these images had to prove in "
        "this session. Each holds with its own confidence; that all of them hold, the one that you "
        f"keep among them, is sure with {text.percent(together, 0)} only."
        if together
        else f"It is one of {len(questions)} different guarantees that these images had to prove "
        "in this session. Each holds with its own confidence; for the best of so many, nothing is "
        "sure any more: decide what you need, and keep to that one."
    )
