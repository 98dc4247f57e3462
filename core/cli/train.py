"""The commands that train a recipe: once, or with several seeds."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.options import DataRoot, Device, Json, Threads, ended_by, use_threads
from core.cli.text import note, percents, to_json
from core.foundation.errors import UserError
from core.foundation.files import check_writable
from core.foundation.markdown import replace_between
from core.hub.card import Card
from core.hub.registry import card_of

if TYPE_CHECKING:
    from core.training.recipe import Recipe


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A shipped recipe, a TOML file or a card.json.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an earlier run, if there is one.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="By default runs/<recipe's name>.")
    ] = None,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
) -> str | None:
    """Train a recipe; the finished model is in DIR/model.

    On several GPUs: torchrun --nproc-per-node=4 -m core train RECIPE --device cuda
    """
    from core.training.recipe import load_recipe

    plan = load_recipe(recipe)
    use_threads(threads)
    folder = out or Path("runs") / plan.name
    card = _train(plan, folder, resume=resume, data=data, device=device)
    if card is None:
        return None
    accuracies = percents(card.per_exit_accuracy["test"])
    return f"{folder / 'model'}: accuracy at each exit on test {accuracies}"


def seeds(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A shipped recipe or a TOML file.")
    ],
    seed: Annotated[
        list[int] | None,
        typer.Option("--seed", metavar="N", min=0, help="Once per seed; by default 0, 1 and 2."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the runs.")] = Path("runs"),
    update: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also update the table in a Markdown file.")
    ] = None,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> str:
    """Train a recipe with several seeds: mean and spread of its figures on test.

    The recipe's own seed is that of the shipped model. What was trained before is not trained
    again, and a run that was stopped goes on.
    """
    from core.hub.seeds import model_with_seed, spread_table, spreads
    from core.hub.train_model import check_trainable
    from core.training.checkpoint import LATEST
    from core.training.recipe import load_recipe

    plan = load_recipe(recipe)
    numbers = sorted(set(seed or (0, 1, 2)))
    if len(numbers) < 2:
        raise UserError(
            f"expected --seed at least twice, but got {numbers}: one seed has no spread."
        )
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError(
            "expected one process, but torchrun started several: train them by `train`."
        )
    check_trainable(plan)
    use_threads(threads)

    def train_once(plan: "Recipe", folder: Path, command: str) -> None:
        resume = (folder / LATEST).exists()
        again = "the same command goes on."
        _train(plan, folder, resume=resume, data=data, device=device, command=command, again=again)

    cards = [card_of(model_with_seed(recipe, number, out, train_once)) for number in numbers]
    figures = spreads(cards)
    text = spread_table(plan.name, numbers, figures)
    if update is not None:
        begin, end = (f"<!-- seeds {plan.name}: {word} -->" for word in ("begin", "end"))
        replace_between(update, begin, end, text)
        note(f"The table in {update} is up to date.")
    if as_json:
        rows = {
            label: {"values": spread.values, "mean": spread.mean, "deviation": spread.deviation}
            for label, spread in figures.items()
        }
        return to_json({"recipe": plan.name, "seeds": numbers, "figures": rows})
    return text


def _train(
    plan: "Recipe",
    folder: Path,
    *,
    resume: bool,
    data: Path | None,
    device: str,
    command: str | None = None,
    again: str = "add --resume to go on.",
) -> Card | None:
    """Train and publish; None in a process that does not lead. Handles an interrupt."""
    from core.hub.train_model import check_free, leads, train_model
    from core.training.checkpoint import LATEST
    from core.training.progress import epoch_bar

    check_writable(folder, folder=True)
    check_free(folder / "model", folder)
    if resume and leads() and not (folder / LATEST).exists():
        note(f"There is no checkpoint in {folder} yet: starting from the beginning.")
    try:
        with epoch_bar(plan.name, plan.epochs, shown=leads()) as show:
            return train_model(
                plan,
                folder,
                data=data,
                resume=resume,
                device=device,
                command=command,
                on_epoch=show,
                on_note=note,
            )
    except KeyboardInterrupt as error:
        if leads() and (folder / LATEST).exists():
            note(f"Stopped. {folder} keeps all that was trained: {again}")
        elif leads():
            note("Stopped before the first step was done: --resume starts from the beginning.")
        raise typer.Exit(ended_by(error)) from None
