"""kill -9: nothing that was acknowledged is lost, nothing half-written stays, and the log goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from domicile.evidence import layout
from domicile.evidence.verify import verify
from tests.evidence.making import KEY, opened, record, small_segments

ROOT = Path(__file__).resolve().parents[2]


def start(mode: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.evidence.killed", mode, str(directory)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "operator"), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        text=True,
    )


def check(directory: Path, acknowledged: list[int]) -> int:
    """The records that are there after opening again, every acknowledged one among them. Returns bytes cut off."""
    with opened(directory, limits=small_segments(4)) as log:
        stored = [entry.seq for entry in layout.entries(directory)]
        assert stored == list(range(log.size))
        assert set(acknowledged) <= set(stored)
        log.append([record(99)])
        cut = log.recovery.torn_bytes
    report = verify(directory, keys=[KEY.verifier])
    assert report.ok and not report.notices and report.proven == report.records == len(stored) + 1, report
    return cut


def test_killed_at_every_call_into_the_file_system(tmp_path: Path) -> None:
    with start("every", tmp_path) as writer:
        printed, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0
    kills = int(printed)
    assert kills > 60  # batches, a rotation and checkpoints have that many
    cut, acknowledged_in_all = 0, set()
    for number in range(1, kills + 1):
        directory = tmp_path / f"{number:04}"
        acknowledged = [int(seq) for seq in Path(f"{directory}.acknowledged").read_text().split()]
        cut += check(directory, acknowledged) > 0
        acknowledged_in_all.add(len(acknowledged))
    assert cut >= 2, "no kill came in the middle of a line"
    assert acknowledged_in_all >= {0, 1, 3, 4, 8}, "no kill came before, between and after the batches"


@pytest.mark.parametrize("seconds", [0.02, 0.11, 0.25])
def test_killed_at_some_time_while_many_write(tmp_path: Path, seconds: float) -> None:
    directory = tmp_path / "log"
    with start("forever", directory) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(seconds)
        writer.kill()
        rest = writer.stdout.read()
    acknowledged = [int(seq) for seq in (first + rest).splitlines()]
    assert acknowledged
    check(directory, acknowledged)
