"""Kopf at the edge: login, the watch of InferenceDeployments, signals. Every event only updates the world.

Nothing else of kopf's state machine is used: indices start in quadratic time and keep ghosts, a lost patch leaves an
object unhandled, timers overlap handlers, and two peers of one priority stop each other.
"""

from __future__ import annotations

from typing import Any

import kopf

from domicile.kube.client import TokenSource
from domicile.kube.kubeconfig import ConnectionSettings
from domicile.model.schema import GROUP, VERSION
from domicile.reconcile.world import World


class NoHistory(kopf.DiffBaseStorage):
    """Kopf copies every object twice to find what changed since it last handled it. No handler of ours asks."""

    def fetch(self, **_: Any) -> None:
        """Nothing was kept."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing is worth keeping."""
        return kopf.BodyEssence({})

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


def kopf_settings() -> kopf.OperatorSettings:
    """Kopf without Events, peering, CRD scanning or annotations of its own. Its finalizer stays another than ours:
    kopf takes the one it believes its own off every object that no handler of its own holds."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoHistory()
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.queueing.idle_timeout = 1.0
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (0.5, 1, 2, 4, 8, 15)
    settings.process.ultimate_exiting_timeout = 20
    return settings


def register(
    registry: kopf.OperatorRegistry, *, world: World, connection: ConnectionSettings, token: TokenSource | None
) -> None:
    """The handlers, on a registry of our own."""

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=connection.server,
            ca_data=connection.ca_pem,
            certificate_data=connection.client_cert_pem,
            private_key_data=connection.client_key_pem,
            scheme="Bearer" if (token or connection.token) else None,
            token=await token() if token else connection.token,
        )

    @kopf.on.event(GROUP, VERSION, "inferencedeployments", registry=registry)
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        raw: Any = event["object"]
        if event["type"] == "DELETED":
            world.remove_workload(raw)
        else:
            world.put_workload(raw)
