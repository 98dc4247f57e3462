"""The commands that train: once, or with several seeds; part of `core.cli.main`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.options import INTERRUPTED, DataRoot, Device, Json, Threads, use_threads
from core.cli.text import note, percents, to_json
from core.foundation.errors import UserError
from core.foundation.markdown import replace_between
from core.hub.card import Card
from core.hub.registry import card_of

if TYPE_CHECKING:
    from core.training.progress import EpochReport
    from core.training.recipe import Recipe


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A shipped recipe, a TOML file or a card.json.")
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run.")] = False,
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
    _can_train(plan, recipe)
    _use(device, threads)
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
        Path | None, typer.Option(metavar="FILE", help="Also bring a Markdown file's table up.")
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
    _can_train(plan, recipe)
    _use(device, threads)

    def train_once(one: "Recipe", folder: Path, command: str) -> None:
        resume = (folder / "checkpoint.safetensors").exists()
        again = "the same command goes on."
        _train(one, folder, resume=resume, data=data, device=device, command=command, again=again)

    cards = [card_of(model_with_seed(recipe, number, out, train_once)) for number in numbers]
    found = spreads(cards)
    text = spread_table(plan.name, numbers, found)
    if update is not None:
        begin, end = (f"<!-- seeds {plan.name}: {word} -->" for word in ("begin", "end"))
        replace_between(update, begin, end, text)
        note(f"The table in {update} is up to date.")
    if as_json:
        rows = {
            label: {"values": one.values, "mean": one.mean, "deviation": one.deviation}
            for label, one in found.items()
        }
        return to_json({"recipe": plan.name, "seeds": numbers, "figures": rows})
    return text


def _can_train(plan: "Recipe", name: str) -> None:
    if plan.edge_cloud is not None:
        raise UserError(
            f"expected a recipe that one process trains, but {plan.name} is for an edge and a "
            f"cloud worker: use `python -m core edge-cloud train {name}`."
        )
    if plan.plain is not None:
        card_of(plan.plain)  # better missed now than after hours


def _use(device: str, threads: int | None) -> None:
    from core.hub.model import checked_device

    checked_device(device)
    use_threads(threads)


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
    """Train and publish; None in a process that does not lead. An interrupt says how to go on."""
    from core.hub.model import trained
    from core.hub.publish import publish
    from core.training.loop import train as run

    leads = os.environ.get("RANK", "0") == "0"
    try:
        with epoch_by_epoch(plan, shown=leads) as on_epoch:
            result = run(
                plan,
                folder,
                data=data,
                resume=resume,
                device=device,
                on_epoch=on_epoch,
                find=trained,
            )
        if not leads:
            return None
        return publish(plan, result, folder / "model", data, device, command)
    except KeyboardInterrupt:
        if leads and (folder / "checkpoint.safetensors").exists():
            note(f"Stopped. {folder} keeps every finished epoch: {again}")
        elif leads:
            note("Stopped before the first epoch was finished: there is nothing to resume.")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def epoch_by_epoch(plan: "Recipe", shown: bool) -> Iterator[Callable[["EpochReport"], None]]:
    """Yield what tells about each epoch on stderr: a line, and a bar where somebody looks."""
    from tqdm import tqdm

    hidden = None if shown else True
    with tqdm(total=plan.epochs, desc=plan.name, unit=" epochs", disable=hidden) as bar:

        def tell(report: "EpochReport") -> None:
            line = (
                f"epoch {report.epoch}/{plan.epochs}  loss {report.loss:.4f}  "
                f"accuracy {percents(report.accuracy)}  leave {percents(report.exit_share)}  "
                f"cost {report.relative_cost:.1%}  {report.seconds:.1f} s"
            )
            tqdm.write(line, file=sys.stderr)
            if report.warning:
                tqdm.write(f"warning: {report.warning}", file=sys.stderr)
            bar.update(report.epoch - bar.n)

        yield tell
