"""``domicile replay`` on logs as the operator writes them, and on excerpts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domicile.evidence.record import Record, RecordType
from tests.cli.running import run
from tests.evidence.making import opened, segment_files
from tests.replay.records import decision, facts, inventory, lines, objects, placed

KNOWN = objects()
RECORDS = [*facts(KNOWN), placed(decision(inventory(KNOWN)))]
LAST = len(RECORDS) - 1


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    with opened(tmp_path / "log") as log:
        log.append(RECORDS[:2])
        log.append([*RECORDS[2:], Record.of(RecordType.DRY_RUN, {"number": 1})])
    return tmp_path / "log"


def alter(log_dir: Path, old: bytes, new: bytes) -> None:
    (segment,) = segment_files(log_dir)
    data = segment.read_bytes()
    assert old in data
    segment.write_bytes(data.replace(old, new, 1))


def test_the_same_bytes(log_dir: Path) -> None:
    result = run("replay", str(LAST), "--log-dir", log_dir)
    assert result.exit_code == 0, result.stderr
    assert f"record {LAST}" in result.stdout and "InferenceDeployment/ns/name  Placed" in result.stdout
    assert "the same bytes  from 4 objects" in result.stdout
    assert "Whether the log is whole and signed was not looked at." in result.stdout


@pytest.mark.parametrize("columns", [100, 40])
def test_a_changed_byte_of_a_fact_shows(log_dir: Path, columns: int) -> None:
    alter(log_dir, b'"country":"DK","source":"attested"', b'"country":"US","source":"attested"')
    result = run("replay", str(LAST), "--log-dir", log_dir, columns=columns)
    assert result.exit_code == 1
    assert "not what is recorded" in result.stdout and "decision.chosen" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= columns


def test_json_holds_every_difference(log_dir: Path) -> None:
    alter(log_dir, b'"obstacle":""', b'"obstacle":"x"')
    result = run("replay", str(LAST), "--log-dir", log_dir, "-o", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["result"], document["seq"]) == (1, "Different", LAST)
    assert document["differences"] == [{"path": "decision.obstacle", "recorded": "x", "replayed": ""}]


def test_an_excerpt_is_enough(tmp_path: Path) -> None:
    """Numbers may have gaps: whoever cut it out left out what does not concern the decision."""
    excerpt = tmp_path / "excerpt.jsonl"
    excerpt.write_bytes(b"\n".join([*lines(RECORDS[:2], first=10), *lines(RECORDS[2:], first=40)]) + b"\n\n")
    assert run("replay", excerpt).exit_code == 0
    assert run("replay", "-", stdin=excerpt.read_text()).exit_code == 0


def test_what_log_show_prints_is_an_excerpt(log_dir: Path) -> None:
    printed = run("log", "show", log_dir, "-o", "json").stdout.splitlines(keepends=True)
    assert run("replay", "-", stdin="".join(printed[: LAST + 1])).exit_code == 0
    assert run("replay", "-", stdin="".join(printed[1 : LAST + 1])).exit_code == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no record"),
        ("{}\n", "excerpt.jsonl:1: no record of a log: seq is missing"),
        ("\n[1\n", "excerpt.jsonl:2: no record of a log: not JSON"),
    ],
)
def test_files_that_are_no_excerpt(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "excerpt.jsonl").write_text(content)
    result = run("replay", tmp_path / "excerpt.jsonl")
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_records_out_of_order_are_refused(tmp_path: Path) -> None:
    stored = lines(RECORDS)
    (tmp_path / "x.jsonl").write_bytes(b"\n".join([*stored[2:], *stored[:2]]))
    result = run("replay", tmp_path / "x.jsonl")
    assert (result.exit_code, "record 0 follows 4" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("what", "log", "says"),
    [
        ("4", "", "record 4 of which log? name its directory with --log-dir"),
        ("77", "log", "there is no record 77: the last one is 5"),
        ("4", "nowhere", "holds no segments of a decision log"),
        ("nofile", "", "nofile: No such file or directory; name a file of records"),
        ("nofile", "log", "leave out --log-dir"),
    ],
)
def test_bad_input_says_what_to_do(log_dir: Path, what: str, log: str, says: str) -> None:
    where = ("--log-dir", log_dir.parent / log) if log else ()
    result = run("replay", what, *where)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_what_cannot_be_replayed_is_neither_yes_nor_no(log_dir: Path) -> None:
    result = run("replay", "0", "--log-dir", log_dir)
    assert result.exit_code == 2
    assert "cannot be decided again" in result.stdout and "holds no decision" in result.stdout


def test_a_damaged_log_is_named(log_dir: Path) -> None:
    alter(log_dir, b'"seq":0', b'"seq":x')
    result = run("replay", str(LAST), "--log-dir", log_dir)
    assert (result.exit_code, "the log is damaged" in result.stderr) == (2, True)
