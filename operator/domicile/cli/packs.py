"""``domicile frameworks`` and ``domicile crds``: what comes with Domicile, as YAML to read or to apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from domicile.cli.errors import BadInput
from domicile.cli.terminal import say

FRAMEWORKS_EPILOG = """\b
Examples:
  domicile frameworks
  domicile frameworks cada | kubectl apply -f -"""

CRDS_EPILOG = """\b
Examples:
  domicile crds | kubectl apply --server-side -f -
  domicile crds --dir crds/"""


def frameworks(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this pack as YAML.")] = None,
) -> None:
    """List the built-in rule packs, or print one."""
    from domicile.tiers.packs import BUILT_IN, pack_text

    if name is None:
        say("".join(_summary(pack) for pack in BUILT_IN))
    elif name in BUILT_IN:
        say(pack_text(name))
    else:
        raise BadInput(f"no built-in framework {name!r}; there are: {', '.join(BUILT_IN)}")


def _summary(name: str) -> str:
    from domicile.documents.yaml import read_documents
    from domicile.tiers.packs import pack_text

    spec: dict[str, Any] = read_documents(pack_text(name))[0].value["spec"]
    levels = ", ".join(str(tier["level"]) for tier in spec["tiers"])
    title = (spec.get("source") or {}).get("title", "")
    return f"{name}  {spec['version']}  tiers {levels}  {len(spec['rules'])} rules  {title}\n"


def crds(
    folder: Annotated[Path | None, typer.Option("--dir", metavar="DIR", help="Write files here instead.")] = None,
) -> None:
    """Print the CRDs and admission policies as YAML."""
    from domicile.crds.files import as_yaml, generated_files
    from domicile.crds.finalizer import finalizer_policy
    from domicile.crds.generate import all_crds
    from domicile.crds.policy import policies

    if folder is None:
        say(as_yaml([*all_crds(), *policies(), *finalizer_policy()]))
        return
    files = {Path(name).name: text for name, text in generated_files().items() if name.startswith("crds/")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--dir: {error}") from error
    say(f"{len(files)} files written to {folder}\n")
