"""Which binary is used for what: KUBEBUILDER_ASSETS first, then the cache, then a build."""

import os
from collections.abc import Iterable
from pathlib import Path

from devcluster.build import PACKAGES, build, built, stage_files
from devcluster.progress import note

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


def ensure(names: Iterable[str] = tuple(PACKAGES)) -> dict[str, Path]:
    """The path of each binary, building what is nowhere to be found; KWOK's stage files come with KWOK."""
    wanted = list(names)
    missing = [name for name in wanted if find(name) is None]
    stages = "kwok" in wanted and not stage_files()
    if missing or stages:
        build(missing, stages=stages)
    return {name: find(name) or built(name) for name in wanted}


def find(name: str) -> Path | None:
    """The binary `name` as it is ready to use now, or None."""
    provided = _provided(name)
    if provided is not None:
        return provided
    return built(name) if built(name).exists() else None


def tell_provided(binaries: dict[str, Path]) -> None:
    """Say which binaries are not our own, so that a surprising version has an obvious cause."""
    names = [name for name in binaries if _provided(name) is not None]
    if names:
        note(f"using {', '.join(names)} from KUBEBUILDER_ASSETS ({os.environ['KUBEBUILDER_ASSETS']})")


def kubectl_path() -> Path:
    """The kubectl to use with a plane; built if need be."""
    return ensure(["kubectl"])["kubectl"]


def _provided(name: str) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    path = Path(folder).resolve() / name
    return path if path.is_file() and os.access(path, os.X_OK) else None
