"""What is refused before any candidate is looked at, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.model.workload import TIER_ANNOTATION
from domicile.placement.request import Accepted, Refusal, RefusalReason, TierSources
from domicile.render.admit import admit
from tests.placement.fleet import frameworks
from tests.render.test_hardening import spec_of

AMERICAN = {"name": "a", "purpose": "p", "cidr": "192.0.2.0/24", "ports": [443], "country": "US"}


def ask(name: str = "w", tier: str = "3", **fields: Any) -> Accepted | Refusal:
    sources = TierSources({TIER_ANNOTATION: tier}, {}, None)
    return admit(f"ns/{name}", spec_of(**fields), sources=sources, frameworks=frameworks())


def test_accepted() -> None:
    result = ask("a-1")
    assert isinstance(result, Accepted)
    assert (result.request.key, result.request.level, result.framework) == ("ns/a-1", 3, "cada")


@pytest.mark.parametrize("name", ["1a", "a.b", "-a", "a-", "A", "a" * 64])
def test_a_name_that_no_service_can_have(name: str) -> None:
    result = ask(name, tier="9", runtime={"args": ["--trust-remote-code"]})
    assert isinstance(result, Refusal) and result.reason is RefusalReason.INVALID_SPEC
    assert result.message.startswith(f"metadata.name: '{name}' cannot name a Service; use at most 63")


def test_the_tier_comes_before_the_ways_out() -> None:
    result = ask(tier="9", runtime={"args": ["--trust-remote-code"]})
    assert isinstance(result, Refusal) and result.reason is RefusalReason.TIER_UNKNOWN


def test_every_way_out_is_named() -> None:
    """Destinations are measured by the territory of the workload's own framework."""
    result = ask(runtime={"args": ["--trust-remote-code"]}, egress=[AMERICAN])
    assert isinstance(result, Refusal) and result.reason is RefusalReason.ARGUMENT_REFUSED
    assert [part.partition(":")[0] for part in result.message.split("; ") if part.startswith("spec")] == [
        "spec.runtime.args[0]",
        "spec.egress[0].country",
    ]
