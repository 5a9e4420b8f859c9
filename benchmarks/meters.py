"""What a run costs, read from outside: writes from an API server's own metrics, CPU seconds from /proc."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from pathlib import Path

from devcluster import Plane

Writes = Counter[str]
"""``resource/subresource VERB`` -> requests."""

WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
SERIES = re.compile(r"^apiserver_request_total\{(.*)\} ([0-9.e+]+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


def writes(plane: Plane) -> Writes:
    """Write requests since the API server started, whoever made them.

    Refused ones are counted apart, with their code. Reviews of tokens and access are not writes.
    """
    counted: Writes = Counter()
    for line in plane.kubectl("get", "--raw", "/metrics").splitlines():
        match = SERIES.match(line)
        if match is None:
            continue
        labels = dict(LABEL.findall(match[1]))
        if labels["verb"] not in WRITES or labels["resource"].endswith("reviews"):
            continue
        what = labels["resource"] + (f"/{labels['subresource']}" if labels["subresource"] else "")
        code = "" if labels["code"].startswith("2") else f" [{labels['code']}]"
        counted[f"{what} {labels['verb']}{code}"] += int(float(match[2]))
    return counted


def cpu(planes: dict[str, Plane], processes: dict[str, int]) -> dict[str, float]:
    """CPU seconds so far, by ``plane component`` and by the names of ``processes`` (pids)."""
    seconds = defaultdict(float, {name: _seconds(pid) for name, pid in processes.items()})
    folders = {name: str(plane.kubeconfig.parent) for name, plane in planes.items()}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        program, arguments = _command(entry)
        for name, folder in folders.items():
            if program in COMPONENTS and f"{folder}/" in arguments:
                seconds[f"{name} {program}"] += _seconds(int(entry.name))
    return seconds


def _command(process: Path) -> tuple[str, str]:
    """Name of the program and its arguments; empty for a process that has just ended."""
    try:
        first, *rest = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "", ""
    return Path(first).name, " ".join(rest)


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
