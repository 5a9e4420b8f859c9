"""Storage that refuses: full, limited, failing. Nothing half-written stays, and it works again later."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domicile.evidence import layout
from domicile.evidence.errors import LogUnavailable
from domicile.evidence.log import DecisionLog, Limits
from domicile.evidence.verify import verify
from tests.evidence.making import KEY, opened, record, records, segment_files, small_segments, stored_lines
from tests.evidence.test_log import crash


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB; needs the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "domicile-test", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a tmpfs")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(log: DecisionLog) -> int:
    """Append until the storage refuses, and return the records that were taken."""
    with pytest.raises(LogUnavailable):
        for number in range(10_000):
            log.append([record(number, padding="x" * 1500)])
    return log.size


def test_a_full_disk_refuses_whole_batches_and_takes_them_again_with_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 65_536)
    directory = small_disk / "log"
    with opened(directory) as log:
        taken = fill(log)
        durable = segment_files(directory)[0].stat().st_size
        with pytest.raises(LogUnavailable, match=r"40 records not stored.*No space left"):
            log.append(records(40, padding="x" * 1500))
        assert (log.size, segment_files(directory)[0].stat().st_size) == (taken, durable)
        assert stored_lines(directory)[-1].endswith(b"\n")
        while os.statvfs(small_disk).f_bfree:  # not even a checkpoint fits
            with (small_disk / "rest").open("ab") as file, contextlib.suppress(OSError):
                file.write(b"x" * 4096)
        with pytest.raises(LogUnavailable, match="checkpoint not stored"):
            log.write_checkpoint()
        ballast.unlink()
        assert [position.seq for position in log.append(records(2))] == [taken, taken + 1]
        log.write_checkpoint()
    report = verify(directory, keys=[KEY.verifier])
    assert (report.ok, report.proven, report.notices) == (True, taken + 2, ())


def test_a_full_disk_also_refuses_a_new_log_and_a_new_segment(small_disk: Path) -> None:
    directory = small_disk / "log"
    ballast = small_disk / "ballast"
    with opened(directory, limits=small_segments(1)) as log:
        log.append([record(0)])
        with contextlib.suppress(OSError):
            ballast.write_bytes(b"x" * 131_072)
        with pytest.raises(LogUnavailable):
            log.append([record(1)])
        with pytest.raises(LogUnavailable):
            opened(small_disk / "other")
        assert log.size == 1
        ballast.unlink()
        log.append([record(1)])
        opened(small_disk / "other").close()
    assert verify(directory, keys=[KEY.verifier]).ok


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel cuts writes short at `size` bytes and then refuses them (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_is_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append(records(3))
        segment = segment_files(tmp_path)[0]
        before = segment.read_bytes()
        with largest_file(len(before) + 200):
            with pytest.raises(LogUnavailable, match="File too large"):
                log.append(records(5, first=3))
            assert segment.read_bytes() == before
        assert [position.seq for position in log.append(records(5, first=3))] == [3, 4, 5, 6, 7]
    assert verify(tmp_path, keys=[KEY.verifier]).ok


class Broken:
    """One function of `os` that fails with EIO while `on`. Real disks do not do that on demand."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on, self.calls = False, 0
        self.real: Callable[..., Any] = getattr(os, name)
        monkeypatch.setattr(os, name, self)

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self.on:
            self.calls += 1
            raise OSError(errno.EIO, "Input/output error")
        return self.real(*args, **named)


def test_after_a_failed_fsync_the_bytes_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = Broken("fsync", monkeypatch)
    with opened(tmp_path) as log:
        log.append(records(2))
        fsync.on = True
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="Input/output error"):
                log.append([record(2)])
        assert log.size == 2
        fsync.on = False
        assert log.append([record(2, again=True)])[0].seq == 2
    assert len(stored_lines(tmp_path)) == 3 and b'"again":true' in stored_lines(tmp_path)[2]
    assert verify(tmp_path, keys=[KEY.verifier]).ok


def test_what_cannot_be_taken_back_at_once_is_taken_back_before_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ftruncate, fsync = Broken("ftruncate", monkeypatch), Broken("fsync", monkeypatch)
    with opened(tmp_path) as log:
        log.append(records(2))
        fsync.on = ftruncate.on = True
        with pytest.raises(LogUnavailable):
            log.append([record(2)])
        fsync.on = False
        assert len(stored_lines(tmp_path)) == 3  # still there, not acknowledged
        with pytest.raises(LogUnavailable):
            log.append([record(3)])
        assert ftruncate.calls >= 2
        ftruncate.on = False
        log.append([record(4)])
    assert [b'"model-4"' in line for line in stored_lines(tmp_path)] == [False, False, True]
    assert verify(tmp_path, keys=[KEY.verifier]).ok


def test_bytes_that_vanished_are_damage_not_a_reason_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever truncates the file while the log is open must not get a log that continues from there."""
    write = Broken("write", monkeypatch)
    log = opened(tmp_path)
    log.append(records(2))
    os.truncate(segment_files(tmp_path)[0], 100)
    write.on = True
    with pytest.raises(Exception, match="had been made durable"):
        log.append([record(2)])
    write.on = False
    with pytest.raises(Exception, match="had been made durable"):
        log.append([record(2)])
    crash(log)


def test_a_checkpoint_that_fails_costs_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = Broken("fsync", monkeypatch)
    with opened(tmp_path, limits=Limits(checkpoint_records=2)) as log:
        log.append(records(3))
        fsync.on = True
        with pytest.raises(LogUnavailable, match="checkpoint not stored"):
            log.write_checkpoint()
        assert (log.size, log.checkpoint.size, log.seconds_to_checkpoint()) == (3, 0, 0.0)
        fsync.on = False
        assert [path.name for path in (tmp_path / layout.CHECKPOINTS).iterdir()] == [f"{0:020}.txt"]
        log.write_checkpoint()
        assert (log.checkpoint.size, log.seconds_to_checkpoint()) == (3, None)


def test_a_segment_that_cannot_be_begun_leaves_the_old_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = Broken("fsync", monkeypatch)
    with opened(tmp_path, limits=small_segments(2)) as log:
        for number in range(2):
            log.append([record(number)])
        fsync.on = True
        with pytest.raises(LogUnavailable):
            log.append([record(2)])
        fsync.on = False
        log.append([record(2)])
    assert [len(path.read_bytes().splitlines()) for path in segment_files(tmp_path)] == [2, 1]
    assert verify(tmp_path, keys=[KEY.verifier]).ok
