"""Runs the program as users do, in this process, and keeps what it printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from domicile.cli.main import app

FIXTURES = Path(__file__).parent / "fixtures"
FLEET = FIXTURES / "fleet"
AT = "2026-11-01"


def run(
    *arguments: str | Path, columns: int = 100, stdin: str | None = None, env: dict[str, str] | None = None
) -> Result:
    """One invocation. A defect (any exception that is no exit) fails the test that made it."""
    environment = {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": None} | (env or {})
    result = CliRunner(env=environment).invoke(app, [str(a) for a in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(*arguments: str | Path, stdin: str | None = None) -> Any:
    """The JSON an invocation prints."""
    return json.loads(run(*arguments, "-o", "json", stdin=stdin).stdout)


def fleet(folder: Path, *, replace: tuple[str, str] | None = None, extra: dict[str, str | bytes] | None = None) -> Path:
    """A copy of the fleet in one folder, with one text replaced and files added."""
    for source in sorted(FLEET.rglob("*.yaml")):
        text = source.read_text()
        if replace and replace[0] in text:
            text = text.replace(*replace, 1)
            replace = None
        (folder / source.name).write_text(text)
    assert replace is None, f"nothing to replace: {replace}"
    for name, content in (extra or {}).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
