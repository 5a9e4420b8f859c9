"""Room is counted node by node, and a promise takes its share before any scheduler has acted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domicile.placement.capacity import (
    EMPTY,
    UNKNOWN_ROOM,
    NodeRoom,
    PoolRoom,
    Reservation,
    Shape,
    read_quantity,
)
from tests.placement import fleet

QUANTITIES = (
    ("", 0.0), (None, 0.0), (3, 3.0), ("8", 8.0), ("500m", 0.5), ("1.5", 1.5), ("2k", 2000.0), ("1Ki", 1024.0),
    ("80Gi", 80 * 2.0**30), ("1Ti", 2.0**40), ("1e3", 1000.0), ("12E", None),
    ("-1", None), ("Gi", None), ("1 Gi", None),
)  # fmt: skip


@pytest.mark.parametrize(("text", "number"), QUANTITIES)
def test_quantities(text: str | int | None, number: float | None) -> None:
    if number is None:
        with pytest.raises(ValueError, match="is no quantity"):
            read_quantity(text)
    else:
        assert read_quantity(text) == number


def node(accelerators: float = 8, cpu: float = 64, memory: float = 512, pods: float = 110) -> NodeRoom:
    return NodeRoom(accelerators, cpu, memory, pods)


def gpus(count: int, *, products: tuple[str, ...] = ("H100",), least: float = 0.0) -> Shape:
    return Shape(products, count, least, cpu=1.0, memory=1.0)


FITS = (
    ("one per accelerator", (node(8),), gpus(1), 8),
    ("not over the sum of nodes", (node(4), node(4)), gpus(8), 0),
    ("as many as fit on each", (node(7), node(5)), gpus(2), 5),
    ("the scarcest counts", (node(8, cpu=3),), gpus(1), 3),
    ("pods are scarce too", (node(8, pods=2),), gpus(1), 2),
    ("memory is scarce too", (node(8, memory=2.5),), gpus(1), 2),
    ("overcommitted is no room", (node(-1),), gpus(1), 0),
    ("no accelerator asked for", (node(0),), Shape(cpu=32), 2),
    ("no node", (), gpus(1), 0),
    ("another product", (node(8),), gpus(1, products=("A100",)), 0),
    ("any of several products", (node(8),), gpus(4, products=("A100", "H100")), 2),
    ("too little memory on each", (node(8),), gpus(1, least=81.0), 0),
    ("just enough memory on each", (node(8),), gpus(8, least=80.0), 1),
)


@pytest.mark.parametrize(("nodes", "shape", "fits"), [case[1:] for case in FITS], ids=[case[0] for case in FITS])
def test_fits(nodes: tuple[NodeRoom, ...], shape: Shape, fits: int) -> None:
    assert PoolRoom(nodes, "H100", 80.0).fits(shape) == fits


POOL = PoolRoom((node(4), node(4)), "H100", 80.0)
PROMISED = (
    ("nothing", (), gpus(1), 8),
    ("of the same shape", ((gpus(1), 3),), gpus(1), 5),
    ("all of it", ((gpus(1), 8),), gpus(1), 0),
    ("more than there is", ((gpus(1), 9),), gpus(1), 0),
    ("half a node of another shape", ((gpus(2), 1),), gpus(1), 6),
    ("of a bigger shape", ((gpus(4), 1),), gpus(1), 4),
    ("rounded against us", ((gpus(1), 1),), gpus(4), 1),
    ("what fits nowhere takes all", ((gpus(8), 1),), gpus(1), 0),
    ("several", ((gpus(1), 2), (gpus(4), 1)), gpus(1), 2),
)


@pytest.mark.parametrize(("promised", "shape", "left"), [case[1:] for case in PROMISED], ids=[c[0] for c in PROMISED])
def test_promises_take_room(promised: tuple[tuple[Shape, int], ...], shape: Shape, left: int) -> None:
    assert POOL.free(shape, [Reservation(*promise) for promise in promised]) == left


def test_what_nobody_measured() -> None:
    assert EMPTY.fits(Shape()) == 0
    assert UNKNOWN_ROOM.fits(Shape(cpu=1000.0, memory=2.0**40)) > 10_000
    assert POOL.largest_free == 4 and EMPTY.largest_free == 0


@given(fleet.rooms, st.sampled_from(fleet.SHAPES), fleet.promises, st.integers(1, 3))
def test_promises_only_take(room: PoolRoom, shape: Shape, promised: tuple[Reservation, ...], more: int) -> None:
    """Never more than fits, never less than nothing, and one promise more never makes room."""
    left = room.free(shape, promised)
    assert 0 <= left <= room.fits(shape)
    assert room.free(shape, [*promised, Reservation(shape, more)]) <= max(0, left - more)
