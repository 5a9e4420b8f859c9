"""Where things live on disk, decided in one place so that nothing is written anywhere else."""

import hashlib
import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """The folder that holds all planes: DEVCLUSTER_HOME, else `.devcluster/` at the root of the checkout."""
    chosen = os.environ.get("DEVCLUSTER_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    checkout = PACKAGE.parent
    root = checkout if (checkout / "pyproject.toml").exists() else Path.cwd()
    return root / ".devcluster"


def make_home() -> Path:
    """Create the home folder. It tells git to ignore it, so that no key of a plane is ever committed."""
    folder = home()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    marker = folder / ".gitignore"
    if not marker.exists():
        marker.write_text("*\n")
    return folder


def plane_directory(name: str) -> Path:
    """The folder of a plane that `up` started."""
    return home() / name


def user_cache() -> Path:
    """The part of the user's cache folder that every checkout shares."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "domicile" / "devcluster"


def tool_cache() -> Path:
    """The cache folder of exactly these tool versions: a change of go.mod or go.sum gives a new one."""
    digest = hashlib.sha256()
    for name in ("go.sum", "go.mod"):
        digest.update((PACKAGE / name).read_bytes())
    return user_cache() / digest.hexdigest()[:16]
