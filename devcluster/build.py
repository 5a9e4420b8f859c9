"""Build the Kubernetes components and KWOK from the pinned Go module, once per user and version."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devcluster import paths
from devcluster.errors import DevclusterError
from devcluster.locks import locked
from devcluster.processes import run_watched
from devcluster.progress import Progress, note
from devcluster.toolchain import find_go

PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
}
# What KWOK does with nodes and pods is data that its module ships beside the code.
_STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")


def kubernetes_version() -> str:
    """The Kubernetes release that go.mod pins, for example "v1.36.3"."""
    text = (paths.PACKAGE / "go.mod").read_text()
    line = re.search(r"^\tk8s\.io/kubernetes (v\S+)", text, re.MULTILINE)
    if line is None:
        raise DevclusterError(f"{paths.PACKAGE / 'go.mod'} does not pin k8s.io/kubernetes")
    return line[1]


def built(name: str) -> Path:
    """Where the binary `name` is once it is built."""
    return paths.tool_cache() / "bin" / name


def stage_files() -> list[Path]:
    """KWOK's stage files in the cache; empty before they are built."""
    return sorted((paths.tool_cache() / "stages").glob("*.yaml"))


def build(names: Sequence[str], *, stages: bool) -> None:
    """Make the binaries `names` (and KWOK's stage files) exist in the cache. Two builds at once are safe: the
    second waits and then finds the work done."""
    cache = paths.tool_cache()
    with locked(cache / "build.lock", waiting="another devcluster is building; waiting"):
        missing = [name for name in names if not built(name).exists()]
        if not missing and (stage_files() or not stages):
            return
        go = find_go()
        for leftover in cache.glob("unfinished-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as scratch:
            if missing:
                _install(missing, go=go, into=Path(scratch))
            if stages and not stage_files():
                _copy_stages(go=go, scratch=Path(scratch))


def _install(names: Sequence[str], *, go: Path, into: Path) -> None:
    progress = Progress(f"building {len(names)} binaries")
    note(
        f"building {', '.join(names)} for Kubernetes {kubernetes_version()};"
        " with an empty Go cache this takes several minutes"
    )
    packages = [PACKAGES[name] for name in names]
    try:
        count = _count_stale(packages, go=go, progress=progress)
        _compile(packages, go=go, into=into, count=count, progress=progress)
    finally:
        progress.clear()
    (paths.tool_cache() / "bin").mkdir(exist_ok=True)
    for name in names:
        # `go install` names a binary after its folder, which for etcd is "server".
        source = into / ("server" if name == "etcd" else name)
        source.replace(built(name))
    note(f"built {', '.join(names)} in {progress.elapsed:.0f} s: {built(names[0]).parent}")


def _count_stale(packages: Sequence[str], *, go: Path, progress: Progress) -> int:
    """How many packages there are to compile. Downloads the sources on the way."""
    command = [str(go), "list", "-trimpath", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages]
    lines = run_watched(
        command,
        cwd=paths.PACKAGE,
        env=_environment(),
        failure="the sources could not be fetched:",
        on_line=lambda line: progress.update(line.removeprefix("go: ")),
        on_tick=lambda: progress.update("fetching sources"),
    )
    return sum(1 for line in lines if line)


def _compile(packages: Sequence[str], *, go: Path, into: Path, count: int, progress: Progress) -> None:
    done: list[str] = []

    def show() -> None:
        share = f"{min(len(done), count)} of {count} packages"
        progress.update(f"{share}, {done[-1]}" if done else share)

    run_watched(
        [str(go), "install", "-v", "-trimpath", "-ldflags", _linker_flags(), *packages],
        cwd=paths.PACKAGE,
        env=_environment(bin_folder=into),
        failure="the build failed:",
        on_line=done.append,
        on_tick=show,
    )


def _linker_flags() -> str:
    """Leave debug tables out (half the size) and set the version that `go install` cannot know."""
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{key}={values[key]}" for key in values)])


def _environment(*, bin_folder: Path | None = None) -> dict[str, str]:
    """The caller's environment (GOPROXY, GOFLAGS and so on hold), minus what would build for elsewhere."""
    env = {key: value for key, value in os.environ.items() if key not in ("GOOS", "GOARCH")}
    # No C compiler needed, and the same binaries with and without one.
    env |= {"CGO_ENABLED": "0", "GOWORK": "off"}
    if bin_folder is not None:
        env["GOBIN"] = str(bin_folder)
    return env


def _copy_stages(*, go: Path, scratch: Path) -> None:
    modules = run_watched(
        [str(go), "mod", "download", "-json", "sigs.k8s.io/kwok"],
        cwd=paths.PACKAGE,
        env=_environment(),
        on_line=lambda _: None,
        on_tick=lambda: None,
        failure="KWOK's stage files could not be fetched:",
    )
    folder = re.search(r'"Dir": "(.+)"', "\n".join(modules))
    if folder is None:
        raise DevclusterError("Go does not say where it keeps the KWOK module")
    stages = scratch / "stages"
    stages.mkdir()
    for part in _STAGES:
        for source in (Path(folder[1]) / "kustomize" / "stage" / part).glob("*.yaml"):
            if source.name != "kustomization.yaml":
                shutil.copyfile(source, stages / source.name)
    stages.rename(paths.tool_cache() / "stages")
