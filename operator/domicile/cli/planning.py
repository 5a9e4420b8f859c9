"""What ``plan`` answers, from the objects of the files. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from domicile.cli.clock import written
from domicile.cli.deciding import Asked, answer
from domicile.cli.files import WORKLOAD, Objects
from domicile.cli.inventories import Item, build, built_in, problems_of
from domicile.documents.load import Loaded
from domicile.inventory.inventory import Inventory
from domicile.report.answers import Note, PlanAnswer

CAPACITY = "Capacity was not checked: no cluster was asked."


def item_of(one: Loaded) -> Item:
    """A loaded object as an inventory takes it."""
    return Item(one.kind, one.name, one.raw, one.spec, one.origin)


def inventory_of(objects: Objects, *, at: datetime) -> tuple[Inventory, list[Note]]:
    """The inventory of the files and the built-in packs, and everything wrong with it."""
    items = [item_of(one) for one in objects.loaded if one.kind != WORKLOAD]
    packs = built_in(items, malformed=objects.malformed)
    inventory = build([*items, *packs], at=at)
    found = problems_of(inventory, items)
    return inventory, [note for note in found if not _follows(note, objects.malformed)]


def _follows(note: Note, malformed: frozenset[str]) -> bool:
    """Whether a problem is only that a broken object, reported already, is missing elsewhere."""
    name, absent, _ = note.message.partition(" does not exist")
    return bool(absent) and name.rpartition(" ")[2] in malformed


def workloads_of(objects: Objects) -> list[Asked]:
    """Every workload with the labels of its namespace, in the order of reading."""
    return [
        Asked(item_of(one), one.namespace, objects.namespaces.get(one.namespace, {})) for one in objects.of(WORKLOAD)
    ]


def plan(objects: Objects, *, at: datetime) -> PlanAnswer:
    """Decide every workload on paper. Problems never stop the others and never admit anything."""
    inventory, found = inventory_of(objects, at=at)
    workloads = workloads_of(objects)
    problems = [*objects.problems, *found]
    if not objects.loaded and not problems:
        problems.append(Note("", "", "no Domicile object in the files; name the files that hold them with -f"))
    return PlanAnswer(
        at=written(at),
        workloads=tuple(answer(asked, inventory=inventory, at=at) for asked in workloads),
        problems=tuple(problems),
        warnings=objects.warnings,
        notes=notes(workloads, objects=objects),
    )


def notes(workloads: Iterable[Asked], *, objects: Objects) -> tuple[str, ...]:
    """What an answer from files leaves open, each once."""
    workloads = list(workloads)
    if not workloads and objects.problems:
        return ()
    if not workloads:
        return ("No InferenceDeployment in the files: only facts and rule packs were checked.",)
    unseen = sorted({asked.namespace for asked in workloads} - set(objects.namespaces))
    floors = f"No minimum tier was checked for {_listed(unseen)}: no such Namespace is in the files." if unseen else ""
    return tuple(note for note in (CAPACITY, floors) if note)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"namespace {shown}" if len(names) == 1 else f"namespaces {shown}" + (", ..." if len(names) > 5 else "")
