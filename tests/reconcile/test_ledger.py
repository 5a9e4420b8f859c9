"""A decision log that takes nothing: where the tier demands it nothing new is placed; nothing that runs is harmed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reconcile.test_stateful import INFD, Fleet
from tests.reconcile.test_violation import pack


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Two workloads run; then the disk is full."""
    fleet = Fleet()
    fleet.begin("Drain", "0s")
    yield fleet
    fleet.teardown()


@pytest.mark.parametrize("known_before", [True, False], ids=["said to be full", "found full by trying"])
def test_nothing_new_where_the_tier_demands_the_log(fleet: Fleet, known_before: bool) -> None:
    fleet._state("SovereigntyFramework", "cada", pack(onViolation="Drain", decisionLog="Required") | {"id": "cada"})
    fleet._settle()
    fleet.ledger.full, fleet.ledger.silent = True, not known_before
    fleet.apply_or_delete("c")
    fleet._settle()
    status = fleet.world.workloads["ns/c"].status
    assert status["reason"] == "DecisionLogUnavailable" and not status["placements"]
    assert "disk full" in next(c["message"] for c in status["conditions"] if c["type"] == "Placed")
    for key in ("ns/a", "ns/b"):
        assert fleet.world.workloads[key].condition("Ready") == ("True", "Serving")
    fleet.ledger.full = False
    fleet.crash()
    fleet._settle()
    assert fleet.world.workloads["ns/c"].condition("Ready") == ("True", "Serving")
    assert fleet._records("Placed", "ns/c")


def test_placed_all_the_same_where_the_log_is_best_effort(fleet: Fleet) -> None:
    fleet.ledger.full = True
    fleet.apply_or_delete("c")
    fleet._settle()
    assert fleet.world.workloads["ns/c"].condition("Ready") == ("True", "Serving")
    assert ("ns", "c") in fleet.hub.collections[INFD].objects
