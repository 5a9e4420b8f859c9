"""A change of facts as the user wrote it -> the facts as they would be: whole objects, merge patches, deletions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from domicile.cli.errors import BadInput
from domicile.cli.files import STDIN, gather
from domicile.cli.inventories import Item
from domicile.cli.planning import item_of
from domicile.cli.subjects import near
from domicile.documents.load import Origin
from domicile.documents.yaml import Document, YamlError, read_documents
from domicile.model.objects import KINDS, ObjectError, change_problems, read_spec
from domicile.report.answers import Note
from domicile.report.outlook import FactChange
from domicile.scenarios.format import merge_patch

FACT_KINDS = ("SovereignCluster", "LegalEntity", "SovereigntyFramework")
Key = tuple[str, str]  # kind, name


class Changed(NamedTuple):
    """Facts after a change, what was done to which object, and what is doubtful about the files."""

    facts: tuple[Item, ...]
    changes: tuple[FactChange, ...]
    given: tuple[Item, ...]  # objects whose new form the user wrote
    warnings: tuple[Note, ...]


def change(
    facts: Iterable[Item], *, files: Sequence[str], patches: Sequence[str], deletions: Sequence[str], stdin: TextIO
) -> Changed:
    """Apply whole objects, then patches, then deletions. Raises BadInput with everything that is wrong with them."""
    before = {(item.kind, item.name): item for item in facts}
    after, problems = dict(before), list[Note]()
    warnings: tuple[Note, ...] = ()
    if files:
        warnings = _replace(after, files, stdin, problems)
    for name in patches:
        _patch(after, name, stdin, problems)
    for text in deletions:
        _delete(after, text, problems)
    problems += [note for key, item in after.items() if key in before for note in _step(before[key], item)]
    if problems:
        raise BadInput(*(note.line for note in problems))
    given = tuple(item for key, item in after.items() if item is not before.get(key))
    named = [(item.kind, item.name) for item in given] + [key for key in before if key not in after]
    if not named:
        raise BadInput("there is no change in the files; name facts with -f, --patch or --delete")
    told = tuple(FactChange(*key, _what(before.get(key), after.get(key))) for key in sorted(named))
    return Changed(tuple(after.values()), told, given, warnings)


def _what(before: Item | None, after: Item | None) -> str:
    if before is None:
        return "Added"
    if after is None:
        return "Deleted"
    return "Unchanged" if before.spec == after.spec else "Changed"


def _step(before: Item, after: Item) -> list[Note]:
    """What the API server would refuse in the step from one spec to the other."""
    if before.spec == after.spec:
        return []
    subject = f"{after.kind}/{after.name}"
    return [Note(after.at(p.path), subject, str(p)) for p in change_problems(before.spec, after.spec)]


def _replace(after: dict[Key, Item], files: Sequence[str], stdin: TextIO, problems: list[Note]) -> tuple[Note, ...]:
    """Whole objects take the place of those of their names."""
    objects = gather(files, facts=None, stdin=stdin)
    problems += objects.problems
    for one in objects.loaded:
        if one.kind not in FACT_KINDS:
            message = f"is no fact: what-if changes {', '.join(FACT_KINDS)}; name workloads with -i"
            problems.append(Note(one.origin.at(("kind",)), f"{one.kind}/{one.name}", message))
        else:
            after[one.kind, one.name] = item_of(one)
    return objects.warnings


def _patch(after: dict[Key, Item], name: str, stdin: TextIO, problems: list[Note]) -> None:
    """Every document of a file is merged onto the object it names."""
    try:
        text = stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8")
        documents = read_documents(text)
    except YamlError as error:
        line, _, message = str(error).partition(": ")
        problems.append(Note(f"{name}:{line}", "", message))
        return
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        problems.append(Note(name, "", f"{why}; name a YAML file with --patch"))
        return
    if not documents:
        problems.append(Note(name, "", "holds no patch; write kind, metadata.name and a part of spec"))
    for document in documents:
        _merge(after, document, Origin(Path(name), document), problems)


def _merge(after: dict[Key, Item], document: Document, origin: Origin, problems: list[Note]) -> None:
    patch = document.value
    key = _named(patch)
    if key is None:
        kinds = ", ".join(FACT_KINDS)
        problems.append(Note(origin.at(()), "", f"no patch: write kind ({kinds}), metadata.name and a part of spec"))
        return
    subject, known = f"{key[0]}/{key[1]}", after.get(key)
    if known is None:
        names = near(key[1], known=(name for kind, name in after if kind == key[0]))
        problems.append(Note(origin.at(("metadata", "name")), subject, f"does not exist; {names}"))
        return
    stray = sorted(set(patch) - {"apiVersion", "kind", "metadata", "spec"})
    if stray or not isinstance(patch.get("spec"), dict):
        field, message = (
            (stray[0], "is no part of a patch") if stray else ("spec", "is missing; write the part to change")
        )
        problems.append(Note(origin.at((field,)), subject, f"{field}: {message}"))
        return
    raw = {**known.raw, "spec": merge_patch(known.raw["spec"], patch["spec"])}
    if "apiVersion" in patch:
        raw["apiVersion"] = patch["apiVersion"]
    try:
        after[key] = Item(*key, raw, read_spec(raw), origin)
    except ObjectError as error:
        problems += [Note(origin.at(p.path), subject, str(p)) for p in error.problems]


def _named(patch: Any) -> Key | None:
    """Which fact a patch is for; None where it does not say."""
    metadata = patch.get("metadata") if isinstance(patch, Mapping) else None
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return (patch["kind"], name) if isinstance(name, str) and patch.get("kind") in FACT_KINDS else None


def _delete(after: dict[Key, Item], text: str, problems: list[Note]) -> None:
    """``sovc/NAME``, ``legalentity/NAME`` and the like."""
    written, _, name = text.partition("/")
    for kind in (KINDS[known] for known in FACT_KINDS):
        if written.lower() in {kind.short, kind.plural, kind.kind.lower()}:
            if after.pop((kind.kind, name), None) is None:
                names = near(name, known=(other for known, other in after if known == kind.kind))
                problems.append(Note("--delete", f"{kind.kind}/{name}", f"does not exist; {names}"))
            return
    kinds = ", ".join(f"{KINDS[kind].short}/NAME" for kind in FACT_KINDS)
    problems.append(Note("--delete", text, f"names no fact; write {kinds}"))
