"""The first answer to a workload: accepted, or the reason to refuse it before any candidate is looked at. Pure.

Name, then tier, then what would open a way out; operator and command line ask in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.request import Accepted, Refusal, RefusalReason, TierSources, accept
from domicile.render.hardening import refusals
from domicile.tiers.framework import Framework

EGRESS_TERRITORY: Final = "Union"
"""Name of the territory that destinations of the pods must lie in; a framework without it bounds them by network."""
SERVICE_NAME: Final = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


def admit(
    key: str, spec: InferenceDeploymentSpec, *, sources: TierSources, frameworks: Mapping[str, Framework]
) -> Accepted | Refusal:
    """The request of the workload ``namespace/name``, or the first reason to refuse it."""
    name = key.rpartition("/")[2]
    if not re.fullmatch(SERVICE_NAME, name):
        message = f"metadata.name: {name!r} cannot name a Service; use at most 63 of a-z, 0-9 and -"
        return Refusal(RefusalReason.INVALID_SPEC, message)
    result = accept(key, spec, sources=sources, frameworks=frameworks)
    if isinstance(result, Refusal):
        return result
    ways_out = refusals(spec, territory=frameworks[result.framework].territories.get(EGRESS_TERRITORY))
    return Refusal(RefusalReason.ARGUMENT_REFUSED, "; ".join(ways_out)) if ways_out else result
