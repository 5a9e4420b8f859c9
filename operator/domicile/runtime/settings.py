"""Settings of the operator process, read once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is told. No ``kubeconfig`` and ``context`` = the usual places, in a pod its account."""

    kubeconfig: str | None = None
    context: str | None = None
    lease_namespace: str = "domicile-system"
    leader_elect: bool = True
    http_port: int = 8080
    log_json: bool = True
    log_level: str = "INFO"
    workers: int = 48
    log_dir: str | None = None  # of the decision log; None keeps none
    log_key: str | None = None  # file of its signing key; None: beside the directory
    log_sinks: tuple[str, ...] = ()  # directories that get its checkpoints too
