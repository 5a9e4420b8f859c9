"""Facts and workloads as they stand before a change, out of files or from a hub. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domicile.cli.deciding import Asked
from domicile.cli.files import WORKLOAD, Objects
from domicile.cli.inventories import Item, built_in
from domicile.cli.planning import inventory_of, item_of, notes, workloads_of
from domicile.report.answers import Note

ASSUMED = "What runs where was not asked: taken from the unchanged files."


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything a change is held against. ``facts`` hold the built-in packs where no object stands for them."""

    facts: tuple[Item, ...]
    workloads: tuple[Asked, ...]
    problems: tuple[Note, ...]
    warnings: tuple[Note, ...]
    notes: tuple[str, ...]
    live: bool = False


def ground_of(objects: Objects, *, at: datetime) -> Ground:
    """The ground that files give."""
    _, found = inventory_of(objects, at=at)
    items = [item_of(one) for one in objects.loaded if one.kind != WORKLOAD]
    workloads = tuple(workloads_of(objects))
    return Ground(
        facts=(*items, *built_in(items, malformed=objects.malformed)),
        workloads=workloads,
        problems=(*objects.problems, *found),
        warnings=objects.warnings,
        notes=(*notes(workloads, objects=objects), ASSUMED),
    )
