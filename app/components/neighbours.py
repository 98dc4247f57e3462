"""Which images look most alike to each exit of a network."""

from collections import Counter

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import resources, state, text
from app.components.background import on_demand
from app.components.html import section
from app.components.picture_choice import ELSEWHERE, show_sample
from app.components.picture_grid import Group, Tile, picture_grid
from app.components.pictures import thumbnail
from core.exits.routing import Routing
from core.exits.table import FloatArray
from core.hub.card import Card

COUNT = 8


def neighbours(card: Card, view: state.View, routing: Routing, pixels: NDArray[np.uint8]) -> None:
    """Offer to look for the neighbours of a picture, and show them exit by exit.

    Args:
        card: of the model.
        view: that is looked at.
        routing: of the picture alone.
        pixels: (H, W, C) of it, as the network reads it.
    """
    pool = resources.neighbour_pool(card)
    if pool is None:
        return
    images, whose = pool
    st.html(
        section(
            "What looks alike to each exit",
            f"Of {len(images):,} {whose}, those of which the exit’s head reads the most similar "
            "features (the cosine between them). Click one to look at it.",
        )
    )
    known = resources.known_neighbours(view.model, pool)
    if known is None:
        job = on_demand(
            "neighbours",
            resources.version_of(view.model),
            "Look for neighbours",
            f"Runs the network on these {len(images):,} images, once for all visitors.",
            lambda: resources.reading_neighbours(view.model, pool),
        )
        known = None if job is None else job.result
    if known is not None:
        _show(card, view, routing, pixels, pool, known)


def _show(
    card: Card,
    view: state.View,
    routing: Routing,
    pixels: NDArray[np.uint8],
    pool: resources.Pool,
    known: list[FloatArray],
) -> None:
    from core.analysis.neighbours import nearest  # brings torch

    images, whose = pool
    itself = (images.images == pixels).all(axis=(1, 2, 3))
    per_class = Counter(_called(card, label) for label in images.labels)
    groups = []
    names = text.exit_names(card.num_exits)
    features = resources.features_at_exits(view.model, pixels)
    for index, (name, of_pool, of_picture) in enumerate(zip(names, known, features, strict=True)):
        found, alike = nearest(of_pool, of_picture[0], COUNT, itself)
        answer = card.classes[routing.exit_answers[0, index]]
        tiles = [
            _tile(position, images.images[position], _called(card, images.labels[position]), cosine)
            for position, cosine in zip(found.tolist(), alike.tolist(), strict=True)
        ]
        lead = f"answers {answer}"
        if per_class.get(answer, 0) >= len(tiles):  # else most of these cannot be of that class
            same = sum(tile.answer == answer for tile in tiles)
            lead += f", as {same} of these {len(tiles)} are"
        groups.append(Group(tiles, name, lead))

    def pick(position: int) -> None:
        if not 0 <= position < len(images):
            return
        number = int(images.ids[position])
        if whose == resources.TEST_IMAGES:
            ELSEWHERE.change(test=number, own="", chosen=0)
        elif (shown := resources.examples(card)) is not None:
            show_sample(int(np.flatnonzero(shown.ids == number)[0]))

    picture_grid(
        groups, "Images that look alike to each exit", pick, key="neighbours-found", layout="pairs"
    )


def _called(card: Card, label: np.int64) -> str:
    return card.classes[label] if label >= 0 else ""


def _tile(position: int, pixels: NDArray[np.uint8], name: str, alike: float) -> Tile:
    return Tile(
        number=position,
        image=thumbnail(pixels),
        title=f"{name or 'no label'}, similarity {alike:.3f}",
        chosen=False,
        answer=name,
        notes=[f"{alike:.3f}"],
    )
