"""``domicile run``: the operator, with its settings from options or the environment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

EPILOG = """\b
Examples:
  domicile run --no-leader-elect --log-format text
  DOMICILE_WORKERS=8 domicile run
  domicile run --log-dir /var/lib/domicile/log --log-sink /mnt/witness

\b
Without --kubeconfig or --context, a pod uses its ServiceAccount, others
KUBECONFIG or the default kubeconfig."""


class LogFormat(StrEnum):
    """How log records are written."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """Least severity that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


File = Annotated[str | None, typer.Option(envvar="DOMICILE_KUBECONFIG", metavar="FILE", help="Kubeconfig of the hub.")]
Context = Annotated[
    str | None, typer.Option(envvar="DOMICILE_CONTEXT", metavar="NAME", help="Context in the kubeconfig.")
]
Lease = Annotated[
    str, typer.Option(envvar="DOMICILE_NAMESPACE_OF_LEASE", metavar="NAME", help="Where the leader's Lease is.")
]
Elect = Annotated[
    bool,
    typer.Option("--leader-elect/--no-leader-elect", envvar="DOMICILE_LEADER_ELECT", help="Only one replica acts."),
]
Port = Annotated[
    int, typer.Option(envvar="DOMICILE_HTTP_PORT", min=0, max=65535, help="Port of metrics and readiness.")
]
Format = Annotated[LogFormat, typer.Option(envvar="DOMICILE_LOG_FORMAT", help="One JSON object per record, or text.")]
Level = Annotated[
    LogLevel, typer.Option(envvar="DOMICILE_LOG_LEVEL", case_sensitive=False, help="Least severity written.")
]
Workers = Annotated[int, typer.Option(envvar="DOMICILE_WORKERS", min=1, max=256, help="Objects reconciled at a time.")]

LogDir = Annotated[
    str | None,
    typer.Option(envvar="DOMICILE_LOG_DIR", metavar="DIR", help="Directory of the decision log. Default: none."),
]
LogKey = Annotated[
    str | None,
    typer.Option(envvar="DOMICILE_LOG_KEY", metavar="FILE", help="Its signing key; default: DIR.key. Made if missing."),
]
LogSink = Annotated[
    list[str] | None,
    typer.Option(
        "--log-sink", envvar="DOMICILE_LOG_SINK", metavar="DIR", help="Its checkpoints go here too. May be repeated."
    ),
]


def run(
    *,
    kubeconfig: File = None,
    context: Context = None,
    namespace_of_lease: Lease = "domicile-system",
    leader_elect: Elect = True,
    http_port: Port = 8080,
    log_format: Format = LogFormat.JSON,
    log_level: Level = LogLevel.INFO,
    workers: Workers = 48,
    log_dir: LogDir = None,
    log_key: LogKey = None,
    log_sink: LogSink = None,
) -> None:
    """Start the operator.

    It watches the hub, places workloads, and keeps checking what is placed.
    """
    from domicile.runtime import app
    from domicile.runtime.settings import Settings

    settings = Settings(
        kubeconfig=kubeconfig,
        context=context,
        lease_namespace=namespace_of_lease,
        leader_elect=leader_elect,
        http_port=http_port,
        log_json=log_format is LogFormat.JSON,
        log_level=log_level.value.upper(),
        workers=workers,
        log_dir=log_dir,
        log_key=log_key,
        log_sinks=tuple(log_sink or ()),
    )
    raise typer.Exit(app.run(settings))
