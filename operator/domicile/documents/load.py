"""Files and folders of manifests -> raw objects with their places. The only place that reads manifests from disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from domicile.documents.yaml import Document, YamlError, read_documents
from domicile.model.objects import KINDS, STATED, ObjectError, read_spec
from domicile.model.schema import API_VERSION, Model

MAX_FILES = 10_000


class Origin(NamedTuple):
    """Where an object stands: ``at`` gives the line of one of its fields."""

    file: Path
    document: Document

    def at(self, path: tuple[str | int, ...]) -> str:
        """``file:line``."""
        return f"{self.file}:{self.document.line(path)}"


class Problem(NamedTuple):
    """One thing wrong with the input: where, which object, what to do."""

    place: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.subject + ': ' if self.subject else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One object of ours from a file."""

    raw: Mapping[str, Any]
    spec: Model
    origin: Origin

    @property
    def kind(self) -> str:
        """Kind of the object."""
        return str(self.raw["kind"])

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.raw["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Namespace of the object, ``default`` where the file names none."""
        return str(self.raw["metadata"].get("namespace", "default"))


def load_files(paths: Iterable[Path]) -> tuple[list[Loaded], list[Mapping[str, Any]], list[Problem]]:
    """Objects of our kinds, objects of other kinds (raw), and every problem found on the way."""
    loaded: list[Loaded] = []
    others: list[Mapping[str, Any]] = []
    problems: list[Problem] = []
    for file in _files(paths, problems):
        try:
            documents = read_documents(file.read_text(encoding="utf-8"))
        except YamlError as error:
            line, _, message = str(error).partition(": ")
            problems.append(Problem(f"{file}:{line}", "", message))
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(file), "", f"cannot be read: {error}"))
            continue
        for document in documents:
            for raw, place in _items(document):
                _load_one(raw, Origin(file, place), loaded, others, problems)
    _refuse_twins(loaded, problems)
    return loaded, others, problems


def _files(paths: Iterable[Path], problems: list[Problem]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml", ".json") and p.is_file())
        elif path.is_file():
            files.append(path)
        else:
            problems.append(Problem(str(path), "", "no such file or folder"))
    if len(files) > MAX_FILES:
        problems.append(Problem(str(files[0].parent), "", f"more than {MAX_FILES} files; name fewer"))
    return files[:MAX_FILES]


def _items(document: Document) -> Iterable[tuple[Any, Document]]:
    """The objects of a document; a List gives its items."""
    value = document.value
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        for number, item in enumerate(value["items"]):
            prefix = ("items", number)
            lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == prefix}
            yield item, Document(item, lines)
    else:
        yield value, document


def _load_one(
    raw: Any, origin: Origin, loaded: list[Loaded], others: list[Mapping[str, Any]], problems: list[Problem]
) -> None:
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        problems.append(Problem(origin.at(()), "", "no Kubernetes object: kind is missing"))
        return
    ours = raw["kind"] in KINDS or str(raw.get("apiVersion", "")).startswith(API_VERSION.partition("/")[0] + "/")
    if not ours:
        others.append(raw)
        return
    if raw["kind"] in KINDS and raw["kind"] not in STATED:
        return  # what the operator wrote itself states nothing
    name = (raw.get("metadata") or {}).get("name") if isinstance(raw.get("metadata"), dict) else None
    if not isinstance(name, str) or not name:
        problems.append(Problem(origin.at(("metadata",)), str(raw["kind"]), "metadata.name is missing; add it"))
        return
    try:
        loaded.append(Loaded(raw, read_spec(raw), origin))
    except ObjectError as error:
        problems += [Problem(origin.at(p.path), f"{raw['kind']}/{name}", str(p)) for p in error.problems]


def _refuse_twins(loaded: list[Loaded], problems: list[Problem]) -> None:
    seen: dict[tuple[str, str, str], Loaded] = {}
    for one in list(loaded):
        key = (one.kind, one.namespace if KINDS[one.kind].namespaced else "", one.name)
        if key in seen:
            first = seen[key].origin.at(("metadata", "name"))
            message = f"is defined twice, first at {first}; remove one"
            problems.append(Problem(one.origin.at(("metadata", "name")), f"{one.kind}/{one.name}", message))
            loaded.remove(one)
        seen.setdefault(key, one)
