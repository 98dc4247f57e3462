"""The command line: one function per command.

A command returns its output and `main` prints it, so that no partial output is printed; progress,
notes and errors go to stderr. Modules that need torch are imported by the commands that use them.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from errno import EDQUOT, ENOSPC
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from core.cli import edge_cloud, explorer, export, methods, models, run, train, tune
from core.cli.options import BROKEN_PIPE, ended_by
from core.cli.text import note
from core.foundation.errors import UserError
from core.foundation.plugins import load_plugins, set_factory

TRACEBACK = "EENET_TRACEBACK"
"""Environment variable; when set, internal errors print their traceback."""

app = typer.Typer(
    help="Early-exit networks: look at them, run, tune, train and time them.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Data sets.", rich_markup_mode=None)
data_app.command()(models.prepare)
app.add_typer(data_app, name="data")
app.add_typer(edge_cloud.app, name="edge-cloud")
for command in (
    *(models.models, models.verify, models.weights, run.predict, run.evaluate, tune.tune),
    run.bench,
    *(export.export, methods.methods, train.train, train.seeds, explorer.app),
):
    app.command()(command)


@app.callback()
def load_own_files(
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.py",
            help="Run a file of your own first, whose decorators register criteria, losses, "
            "heads, backbones and data sets; as often as needed. Also $EENET_PLUGINS.",
        ),
    ] = None,
    factory: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="Makes the module of a network of your own, without arguments. Also "
            "$EENET_FACTORY.",
        ),
    ] = None,
) -> None:
    """Run the user's own files before any command, also in child processes."""
    load_plugins(plugin or ())
    if factory is not None:
        set_factory(factory)


def program() -> str:
    """Return the name by which this command line was started."""
    return "early-exit" if Path(sys.argv[0]).stem == "early-exit" else "python -m core"


def own_files_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--plugin`` and ``--factory`` moved before the command."""
    first, rest = [], []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in ("--plugin", "--factory"):
            first += [argument, *islice(remaining, 1)]
        else:
            own = argument.startswith(("--plugin=", "--factory="))
            (first if own else rest).append(argument)
    return first + rest


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's; return the exit status.

    0: done. 2: the user's mistake, in one line. 1: an internal error. 130: interrupted.
    143: terminated.
    """
    arguments = own_files_first(sys.argv[1:] if args is None else args)
    try:
        output = typer.main.get_command(app).main(
            args=arguments or ["--help"], prog_name=program(), standalone_mode=False
        )
        if isinstance(output, str):
            sys.stdout.write(output + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes the rest of the buffer when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort) as error:
        return ended_by(error)
    except UserError as error:
        return fail(str(error))
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT) and error.filename is None:
            return fail(
                "expected room for what is written, or printed into a file, but none is left: free "
                "some, and run it again."
            )
        return fail(f"expected to read and write files, but got: {error}.")
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer's
            path = getattr(getattr(error, "ctx", None), "command_path", program())
            sentence = error.format_message()
            stop = "" if sentence.endswith((".", "?")) else "."
            return fail(f"{sentence}{stop} See `{path} --help`.")
        if os.environ.get(TRACEBACK):
            note(traceback.format_exc())
        what = f"{type(error).__name__}: {error}"
        fail(f"this is our fault, not yours ({what}): please report it, with {TRACEBACK}=1 set.")
        return 1
    return output if isinstance(output, int) else 0


def fail(sentence: str) -> int:
    """Print an error in one line; return the exit status 2."""
    note(f"error: {' '.join(sentence.split())}")
    return 2
