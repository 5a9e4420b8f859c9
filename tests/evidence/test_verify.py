"""Verification: every way to tamper with a log, what is named as the first bad record, and what is no tampering."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from domicile.evidence import checkpoint as notes
from domicile.evidence import layout, merkle
from domicile.evidence.record import RecordType
from domicile.evidence.report import Report
from domicile.evidence.sinks import held_in
from domicile.evidence.verify import KEPT_PROBLEMS, verify
from tests.evidence.making import (
    KEY,
    ORIGIN,
    OTHER_KEY,
    Clock,
    opened,
    record,
    records,
    segment_files,
    small_segments,
    stored_lines,
)
from tests.evidence.test_log import crash

SEGMENT = 4  # records in each segment of `log`
SIZE = 14
SIGNED = (0, 5, 9, 14)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen records in segments of four, signed after 0, 5, 9 and 14."""
    directory = tmp_path_factory.mktemp("original") / "log"
    with opened(directory, limits=small_segments(SEGMENT)) as log:
        for number in range(SIZE):
            log.append([record(number)])
            if log.size in SIGNED:
                log.write_checkpoint()
    return directory


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "log"))


def checked(directory: Path, **more: dict[str, bytes]) -> Report:
    return verify(directory, keys=[KEY.verifier], **more)


def segment(directory: Path, seq: int) -> Path:
    """The file that holds record `seq`."""
    return layout.segment_path(directory, first=seq - seq % SEGMENT)


def edit(directory: Path, seq: int, change: Callable[[list[bytes], int], object]) -> None:
    """Change the lines of the segment of `seq`, given with the index of that line."""
    path = segment(directory, seq)
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines, seq % SEGMENT)
    path.chmod(0o644)
    path.write_bytes(b"".join(lines))


def rechain(directory: Path, seq: int) -> None:
    """What somebody with write access does: replace a record and compute every hash after it anew."""
    lines = [line.rstrip(b"\n") for line in stored_lines(directory)]
    prev = merkle.leaf_hash(lines[seq - 1]).hex()
    for number in range(seq, len(lines)):
        made = record(number, outcome="Refused") if number == seq else record(number)
        lines[number] = made.line(number, time="2026-11-03T10:00:00.000000Z", prev=prev)
        prev = merkle.leaf_hash(lines[number]).hex()
    for path in segment_files(directory):
        first = int(path.name[:20])
        path.chmod(0o644)
        path.write_bytes(b"".join(line + b"\n" for line in lines[first : first + SEGMENT]))


def resign(directory: Path, *, key: notes.SignerKey = KEY, sizes: tuple[int, ...] = SIGNED) -> None:
    """Sign what is stored, as if it had been so from the beginning."""
    leaves = [merkle.leaf_hash(line[:-1]) for line in stored_lines(directory)]
    for item in layout.checkpoints(directory / layout.CHECKPOINTS):
        item.path.unlink()
    for size in sizes:
        note = notes.sign(notes.Checkpoint(ORIGIN, size, merkle.root(leaves[:size])), keys=[key])
        layout.checkpoint_path(directory / layout.CHECKPOINTS, size=size).write_text(note, encoding="utf-8")


def test_an_untouched_log(log: Path) -> None:
    elsewhere = held_in(log / layout.CHECKPOINTS)
    report = checked(log, elsewhere=elsewhere)
    assert report.ok and report.first is None and report.notices == ()
    assert (report.records, report.segments, report.checkpoints, report.proven) == (SIZE, 4, 8, SIZE)
    assert (report.origin, report.keys, report.types) == (ORIGIN, (KEY.verifier.label,), {"Placed": SIZE})
    leaves = [merkle.leaf_hash(line[:-1]) for line in stored_lines(log)]
    assert report.root == merkle.root(leaves).hex()
    assert report.bytes == sum(path.stat().st_size for path in segment_files(log))
    assert report.first_time == report.last_time == "2026-11-03T10:00:00.000000Z"


@dataclass(frozen=True)
class Tampering:
    """What is done to the log, and the first bad record: its seq as reported, its line, words of what is said."""

    does: Callable[[Path], object]
    seq: int | None
    line: int | None
    says: str


def flip(seq: int, old: bytes, new: bytes) -> Callable[[Path], object]:
    def change(lines: list[bytes], at: int) -> None:
        assert old in lines[at]
        lines[at] = lines[at].replace(old, new)

    return lambda directory: edit(directory, seq, change)


def swap(lines: list[bytes], at: int) -> None:
    lines[at], lines[at + 1] = lines[at + 1], lines[at]


def flip_prev(lines: list[bytes], at: int) -> None:
    before, prev, after = lines[at].partition(b'"prev":"')
    lines[at] = before + prev + (b"1" if after[:1] != b"1" else b"2") + after[1:]


def both(directory: Path, *changes: Callable[[Path], object]) -> None:
    for change in changes:
        change(directory)


def truncate(directory: Path, *, seq: int, size: int) -> None:
    path = segment(directory, seq)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:size])


TAMPERINGS = {
    "a byte of a value": Tampering(flip(6, b'"team"', b'"tean"'), 6, 3, "altered"),
    "a byte of the first record": Tampering(flip(0, b'"team"', b'"tean"'), 0, 1, "altered"),
    "a byte at a segment's end": Tampering(flip(7, b'"team"', b'"tean"'), 7, 4, "altered"),
    "a byte of prev": Tampering(lambda d: edit(d, 6, flip_prev), 6, 3, "prev is not the hash of the record before"),
    "the first record's prev": Tampering(lambda d: edit(d, 0, flip_prev), 0, 1, "not all zeros"),
    "a byte of seq": Tampering(flip(6, b'"seq":6', b'"seq":9'), 6, 3, "has seq 9"),
    "a byte of the type": Tampering(flip(6, b"Placed", b"Moved"), 6, 3, "altered"),
    "a byte of the syntax": Tampering(flip(6, b'{"number"', b'["number"'), 6, 3, "not JSON"),
    "a space": Tampering(flip(6, b'{"number"', b'{ "number"'), 6, 3, "not in canonical form"),
    "a repeated member": Tampering(flip(6, b'{"number":6', b'{"number":6,"number":6'), 6, 3, "canonical"),
    "a newline inside": Tampering(flip(6, b',"seq"', b'\n,"seq"'), 6, 3, "not JSON"),
    "a line dropped": Tampering(lambda d: edit(d, 6, lambda lines, at: lines.pop(at)), 6, 3, "1 are missing"),
    "a line doubled": Tampering(lambda d: edit(d, 6, lambda x, at: x.insert(at, x[at])), 7, 4, "repeated"),
    "two lines swapped": Tampering(lambda d: edit(d, 5, swap), 5, 2, "out of order"),
    "a segment truncated at a line": Tampering(
        lambda d: edit(d, 7, lambda lines, at: lines.pop(at)), 7, 1, "1 records before this segment"
    ),
    "a segment truncated in a line": Tampering(lambda d: truncate(d, seq=6, size=300), 5, 2, "cut off in the middle"),
    "a segment emptied": Tampering(lambda d: truncate(d, seq=4, size=0), 4, 1, "4 records before this segment"),
    "a segment deleted": Tampering(lambda d: segment(d, 4).unlink(), 4, 1, "4 records before this segment"),
    "the first segment deleted": Tampering(lambda d: segment(d, 0).unlink(), 0, 1, "4 records before this segment"),
    "a segment under another name": Tampering(
        lambda d: segment(d, 4).rename(layout.segment_path(d, first=5)), 4, 1, "1 records before this segment"
    ),
    "a segment under an earlier name": Tampering(
        lambda d: segment(d, 12).rename(layout.segment_path(d, first=11)), 12, 1, "named for an earlier seq"
    ),
    "the last segment deleted": Tampering(
        lambda d: segment(d, 12).unlink(), None, None, "signed over 14 records, but 12 are stored"
    ),
    "the last record cut": Tampering(lambda d: edit(d, 13, lambda x, at: x.pop()), None, None, "but 13 are stored"),
    "the last record torn": Tampering(
        lambda d: truncate(d, seq=13, size=segment(d, 13).stat().st_size - 1), None, None, "but 13 are stored"
    ),
    "every hash anew": Tampering(lambda d: rechain(d, 6), None, None, "one of seq 5 to 8 is not what it was"),
    "the key replaced": Tampering(lambda d: resign(d, key=OTHER_KEY), None, None, "no known key"),
    "every hash anew and the key replaced": Tampering(
        lambda d: both(d, lambda d: rechain(d, 6), lambda d: resign(d, key=OTHER_KEY)), None, None, "no known key"
    ),
    "a signature spoiled": Tampering(
        lambda d: (d / "checkpoints" / f"{5:020}.txt").write_text(
            (d / "checkpoints" / f"{5:020}.txt").read_text().replace("\n5\n", "\n6\n")
        ),
        None,
        None,
        "does not match the text",
    ),
    "a checkpoint under another size": Tampering(
        lambda d: (d / "checkpoints" / f"{5:020}.txt").rename(d / "checkpoints" / f"{6:020}.txt"),
        None,
        None,
        "is over 5 records, not over the 6 of its name",
    ),
    "all checkpoints deleted": Tampering(lambda d: shutil.rmtree(d / "checkpoints"), None, None, "no checkpoint"),
    "everything deleted": Tampering(lambda d: both(d, shutil.rmtree, Path.mkdir), None, None, "no checkpoint"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_and_the_first_bad_record_named(log: Path, name: str) -> None:
    tampering = TAMPERINGS[name]
    tampering.does(log)
    report = checked(log)
    assert not report.ok and report.first is not None
    assert (report.first.seq, report.first.line) == (tampering.seq, tampering.line), report.problems
    assert tampering.says in report.first.what
    if tampering.seq is not None:
        assert report.first.file.endswith(".jsonl")


@pytest.mark.parametrize("seq", range(SIZE))
def test_any_one_changed_record_is_named_whether_or_not_a_checkpoint_ends_there(log: Path, seq: int) -> None:
    flip(seq, b'"team"', b'"tean"')(log)
    report = checked(log)
    assert report.first is not None
    if seq == SIZE - 1:  # nothing comes after it: only the checkpoint speaks
        assert report.first.what.startswith("signed over other records: one of seq 9 to 13")
        return
    assert (report.first.file, report.first.line, report.first.seq) == (segment(log, seq).name, seq % SEGMENT + 1, seq)
    assert report.proven == max(size for size in SIGNED if size <= seq)


def test_verification_goes_on_after_a_problem(log: Path) -> None:
    flip(2, b'"team"', b'"tean"')(log)
    flip(10, b"{", b"[")(log)
    report = checked(log)
    assert [problem.seq for problem in report.problems if problem.line] == [2, 10]
    assert (report.records, report.checkpoints, report.checkpoints_failed) == (SIZE, 1, 3)
    assert report.problem_count == 5


@pytest.mark.parametrize("size", [0, 5, 9])
def test_a_roll_back_shows_only_against_a_checkpoint_held_elsewhere(log: Path, size: int) -> None:
    """An older copy of the whole directory contradicts nothing but what somebody else holds."""
    elsewhere = {"member-2": layout.checkpoint_path(log / layout.CHECKPOINTS, size=SIZE).read_bytes()}
    kept = stored_lines(log)[:size]
    for path in segment_files(log):
        path.unlink()
    layout.segment_path(log, first=0).write_bytes(b"".join(kept))
    for item in layout.checkpoints(log / layout.CHECKPOINTS):
        if item.number > size:
            item.path.unlink()
    assert checked(log).ok
    report = checked(log, elsewhere=elsewhere)
    assert report.first is not None and report.first.file == "member-2"
    assert f"signed over {SIZE} records, but {size} are stored" in report.first.what


def test_a_rewritten_history_shows_only_against_a_checkpoint_held_elsewhere(log: Path) -> None:
    """Whoever has the key can rewrite everything here, but not what was published."""
    elsewhere = {f"sink {size}": layout.checkpoint_path(log / "checkpoints", size=size).read_bytes() for size in (5, 9)}
    rechain(log, 6)
    resign(log)
    assert checked(log).ok
    report = checked(log, elsewhere=elsewhere)
    assert report.problem_count == 1 and report.first is not None and report.first.file == "sink 9"
    assert (report.checkpoints, report.checkpoints_failed) == (5, 1)


def test_a_log_rolled_back_and_continued_disagrees_with_what_was_published(log: Path) -> None:
    elsewhere = {"sink": layout.checkpoint_path(log / layout.CHECKPOINTS, size=9).read_bytes()}
    rechain(log, 7)
    resign(log, sizes=(0, 14))
    report = checked(log, elsewhere=elsewhere)
    assert report.first is not None and report.first.file == "sink" and "signed over other records" in report.first.what


def test_a_checkpoint_of_another_log_is_no_proof(log: Path) -> None:
    other = notes.SignerKey("elsewhere.example/log", KEY.seed)
    note = notes.sign(notes.Checkpoint(other.name, 5, b"x" * 32), keys=[other])
    report = verify(log, keys=[KEY.verifier, other.verifier], elsewhere={"sink": note, "junk": "nonsense"})
    assert [(problem.file, problem.what.split(",")[0]) for problem in report.problems] == [
        ("sink", f"is of the log {other.name}"),
        ("junk", "no blank line between text and signatures"),
    ]


def test_what_a_crash_a_clock_or_a_newer_version_leaves_is_no_tampering(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, clock=clock)
    log.append(records(2))
    clock.advance(minutes=-3)
    log.append([record(2)])
    log.write_checkpoint()
    log.append([record(3)])
    crash(log)
    with segment_files(tmp_path)[0].open("ab") as file:
        file.write(b'{"half')
    (tmp_path / "segments" / "notes.txt").write_text("")
    (tmp_path / "checkpoints" / ".00000000000000000009.txt.new").write_text("")
    report = checked(tmp_path)
    assert report.ok and (report.records, report.proven, report.unproven) == (4, 3, 1)
    assert [notice.split(": ")[-1] for notice in report.notices] == [
        "6 bytes of a torn last line",
        "the clock went back before 1 records",
        "not a file of the log",
    ]


def test_unknown_types_are_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domicile.evidence.verify._KNOWN_TYPES", frozenset(RecordType) - {RecordType.PLACED})
    report = checked(log)
    assert report.ok and report.notices == ("types that this version does not know: Placed",)


def test_a_line_longer_than_any_record_is_a_problem_not_a_memory_leak(log: Path) -> None:
    with segment(log, 13).open("ab") as file:
        for _ in range(32):
            file.write(b"x" * (1 << 20))
        file.write(b"\n")
    tracemalloc.start()
    report = checked(log)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.first is not None and "longer than" in report.first.what and report.first.seq == SIZE
    assert (report.records, report.problem_count) == (SIZE + 1, 1)
    assert peak < 8 << 20


def test_problems_are_counted_and_the_first_ones_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append(records(KEPT_PROBLEMS + 50))
    path = segment_files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"{", b"["))
    report = checked(tmp_path)
    assert len(report.problems) == KEPT_PROBLEMS and report.problem_count > KEPT_PROBLEMS + 50
    assert report.first is not None and report.first.seq == 0


def test_a_writer_may_be_at_work(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append(records(3))
        assert checked(tmp_path).ok


def test_without_keys_or_a_directory_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a key"):
        verify(tmp_path, keys=[])
    with pytest.raises(NotADirectoryError):
        checked(tmp_path / "nowhere")
