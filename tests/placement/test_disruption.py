"""Budgets and the breaker: what they hold back, and that they let go again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domicile.model.framework import Breaker as Limits
from domicile.model.framework import Disruption
from domicile.placement.disruption import Breaker, Move, Moves, restored

AT = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def move(source: str = "a", target: str = "b", level: int = 3) -> Move:
    return Move("cada", level, source, target)


def test_moves_of_a_tier() -> None:
    moves, limits = Moves(), Disruption(moves_per_tier=1, moves_per_cluster=9)
    assert not moves.begin("one", move(), limits=limits)
    assert not moves.begin("one", move(), limits=limits), "asking again is free"
    assert "movesPerTier" in moves.begin("two", move("c", "d"), limits=limits)
    assert not moves.begin("other tier", move(level=2), limits=limits)
    assert moves.end("one") == ["two"], "whoever waited is told"
    assert not moves.begin("two", move("c", "d"), limits=limits)
    assert moves.end("two") == []


@pytest.mark.parametrize(
    ("second", "waits"), [(("a", "x"), True), (("x", "b"), True), (("b", "x"), True), (("x", "y"), False)]
)
def test_moves_of_a_cluster(second: tuple[str, str], waits: bool) -> None:
    """Leaving and entering count alike: both are load on one cluster."""
    moves, limits = Moves(), Disruption(moves_per_tier=9, moves_per_cluster=1)
    moves.begin("one", move("a", "b"), limits=limits)
    assert bool(moves.begin("two", move(*second), limits=limits)) == waits


def test_who_waits_for_a_full_cluster_holds_nobody_else_up() -> None:
    moves, limits = Moves(), Disruption(moves_per_tier=9, moves_per_cluster=1)
    for name, source, target in (("one", "a", "b"), ("two", "c", "d"), ("three", "a", "e"), ("four", "c", "f")):
        moves.begin(name, move(source, target), limits=limits)
    assert moves.end("two") == ["four"], "three waits for a"
    assert moves.end("four") == [], "it no longer had to go"
    assert moves.end("one") == ["three"]


def test_who_no_longer_has_to_go_lets_the_next_one() -> None:
    moves, limits = Moves(), Disruption(moves_per_tier=1)
    for name in ("one", "two", "three", "four"):
        moves.begin(name, move(), limits=limits)
    assert moves.end("one") == ["two", "three"]
    assert moves.end("two") == ["three", "four"]


def test_a_move_adopted_after_a_restart_counts() -> None:
    moves, limits = Moves(), Disruption(moves_per_tier=1)
    moves.adopt("one", move())
    assert moves.begin("two", move("c", "d"), limits=limits)


def open_breaker(lost: int, *, placed: int, share: float = 25, at_least: int = 2, minutes: int = 0) -> Breaker:
    breaker = Breaker()
    for number in range(lost):
        breaker.lose(f"w{number}", at=AT)
    breaker.judge(Limits(share=share, at_least=at_least, window="10m"), placed=placed, at=AT + minutes * MINUTE)
    return breaker


@pytest.mark.parametrize(
    ("lost", "placed", "minutes", "opens"),
    [(3, 10, 0, True), (2, 8, 0, False), (3, 8, 0, True), (1, 1, 0, False), (3, 10, 10, False), (3, 10, 9, True)],
    ids=["more than the share", "just the share", "a bit more", "too few", "window over", "still inside"],
)
def test_when_it_opens(lost: int, placed: int, minutes: int, opens: bool) -> None:
    assert (open_breaker(lost, placed=placed, minutes=minutes).opened is not None) == opens


def test_one_workload_that_flaps_is_one_loss() -> None:
    breaker = Breaker()
    for second in range(10):
        breaker.lose("w", at=AT + timedelta(seconds=second))
    assert not breaker.judge(Limits(share=1, at_least=2), placed=3, at=AT + MINUTE)


def test_only_its_own_approval_releases_it() -> None:
    breaker = open_breaker(5, placed=5)
    assert breaker.opened is not None
    assert not breaker.release("") and not breaker.release("20200101T000000Z")
    assert breaker.release(breaker.opened.id)
    assert not breaker.judge(Limits(at_least=1), placed=5, at=AT), "what was lost before does not open it again"


def test_it_outlives_the_process() -> None:
    opened = open_breaker(5, placed=6).opened
    assert opened is not None
    status: dict[str, str | int] = {"id": opened.id, "lost": opened.lost, "placed": opened.placed}
    assert restored(status, opened_at=opened.at).opened == opened
    assert restored(None, opened_at=None).opened is None
