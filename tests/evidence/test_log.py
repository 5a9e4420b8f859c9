"""The log on healthy storage: what is appended, segments, checkpoints, opening again, one writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from domicile.evidence import checkpoint as notes
from domicile.evidence import layout, merkle
from domicile.evidence.errors import LogDamaged, LogError, LogLocked, LogUnavailable
from domicile.evidence.log import Limits
from domicile.evidence.record import GENESIS, RecordType
from domicile.evidence.verify import verify
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


def test_records_are_lines_that_hold_the_hash_of_the_line_before(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as log:
        assert log.append([]) == []
        positions = log.append(records(2))
        clock.advance(seconds=1.5)
        positions += log.append([record(2, kind=RecordType.MOVED)])
        assert log.size == 3
    lines = [line.rstrip(b"\n") for line in stored_lines(tmp_path)]
    bodies = [json.loads(line) for line in lines]
    assert [body["seq"] for body in bodies] == [position.seq for position in positions] == [0, 1, 2]
    assert [body["time"][17:] for body in bodies] == ["00.000000Z", "00.000000Z", "01.500000Z"]
    assert [body["type"] for body in bodies] == ["Placed", "Placed", "Moved"]
    hashes = [merkle.leaf_hash(line).hex() for line in lines]
    assert [body["prev"] for body in bodies] == [GENESIS, *hashes[:2]]
    assert [position.hash for position in positions] == hashes


def watch_fsync(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files and directories that are fsynced from now on, in a list that grows."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def test_one_batch_is_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as log:
        synced = watch_fsync(monkeypatch)
        log.append(records(50))
        assert synced == [f"{0:020}.jsonl"]


def test_a_new_segment_by_size(tmp_path: Path) -> None:
    with opened(tmp_path, limits=small_segments(3)) as log:
        for number in range(8):
            log.append([record(number)])
        log.append(records(5, first=8))  # never split
    assert [path.name for path in segment_files(tmp_path)] == [f"{first:020}.jsonl" for first in (0, 3, 6)]
    assert [len(path.read_bytes().splitlines()) for path in segment_files(tmp_path)] == [3, 3, 7]
    assert [path.stat().st_mode & 0o222 for path in segment_files(tmp_path)] == [0, 0, 0o200]
    assert verify(tmp_path, keys=[KEY.verifier]).ok


def test_a_new_segment_by_age_also_after_opening_again(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as log:
        clock.advance(days=30)  # an empty segment does not age
        log.append([record(0)])
        clock.advance(days=6)
        log.append([record(1)])
        assert len(segment_files(tmp_path)) == 1
    with opened(tmp_path, clock=clock) as log:
        log.append([record(2)])
        assert len(segment_files(tmp_path)) == 1
        clock.advance(days=1)
        log.append([record(3)])
    assert [path.name[:20] for path in segment_files(tmp_path)] == [f"{0:020}", f"{3:020}"]


def test_the_new_segment_s_name_and_the_old_one_s_bytes_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, limits=small_segments(1)) as log:
        log.append([record(0)])
        synced = watch_fsync(monkeypatch)
        log.append([record(1)])
        assert synced == ["segments", f"{1:020}.jsonl"]


def test_checkpoints_are_due_by_number_and_by_age(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock, limits=Limits(checkpoint_records=3)) as log:
        assert log.checkpoint.size == 0 and log.seconds_to_checkpoint() is None
        log.append(records(2))
        clock.advance(seconds=100)
        assert log.seconds_to_checkpoint() == 200.0
        log.append([record(2)])
        assert log.seconds_to_checkpoint() == 0.0
        text = log.write_checkpoint()
        assert log.seconds_to_checkpoint() is None
        assert log.write_checkpoint() == text == log.checkpoint_text()
        log.append([record(3)])
        clock.advance(hours=1)
        assert log.seconds_to_checkpoint() == 0.0


def test_the_age_of_what_is_not_signed_outlives_the_process(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, clock=clock)
    log.append(records(2))
    log.write_checkpoint()
    clock.advance(seconds=60)
    log.append([record(2)])
    crash(log)
    clock.advance(seconds=60)
    with opened(tmp_path, clock=clock) as log:
        assert log.seconds_to_checkpoint() == 240.0


def crash(log: object) -> None:
    """What the end of a process does: descriptors close, nothing else happens."""
    tail, lock = log._tail, log._lock  # type: ignore[attr-defined]
    tail.close()
    os.close(lock)
    log._closed = True  # type: ignore[attr-defined]


def test_a_checkpoint_is_durable_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as log:
        log.append([record(0)])
        synced = watch_fsync(monkeypatch)
        log.write_checkpoint()
        assert synced[:2] == [f".{1:020}.txt.new", "checkpoints"]


def test_a_segment_finished_in_a_crash_becomes_read_only(tmp_path: Path) -> None:
    log = opened(tmp_path, limits=small_segments(1))
    for number in range(3):
        log.append([record(number)])
    crash(log)
    for path in segment_files(tmp_path):
        path.chmod(0o644)
    opened(tmp_path).close()
    assert [path.stat().st_mode & 0o222 for path in segment_files(tmp_path)] == [0, 0, 0o200]


def test_a_checkpoint_is_the_tree_over_the_lines(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append(records(7))
        log.write_checkpoint()
        log.append(records(4, first=7))
    files = layout.checkpoints(tmp_path / layout.CHECKPOINTS)
    assert [item.number for item in files] == [0, 7, 11]
    leaves = [merkle.leaf_hash(line[:-1]) for line in stored_lines(tmp_path)]
    for item in files:
        signed = notes.parse(item.path.read_bytes())
        assert signed.verified_by([KEY.verifier])
        assert signed.checkpoint == notes.Checkpoint(ORIGIN, item.number, merkle.root(leaves[: item.number]))


def test_opening_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    for start in range(0, 12, 3):
        with opened(tmp_path, limits=small_segments(4)) as log:
            assert log.size == start
            assert log.recovery.rechecked == 0 and not log.recovery.rebuilt
            log.append(records(3, first=start))
    report = verify(tmp_path, keys=[KEY.verifier])
    assert (report.ok, report.records, report.proven) == (True, 12, 12)


@pytest.mark.parametrize("signed", range(1, 12))
def test_opening_checks_from_the_last_checkpoint(tmp_path: Path, signed: int) -> None:
    """Wherever the checkpoint falls among segments of three."""
    log = opened(tmp_path, limits=small_segments(3))
    for number in range(11):
        log.append([record(number)])
        if log.size == signed:
            log.write_checkpoint()
    crash(log)
    with opened(tmp_path, limits=small_segments(3)) as log:
        assert (log.recovery.size, log.recovery.rechecked) == (11, 11 - signed)
        log.append([record(11)])
    assert verify(tmp_path, keys=[KEY.verifier]).ok


FRONTIERS = [None, b"", b"{}", b'{"size":4,"roots":["00"]}', b'{"size":5,"roots":["00","11"]}']


@pytest.mark.parametrize("frontier", FRONTIERS)
def test_without_the_cached_frontier_everything_is_read(tmp_path: Path, frontier: bytes | None) -> None:
    with opened(tmp_path) as log:
        log.append(records(5))
    path = tmp_path / layout.FRONTIER
    path.unlink()
    if frontier is not None:
        path.write_bytes(frontier)
    with opened(tmp_path) as log:
        assert (log.recovery.rebuilt, log.recovery.rechecked) == (True, 5)
        log.append([record(5)])
    assert verify(tmp_path, keys=[KEY.verifier]).ok


def test_a_torn_last_line_is_cut_off_and_reported(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(records(3))
    crash(log)
    segment = segment_files(tmp_path)[0]
    whole = segment.read_bytes()
    segment.write_bytes(whole + b'{"number":3,"pre')
    with opened(tmp_path) as log:
        assert (log.recovery.torn_file, log.recovery.torn_bytes, log.size) == (segment.name, 16, 3)
        assert segment.read_bytes() == whole
        log.append([record(3)])
    assert verify(tmp_path, keys=[KEY.verifier]).ok


def changed(line: bytes) -> bytes:
    return line.replace(b'"team"', b'"TEAM"')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda lines: [*lines[:4], changed(lines[4]), *lines[5:]], "line 6, seq 5: prev is not the hash"),
        (lambda lines: [*lines[:4], b"{}\n", *lines[5:]], "line 5, seq 4: seq is missing"),
        (lambda lines: [*lines[:4], *lines[5:]], "line 5, seq 4: the record says seq 5"),
        (lambda lines: lines[:2], "2 records are stored, but a checkpoint was signed over 3"),
        (lambda lines: [*lines[:2], changed(lines[2]), *lines[3:]], "line 4, seq 3: prev is not the hash"),
        (lambda lines: [*lines, b"x" * 1_200_000], "longer than any record"),
    ],
)
def test_damage_is_refused_and_left_as_it_is(tmp_path: Path, damage: object, says: str) -> None:
    log = opened(tmp_path)
    log.append(records(3))
    log.write_checkpoint()
    log.append(records(4, first=3))
    crash(log)
    segment = segment_files(tmp_path)[0]
    segment.write_bytes(b"".join(damage(stored_lines(tmp_path))))  # type: ignore[operator]
    left = segment.read_bytes()
    with pytest.raises(LogDamaged, match=says):
        opened(tmp_path)
    assert segment.read_bytes() == left


def test_missing_segments_and_checkpoints_are_damage(tmp_path: Path) -> None:
    log = opened(tmp_path, limits=small_segments(2))
    for number in range(7):
        log.append([record(number)])
    crash(log)
    second = segment_files(tmp_path)[1]
    second.rename(tmp_path / "away")
    with pytest.raises(LogDamaged, match=r"0004.jsonl should begin with seq 2"):
        opened(tmp_path)
    (tmp_path / "away").rename(second)
    with second.open("ab") as file:
        file.write(b"{")
    with pytest.raises(LogDamaged, match="line 3, seq 4: cut off"):
        opened(tmp_path)
    second.write_bytes(second.read_bytes()[:-1])
    (tmp_path / layout.CHECKPOINTS / f"{0:020}.txt").unlink()
    with pytest.raises(LogDamaged, match="no checkpoint"):
        opened(tmp_path)


def test_a_new_key_needs_the_old_one_to_be_known(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append(records(3))
    with pytest.raises(LogDamaged, match="no known key"):
        opened(tmp_path, signer=OTHER_KEY)
    with opened(tmp_path, signer=OTHER_KEY, older=[KEY]) as log:
        log.append([record(3)])
    report = verify(tmp_path, keys=[KEY.verifier, OTHER_KEY.verifier])
    assert report.ok and set(report.keys) == {KEY.verifier.label, OTHER_KEY.verifier.label}


def test_a_checkpoint_that_disagrees_is_damage(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append(records(3))
    path = layout.checkpoint_path(tmp_path / layout.CHECKPOINTS, size=3)
    path.write_text(notes.sign(notes.Checkpoint(ORIGIN, 3, merkle.leaf_hash(b"")), keys=[KEY]), encoding="utf-8")
    with pytest.raises(LogDamaged, match="not those that checkpoint 3 was signed over"):
        opened(tmp_path)


def test_a_second_writer_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    other = (
        "import sys; from pathlib import Path; from tests.evidence.making import opened\n"
        "from domicile.evidence.errors import LogLocked\n"
        "try: opened(Path(sys.argv[1]))\n"
        "except LogLocked as error: print(error)\n"
    )
    with opened(tmp_path) as log:
        with pytest.raises(LogLocked, match="another writer"):
            opened(tmp_path)
        ran = subprocess.run(
            [sys.executable, "-c", other, str(tmp_path)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert "another writer" in ran.stdout
        log.append([record(0)])
    with opened(tmp_path) as log:
        assert log.size == 1


def test_threads_may_append_at_once(tmp_path: Path) -> None:
    with opened(tmp_path, limits=small_segments(10)) as log:
        seen: list[int] = []

        def work(first: int) -> None:
            for number in range(first, first + 20):
                seen.extend(position.seq for position in log.append(records(2, first=number)))

        threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == list(range(160))
    report = verify(tmp_path, keys=[KEY.verifier])
    assert report.ok and report.records == 160


def test_a_closed_log_is_closed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(records(2))
    log.close()
    log.close()
    assert log.checkpoint.size == 2
    with pytest.raises(LogError, match="closed"):
        log.append([record(2)])


def test_a_log_whose_segment_was_removed_does_not_write_into_nothing(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([record(0)])
    segment_files(tmp_path)[0].unlink()
    with pytest.raises(LogDamaged, match="removed while"):
        log.append([record(1)])
    assert log.size == 1
    crash(log)


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnavailable):
        opened(tmp_path / "file" / "log")


def test_records_can_be_read_from_any_seq(tmp_path: Path) -> None:
    with opened(tmp_path, limits=small_segments(3)) as log:
        for number in range(10):
            log.append([record(number)])
        with segment_files(tmp_path)[-1].open("ab") as file:
            file.write(b'{"torn')
        for first in range(11):
            read = list(layout.entries(tmp_path, first=first))
            assert [entry.seq for entry in read] == list(range(first, 10))
        crash(log)
    segment_files(tmp_path)[1].write_bytes(b"nothing\n")
    with pytest.raises(LogDamaged, match=r"0003\.jsonl line 1"):
        list(layout.entries(tmp_path))
