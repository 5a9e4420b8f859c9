"""What the user named on the command line -> objects with their places: files, folders, standard input.

A folder is read with its subfolders, but for hidden ones (``.git``, ``.github``). Nothing is read twice. Problems are
collected, never raised: one broken file must not hide the others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import yaml

from domicile.cli.unquoted import unquoted_booleans
from domicile.documents.load import Loaded, Problem, load_files
from domicile.report.answers import Note

STDIN = "-"
SUFFIXES = (".yaml", ".yml", ".json")
WORKLOAD = "InferenceDeployment"


@dataclass(frozen=True, slots=True)
class Objects:
    """Everything read: objects of ours, labels of namespaces, and what is wrong."""

    loaded: tuple[Loaded, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    problems: tuple[Note, ...]
    warnings: tuple[Note, ...]
    malformed: frozenset[str]  # "Kind/name" of objects that are there and cannot be read

    def of(self, kind: str) -> list[Loaded]:
        """Objects of one kind, in the order of reading."""
        return [one for one in self.loaded if one.kind == kind]


def gather(sources: Sequence[str], *, facts: str | None, stdin: TextIO) -> Objects:
    """Read ``sources`` and, for facts only, the folder ``facts``, whose workloads are ignored."""
    with tempfile.TemporaryDirectory() as scratch:
        piped = Path(scratch) / "stdin.yaml"
        if STDIN in sources:
            piped.write_text(stdin.read(), encoding="utf-8", errors="surrogateescape")
        problems: list[Note] = []
        extra = _expand([Path(facts)], problems) if facts else []
        known = {file.resolve() for file in extra}
        paths = [piped if source == STDIN else Path(source) for source in sources]
        files = [file for file in _expand(paths, problems) if file.resolve() not in known]
        warnings: list[Note] = []
        sound = [file for file in (*files, *extra) if _screen(file, problems, warnings)]
        loaded, others, found = load_files(sound)
        ignored = {str(file) for file in extra}
        kept = [one for one in loaded if not (one.kind == WORKLOAD and str(one.origin.file) in ignored)]
        problems += [_note(p) for p in found if not (p.subject.startswith(f"{WORKLOAD}/") and _file(p) in ignored)]
    kept, rejected = _check_metadata(kept)
    problems += rejected
    return Objects(
        loaded=tuple(_renamed(one, piped) for one in kept),
        namespaces=_namespaces(others),
        problems=tuple(_said_plainly(p, piped) for p in problems),
        warnings=tuple(_said_plainly(w, piped) for w in warnings),
        malformed=frozenset(p.subject for p in problems if "/" in p.subject),
    )


def _expand(paths: Iterable[Path], problems: list[Note]) -> list[Path]:
    """Files to read, each once; a folder without manifests is a problem, since it is a typo more often than not."""
    files: dict[Path, Path] = {}
    for path in paths:
        found = _manifests(path) if path.is_dir() else [path]
        if not found:
            problems.append(Note(str(path), "", f"holds no manifest ({', '.join(SUFFIXES)}); name another folder"))
        for file in found:
            files.setdefault(file.resolve(), file)
    return list(files.values())


def _manifests(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [Path(place) / name for name in sorted(names) if name.endswith(SUFFIXES) and not name.startswith(".")]
    return found


def _screen(file: Path, problems: list[Note], warnings: list[Note]) -> bool:
    """Whether ``file`` can be handed on; notes what kubectl would misread. Syntax is the reader's to report."""
    try:
        text = file.read_text(encoding="utf-8")
        yaml.reader.Reader(text)
        warnings += [Note(f"{file}:{one.line}", "", one.message) for one in unquoted_booleans(text)]
    except yaml.reader.ReaderError:
        problems.append(Note(str(file), "", "is not text; name YAML or JSON files"))
        return False
    except UnicodeDecodeError:
        problems.append(Note(str(file), "", "is not UTF-8 text; name YAML or JSON files"))
        return False
    except (yaml.YAMLError, OSError, RecursionError):
        pass
    return True


def _check_metadata(loaded: list[Loaded]) -> tuple[list[Loaded], list[Note]]:
    """Drop objects whose annotations or labels the API server would refuse: a tier written as a number, mostly."""
    kept, problems = [], []
    for one in loaded:
        notes = list(_metadata_problems(one))
        problems += notes
        if not notes:
            kept.append(one)
    return kept, problems


def _metadata_problems(one: Loaded) -> Iterable[Note]:
    subject = f"{one.kind}/{one.name}"
    for field in ("annotations", "labels"):
        entries = one.raw["metadata"].get(field) or {}
        if not isinstance(entries, dict):
            yield Note(one.origin.at(("metadata", field)), subject, f"metadata.{field}: must be a map of strings")
            continue
        for key, value in entries.items():
            if not isinstance(value, str):
                written = str(value).lower() if isinstance(value, bool) else value
                message = f'metadata.{field}[{key}]: {written} is not a string; write "{written}"'
                yield Note(one.origin.at(("metadata", field, str(key))), subject, message)


def _namespaces(others: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for raw in others:
        metadata = raw.get("metadata")
        if raw.get("kind") == "Namespace" and isinstance(metadata, dict):
            labels = metadata.get("labels")
            labels = labels if isinstance(labels, dict) else {}
            found[str(metadata.get("name"))] = {str(key): str(value) for key, value in labels.items()}
    return found


def _file(problem: Problem) -> str:
    file, _, line = problem.place.rpartition(":")
    return file if line.isdigit() else problem.place


def _note(problem: Problem) -> Note:
    return Note(problem.place, problem.subject, problem.message)


def _renamed(one: Loaded, piped: Path) -> Loaded:
    """Objects from standard input stand in ``-``, not in the file they passed through."""
    return replace(one, origin=one.origin._replace(file=Path(STDIN))) if one.origin.file == piped else one


def _said_plainly(note: Note, piped: Path) -> Note:
    return Note(note.place.replace(str(piped), STDIN), note.subject, note.message.replace(str(piped), STDIN))
