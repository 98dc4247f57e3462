"""The commands that list models and prepare data sets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from core.cli.options import DataRoot, Json, SkipBroken
from core.cli.text import model_facts, models_text, note, to_json
from core.foundation.errors import UserError
from core.foundation.files import write_json
from core.hub.operating_points import refigured
from core.hub.registry import (
    CARD,
    ambiguous,
    card_of,
    model_folder,
    model_folders,
    shipped_models,
    tables_of,
)
from core.hub.results import update_results

SHIPPED = "shipped"


def models(
    update: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also bring the result tables in a Markdown file up."),
    ] = None,
    refigure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="First choose the operating points of this model anew, on its stored tables, and "
            "write them into its card; as often as needed. `shipped`: of all that ship.",
        ),
    ] = None,
    complete: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="First run this model's network on its calibration and test images, and add what "
            "temperatures need to its stored tables; as often as needed. `shipped`: of all that "
            "ship. Figures stay as they are.",
        ),
    ] = None,
    data: DataRoot = None,
    as_json: Json = False,
) -> str:
    """List the models: those that ship, those in runs/ and those in $EENET_MODELS."""
    for model in _named(complete):
        _complete(model, data)
    for model in _named(refigure):
        card = refigured(card_of(model), tables_of(model))
        write_json(model_folder(model) / CARD, card.model_dump(mode="json"))
        note(f"The figures of {card.name} are up to date.")
    if update is not None:
        update_results(update, [card_of(name) for name in shipped_models()])
        note(f"The result tables in {update} are up to date.")
    cards = {}
    for name, folders in model_folders().items():
        for folder in folders:  # of several models of one name, list the folders to pass instead
            cards[name if len(folders) == 1 else str(folder)] = card_of(folder)
        if len(folders) > 1:
            note(f"warning: {ambiguous(name, folders)}")
    if as_json:
        return to_json({"models": [model_facts(name, card) for name, card in cards.items()]})
    return models_text(cards)


def _named(models: list[str] | None) -> Iterator[str]:
    for name in models or ():
        yield from shipped_models() if name == SHIPPED else [name]


def _complete(model: str, data: Path | None) -> None:
    from core.hub.complete import complete_tables

    added = complete_tables(model, data, lambda split: note(f"{model}: running on {split} …"))
    note(f"{model}: {'its tables are complete now' if added else 'nothing was missing'}.")


def prepare(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A known data set, or a name for your images.")
    ],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Folder to read instead of downloading."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Resize pictures to N × N pixels.")
    ] = None,
    skip_broken: SkipBroken = False,
    natural_order: Annotated[
        bool, typer.Option("--natural-order", help="Sort classes as people count: 2 before 10.")
    ] = False,
    data: DataRoot = None,
) -> str:
    """Download a data set, or convert a folder with one folder of images per class.

    Folders train/, val/ and test/ of such folders are the training, calibration and test split.
    """
    from core.data.sources import prepare as prepare_data

    folder = prepare_data(
        *(name, data, source, size),
        skip_broken=skip_broken,
        natural=natural_order,
        on_note=note,
    )
    return str(folder)


def weights(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="efficientnet-lite0.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="By default that of the installed package."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="By default data/<backbone>.safetensors.")
    ] = None,
) -> str:
    """Convert published ImageNet weights of a backbone, for recipes to start from."""
    from core.networks.imagenet import convert_weights

    path = out or Path("data", f"{backbone}.safetensors")
    convert_weights(backbone, path, source)
    return str(path)


def verify(
    model: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL...]", help="Names or folders; by default all that ship."),
    ] = None,
    as_json: Json = False,
) -> str:
    """Check that cards are sound and agree with their networks, weights and tables.

    Everything that is wrong is listed at once; the exit status is then 2. Nothing is changed.
    """
    from core.hub.verify import faults

    found = {}
    for name in model or shipped_models():
        found[name] = faults(model_folder(name))
        for fault in found[name]:
            note(f"{name}: {fault}")
    wrong = [name for name, listed in found.items() if listed]
    if as_json and wrong:
        typer.echo(to_json({"models": found}))
        raise typer.Exit(2)
    count = f"{len(found):,} model{'s' if len(found) > 1 else ''}"
    if wrong:
        raise UserError(
            f"expected {count} to be sound, but {', '.join(wrong)} "
            f"{'is' if len(wrong) == 1 else 'are'} not, as listed: copy or train them again."
        )
    sentence = f"{count} {'are' if len(found) > 1 else 'is'} sound."
    return to_json({"models": found}) if as_json else sentence
