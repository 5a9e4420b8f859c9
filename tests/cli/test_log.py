"""domicile log: a log that is whole, one that was changed, and what is shown of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domicile.evidence.log import DecisionLog
from domicile.evidence.record import Record, RecordType
from domicile.runtime.decision_log import LogNotOpened, signing_key
from tests.cli.running import run

AT = datetime(2026, 11, 1, 10, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of three records, as the operator writes it, with its key beside it."""
    directory = tmp_path / "log"
    with DecisionLog(directory, signer=signing_key(tmp_path / "log.key"), clock=lambda: AT) as decisions:
        for number, kind in enumerate((RecordType.PLACED, RecordType.MOVED, RecordType.REFUSED)):
            subject = {"kind": "InferenceDeployment", "namespace": "health", "name": f"w{number}"}
            decisions.append([Record.of(kind, {"subject": subject, "outcome": str(kind)})])
    return directory


def test_a_whole_log(log: Path) -> None:
    result = run("log", "verify", log)
    assert result.exit_code == 0 and "3 records" in result.stdout and result.stdout.endswith("whole\n")
    assert json.loads(run("log", "verify", log, "-o", "json").stdout)["problem_count"] == 0


def test_the_first_bad_record_is_named(log: Path) -> None:
    (segment,) = (log / "segments").iterdir()
    segment.chmod(0o644)
    segment.write_text(segment.read_text().replace('"w1"', '"w9"'))
    result = run("log", "verify", log)
    assert result.exit_code == 1 and "seq 1" in result.stdout and "NOT whole" in result.stdout


def test_a_log_that_was_cut_shows_by_what_was_kept_elsewhere(log: Path, tmp_path: Path) -> None:
    kept = tmp_path / "witness"
    kept.mkdir()
    for checkpoint in (log / "checkpoints").iterdir():
        (kept / checkpoint.name).write_text(checkpoint.read_text())
    (segment,) = (log / "segments").iterdir()
    segment.chmod(0o644)
    segment.write_text("".join(segment.read_text().splitlines(keepends=True)[:1]))
    newest = max((log / "checkpoints").iterdir())
    newest.unlink()
    assert run("log", "verify", log).exit_code == 0, "nothing inside tells"
    assert run("log", "verify", log, "--sink", kept).exit_code == 1


def test_bad_input(log: Path, tmp_path: Path) -> None:
    for arguments, text in (
        (("verify", tmp_path / "none", "--key", tmp_path / "log.key.pub"), "no directory"),
        (("verify", log, "--key", tmp_path / "none.pub"), "name the public key"),
        (("verify", log, "--key", tmp_path / "log.key"), "--key"),
        (("verify", log, "--sink", tmp_path / "none"), "--sink"),
        (("show", tmp_path / "none"), "no such directory"),
        (("show", log, "7"), "has no record 7"),
    ):
        result = run("log", *arguments)
        assert result.exit_code == 2 and text in result.stderr, (arguments, result.stderr)
        assert (tmp_path / "log.key").read_text().rpartition("+")[2].strip() not in result.stderr, "the seed is secret"


def test_what_is_shown(log: Path) -> None:
    table = run("log", "show", log).stdout.splitlines()
    assert table[0].split() == ["SEQ", "TIME", "TYPE", "SUBJECT", "OUTCOME"] and len(table) == 4
    assert [row.split()[0] for row in run("log", "show", log, "--type", "Moved").stdout.splitlines()[1:]] == ["1"]
    assert len(run("log", "show", log, "--tail", "2").stdout.splitlines()) == 3
    assert run("log", "show", log, "--until", "2026-10-01").stdout.splitlines()[1:] == []
    assert json.loads(run("log", "show", log, "2").stdout)["subject"]["name"] == "w2"
    lines = run("log", "show", log, "-o", "json", "--name", "w0").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [0]


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.key"
    assert signing_key(path) == signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("no key")
    with pytest.raises(LogNotOpened, match="--log-key"):
        signing_key(path)
