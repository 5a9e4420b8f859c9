"""The command line: `devcluster up hub`, or `python -m devcluster up hub` in a checkout."""

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from devcluster import standing
from devcluster.binaries import ensure
from devcluster.build import built
from devcluster.errors import DevclusterError
from devcluster.plane import DEFAULT_TIMEOUT
from devcluster.progress import paint

_INTERRUPTED = 130

_DESCRIPTION = """\
Run real Kubernetes control planes on this machine: etcd, kube-apiserver, kube-controller-manager,
kube-scheduler, and KWOK playing the nodes. The first run builds them (several minutes)."""

_EXAMPLES = """\
examples:
  devcluster up hub member-1         start two planes and return
  eval "$(devcluster env hub)"       point kubectl at one of them
  kubectl get namespaces
  devcluster list
  devcluster down                    stop all planes and remove their state

environment:
  DEVCLUSTER_HOME      where planes keep state and logs (default: .devcluster/ in the checkout)
  KUBEBUILDER_ASSETS   a folder with ready binaries, used before any are built
  KUBECONFIG           a context named exactly like a plane is used instead of starting one
  XDG_CACHE_HOME       where built binaries are shared between checkouts (default: ~/.cache)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 for success, 1 for failure, 2 for a wrong request."""
    # A terminated command cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, _interrupt)
    parser = _parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        parser.print_help(sys.stderr)
        return 2
    options = parser.parse_args(given)
    try:
        _run(options)
    except DevclusterError as error:
        label = paint("error:", colour="red", stream=sys.stderr)
        print(f"devcluster: {label} {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ndevcluster: interrupted; what this command had started is stopped", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _run(options: argparse.Namespace) -> None:
    match options.command:
        case "up":
            standing.up(options.names, timeout=options.timeout)
        case "down":
            standing.down(options.names)
        case "env":
            print(standing.environment(options.name))
        case "list":
            _print_table(standing.describe())
        case "build":
            ensure()
            print(built("kubectl").parent)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="devcluster",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = _command(commands, "up", help="start planes and leave them running", example="up hub member-1")
    up.add_argument("names", nargs="+", metavar="NAME")
    up.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="give up on a plane that is not ready by then (default: %(default).0f)",
    )
    down = _command(commands, "down", help="stop planes and remove their state", example="down member-1")
    down.add_argument("names", nargs="*", metavar="NAME", help="none means all")
    env = _command(commands, "env", help="print shell settings for one plane", example='env hub    # eval "$(...)"')
    env.add_argument("name", metavar="NAME")
    _command(commands, "list", help="show planes and their state", example="list")
    _command(commands, "build", help="only make sure that all binaries exist", example="build")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, *, help: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", epilog=f"example: devcluster {example}"
    )


def _print_table(rows: Sequence[tuple[str, str, str]]) -> None:
    if not rows:
        print("no planes; start one with: devcluster up hub")
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, state, place in rows:
        colour = "green" if state == "running" else "red"
        print(f"{name:<{width}}  {paint(f'{state:<7}', colour=colour, stream=sys.stdout)}  {place}")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
