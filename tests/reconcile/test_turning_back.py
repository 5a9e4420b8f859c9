"""Facts that turn in the middle of a move."""

from __future__ import annotations

from tests.reconcile.test_stateful import Fleet


def test_back_to_the_copy_that_still_runs() -> None:
    """The place it was leaving is legal again and the new one is not: the old copy is the one to keep, at once."""
    fleet = Fleet()
    fleet.begin("Drain", "0s")
    (start,) = fleet.world.workloads["ns/a"].placed
    fleet.flip({"owner-1"}, 0)
    while len(fleet.world.workloads["ns/a"].placed) < 2:
        fleet._step()
    target = fleet.world.workloads["ns/a"].placed[0]
    assert target[0] != start[0]
    fleet.flip({"owner-1", "owner-3"}, 0)
    fleet._settle()
    after = fleet.world.workloads["ns/a"]
    assert after.placed == [start] and after.condition("Ready") == ("True", "Serving")
    assert not fleet.members[target[0]].pods("ns/a")
    decided = [record.body["outcome"] for record in fleet._records("Placed", "ns/a")]
    assert decided == ["Placed"] * 3, "placing, moving, and staying after all"
    fleet.teardown()
