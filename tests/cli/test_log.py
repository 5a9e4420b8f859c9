"""``domicile log``: a log is verified by whoever has its public key, and read by people and programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domicile.evidence.log import DecisionLog, Limits
from domicile.evidence.record import RecordType
from domicile.evidence.sinks import store
from tests.cli.running import run
from tests.evidence.making import KEY, OTHER_KEY, Clock, opened, record, segment_files, stored_lines
from tests.evidence.test_log import crash

Json = dict[str, Any]
EVERY_FOUR = Limits(checkpoint_records=4)


def about(number: int, namespace: str) -> Json:
    return {"subject": {"kind": "InferenceDeployment", "namespace": namespace, "name": f"model-{number}"}}


def write(log: DecisionLog, clock: Clock, numbers: range) -> None:
    """A record each hour; every third one is refused, the odd ones are of another namespace."""
    for number in numbers:
        kind, outcome = (
            (RecordType.REFUSED, "InsufficientCapacity") if number % 3 == 2 else (RecordType.PLACED, "Placed")
        )
        log.append([record(number, kind=kind, outcome=outcome, **about(number, "risk" if number % 2 else "health"))])
        if log.seconds_to_checkpoint() == 0.0:
            log.write_checkpoint()
        clock.advance(hours=1)


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    """Ten records from 2026-11-03 10:00 on, checkpoints over 4, 8 and 10; the public key and a witness beside it."""
    clock, directory = Clock(), tmp_path / "log"
    with opened(directory, clock=clock, limits=EVERY_FOUR) as log:
        write(log, clock, range(10))
    (tmp_path / "log.key.pub").write_text(KEY.verifier.vkey + "\n")
    for path in (directory / "checkpoints").iterdir():
        store(tmp_path / "witness", text=path.read_text())
    return directory


def show(*arguments: str | Path) -> list[str]:
    result = run("log", "show", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def numbers(*arguments: str | Path) -> list[int]:
    return [json.loads(line)["seq"] for line in show(*arguments, "-o", "json")]


# ---- verify ----------------------------------------------------------------------------------------------------------


def test_a_whole_log(log_dir: Path, tmp_path: Path) -> None:
    result = run("log", "verify", log_dir, "--sink", tmp_path / "witness")
    assert result.exit_code == 0, result.stdout
    assert "records      10 in 1 segments" in result.stdout
    assert "covered      10 records; 0 after them" in result.stdout
    assert result.stdout.splitlines()[-1] == "whole"
    assert "no --sink" not in result.stdout


def test_without_a_witness_it_says_what_would_not_show(log_dir: Path) -> None:
    result = run("log", "verify", log_dir)
    assert (result.exit_code, "that an older copy was put in its place would not show" in result.stdout) == (0, True)


def altered(log_dir: Path) -> None:
    (segment,) = segment_files(log_dir)
    segment.write_bytes(segment.read_bytes().replace(b'"name":"model-5"', b'"name":"model-6"', 1))


def swapped(log_dir: Path) -> None:
    (segment,) = segment_files(log_dir)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:6], lines[7], lines[6], *lines[8:]]))


def dropped(log_dir: Path) -> None:
    (segment,) = segment_files(log_dir)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:3], *lines[4:]]))


def cut(log_dir: Path) -> None:
    (segment,) = segment_files(log_dir)
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:9]))


def unsigned(log_dir: Path) -> None:
    for path in (log_dir / "checkpoints").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (altered, "first bad record: 00000000000000000000.jsonl line 6, seq 5: altered"),
        (swapped, "first bad record: 00000000000000000000.jsonl line 7, seq 6: the record has seq 7"),
        (dropped, "first bad record: 00000000000000000000.jsonl line 4, seq 3: the record has seq 4: 1 are missing"),
        (cut, "no record is to blame alone: 00000000000000000010.txt: signed over 10 records, but 9 are stored"),
        (unsigned, "no record is to blame alone: checkpoints: no checkpoint"),
    ],
)
def test_damage_is_named(log_dir: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(log_dir)
    result = run("log", "verify", log_dir)
    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1]
    assert last.startswith("DAMAGED: ") and says in last


def test_an_older_copy_shows_by_its_witness_alone(log_dir: Path, tmp_path: Path) -> None:
    (segment,) = segment_files(log_dir)
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:8]))
    (log_dir / "checkpoints" / f"{10:020}.txt").unlink()
    assert run("log", "verify", log_dir).exit_code == 0
    result = run("log", "verify", log_dir, "--sink", tmp_path / "witness")
    assert (result.exit_code, "rolled back to an older copy" in result.stdout) == (1, True)


def test_another_key_vouches_for_nothing(log_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "other.pub").write_text(OTHER_KEY.verifier.vkey)
    result = run("log", "verify", log_dir, "--key", tmp_path / "other.pub")
    assert (result.exit_code, "which is no known key of that log" in result.stdout) == (1, True)
    both = run("log", "verify", log_dir, "--key", tmp_path / "other.pub", "--key", tmp_path / "log.key.pub")
    assert both.exit_code == 0


def test_json_has_the_same_answer(log_dir: Path) -> None:
    whole = json.loads(run("log", "verify", log_dir, "-o", "json").stdout)
    assert (whole["ok"], whole["records"], whole["proven"], whole["first"]) == (True, 10, 10, None)
    altered(log_dir)
    result = run("log", "verify", log_dir, "-o", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"], document["first"]["seq"]) == (1, False, 5)


def test_while_it_is_written_it_is_whole(tmp_path: Path) -> None:
    """A line that is half there when the reader comes is no damage, nor are records without a checkpoint yet."""
    clock, directory = Clock(), tmp_path / "log"
    (tmp_path / "log.key.pub").write_text(KEY.verifier.vkey)
    log = opened(directory, clock=clock)
    write(log, clock, range(3))
    with segment_files(directory)[0].open("ab") as segment:
        segment.write(b'{"outcome":"Pla')
    result = run("log", "verify", directory)
    assert (result.exit_code, "covered      2 records; 1 after them" in result.stdout) == (0, True), result.stdout
    assert numbers(directory) == [0, 1, 2]
    crash(log)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: is no decision log; name the directory above segments/"),
        (["log", "--key", "none.pub"], "--key: none.pub: No such file or directory; name the public key"),
        (["log", "--key", "log/lock"], "name a public key (.pub)"),
        (["log", "--sink", "none"], "--sink: none: no such directory"),
        (["log", "--sink", "empty"], "--sink: empty: holds no checkpoints"),
    ],
)
def test_bad_input_to_verify(log_dir: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str) -> None:
    monkeypatch.chdir(log_dir.parent)
    Path("empty").mkdir()
    result = run("log", "verify", *arguments)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_a_secret_key_given_by_mistake_is_not_printed(log_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "log.key").write_text(KEY.skey)
    result = run("log", "verify", log_dir, "--key", tmp_path / "log.key")
    assert result.exit_code == 2
    assert KEY.skey.rpartition("+")[2] not in result.stderr


def test_the_default_key_stands_beside_the_log_however_it_is_named(
    log_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log_dir)
    assert run("log", "verify", ".").exit_code == 0
    assert run("log", "verify", f"{log_dir}/").exit_code == 0


# ---- show ------------------------------------------------------------------------------------------------------------


def test_a_table_for_people(log_dir: Path) -> None:
    lines = show(log_dir, "--limit", "3")
    assert lines[0].split() == ["SEQ", "TIME", "TYPE", "SUBJECT", "OUTCOME"]
    assert lines[1].split() == ["0", "2026-11-03T10:00:00Z", "Placed", "InferenceDeployment/health/model-0", "Placed"]
    assert [line.split()[2] for line in lines[1:]] == ["Placed", "Placed", "Refused"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([], list(range(10))),
        (["--type", "Refused"], [2, 5, 8]),
        (["--type", "Refused", "--type", "Placed", "--tail", "2"], [8, 9]),
        (["-n", "risk"], [1, 3, 5, 7, 9]),
        (["-n", "risk", "--outcome", "InsufficientCapacity"], [5]),
        (["--name", "model-7"], [7]),
        (["--since", "2026-11-03T17:00:00Z"], [7, 8, 9]),
        (["--until", "2026-11-03T12:00:00Z"], [0, 1]),
        (["--since", "2026-11-04"], []),
        (["--limit", "2"], [0, 1]),
        (["--tail", "2"], [8, 9]),
        (["--tail", "99"], list(range(10))),
    ],
)
def test_filters(log_dir: Path, filters: list[str], found: list[int]) -> None:
    assert numbers(log_dir, *filters) == found
    assert len(show(log_dir, *filters)) == len(found) + 1


def test_json_has_the_bytes_of_the_log(log_dir: Path) -> None:
    assert [line.encode() for line in show(log_dir, "-o", "json")] == [
        line.removesuffix(b"\n") for line in stored_lines(log_dir)
    ]


def test_one_record_in_full(log_dir: Path) -> None:
    result = run("log", "show", log_dir, "5")
    assert result.exit_code == 0
    assert result.stdout.startswith('{\n  "number": 5,') or '\n  "seq": 5,' in result.stdout
    assert json.loads(result.stdout)["subject"]["name"] == "model-5"


def test_what_a_terminal_would_obey_is_spelled_out(tmp_path: Path) -> None:
    odd = "a\x1b[2Jb\x9b31mc\u202ed\ne"
    with opened(tmp_path / "log") as log:
        log.append([record(0, outcome=odd)])
    for arguments in ([], ["0"]):
        text = run("log", "show", tmp_path / "log", *arguments).stdout
        assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert json.loads(run("log", "show", tmp_path / "log", "0").stdout)["outcome"] == odd


def test_a_type_that_nobody_knows_is_doubted(log_dir: Path) -> None:
    result = run("log", "show", log_dir, "--type", "placed")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert "warning: --type: placed is none of Evaluated, Placed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: is no decision log"),
        (["log", "10"], "log: has no record 10; domicile log show log --tail 1 shows the last"),
        (["log", "--since", "yesterday"], "--since: 'yesterday' is no instant; write 2026-11-01"),
        (["log", "--until", "2026-13-01"], "--until: '2026-13-01' is no instant"),
        (["log", "--limit", "1", "--tail", "1"], "--limit and --tail: the first or the last of them? give one"),
        (["log", "x"], "SEQ"),
    ],
)
def test_bad_input_to_show(log_dir: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str) -> None:
    monkeypatch.chdir(log_dir.parent)
    result = run("log", "show", *arguments)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_a_line_that_is_no_record_ends_the_list(log_dir: Path) -> None:
    (segment,) = segment_files(log_dir)
    segment.write_bytes(segment.read_bytes().replace(b'"seq":5', b'"seq":x'))
    result = run("log", "show", log_dir, "-o", "json")
    assert (result.exit_code, len(result.stdout.splitlines())) == (2, 5)
    assert "line 6: not JSON" in result.stderr and "see domicile log verify" in result.stderr


def test_a_copy_is_as_good(log_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(log_dir, tmp_path / "copy")
    assert run("log", "verify", tmp_path / "copy", "--key", tmp_path / "log.key.pub").exit_code == 0
    assert numbers(tmp_path / "copy") == list(range(10))
