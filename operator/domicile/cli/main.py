"""The program: commands by name, and what becomes of errors. Exit codes: 0 yes, 1 no, 2 bad input, 3 a defect of
ours, 130 interrupted.

Heavy libraries are imported inside the commands that need them, so that help comes at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from domicile import __version__
from domicile.cli import explain, log, packs, plan, replay, scenario, serve, what_if
from domicile.cli.errors import BadInput
from domicile.cli.terminal import complain, say

TRACEBACK = "DOMICILE_TRACEBACK"
DEFECT = 3


class Commands(TyperGroup):
    """The command group; turns bad input into lines on standard error and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command asked for."""
        try:
            return super().invoke(ctx)
        except BadInput as error:
            complain(error.lines)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("plan", epilog=plan.EPILOG)(plan.plan)
app.command("explain", epilog=explain.EPILOG)(explain.explain)
app.command("what-if", epilog=what_if.EPILOG)(what_if.what_if)
app.command("replay", epilog=replay.EPILOG)(replay.replay)
app.command("test", epilog=scenario.EPILOG)(scenario.test)
app.command("frameworks", epilog=packs.FRAMEWORKS_EPILOG)(packs.frameworks)
app.command("crds", epilog=packs.CRDS_EPILOG)(packs.crds)
app.add_typer(log.app, name="log")
app.command("run", epilog=serve.EPILOG)(serve.run)


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback(epilog="Every command has --help with examples.")
def domicile(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run AI inference only where its sovereignty tier allows it, and say why.

    plan and test work on files and need no cluster; explain and what-if ask files or a cluster; replay asks the
    decision log; run is the operator.
    """


@app.command("version", epilog="\b\nExamples:\n  domicile version")
def version() -> None:
    """Print the version."""
    say(f"domicile {__version__}\n")


def program_name(argv0: str) -> str:
    """``kubectl domicile`` where kubectl started us as its plugin."""
    return "kubectl domicile" if Path(argv0).name.startswith("kubectl-domicile") else "domicile"


def main() -> None:
    """Entry point of both console scripts. Never shows a traceback unless ``DOMICILE_TRACEBACK`` asks for it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end the program
    try:
        typer.main.get_command(app).main(prog_name=program_name(sys.argv[0]))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        defect = f"{type(error).__name__}: {error}"
        complain([f"{defect}; this is a defect of Domicile: report it with the output under {TRACEBACK}=1"])
        sys.exit(DEFECT)


if __name__ == "__main__":
    main()
