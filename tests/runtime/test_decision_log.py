"""The operator's decision log: its key, what storage and hub may do to it, and what the hub is told of it."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from devcluster import Plane
from domicile.evidence import checkpoint as notes
from domicile.evidence.checkpoint import VerifierKey
from domicile.evidence.commit import SinkState
from domicile.evidence.errors import LogUnavailable
from domicile.evidence.log import DecisionLog
from domicile.evidence.sinks import held_in
from domicile.evidence.verify import verify
from domicile.kube.client import KubeClient
from domicile.kube.connect import hub_settings, open_client
from domicile.report import metrics
from domicile.runtime import decision_log
from domicile.runtime.decision_log import LogNotOpened, open_ledger
from domicile.runtime.log_key import signing_key
from domicile.runtime.log_status import log_status
from domicile.runtime.settings import Settings
from tests.evidence.making import KEY, START, opened, record, records, segment_files
from tests.fakeapi import FakeApi

LOGS = "domicile.dev/v1alpha1/decisionlogs"
ROOT = Path(__file__).resolve().parents[2]
SOON = 0.02
Json = dict[str, Any]


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[KubeClient]:
    """The hub. A fixture named hub would be a real one."""
    async with KubeClient(api.url) as client:
        yield client


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(log_dir=str(tmp_path / "log"))


def public_key(tmp_path: Path) -> VerifierKey:
    return VerifierKey.parse((tmp_path / "log.key.pub").read_text())


async def eventually(condition: Callable[[], Any], *, within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(0.01)


def head(api: FakeApi) -> Json:
    """The status of DecisionLog/domicile, empty while there is none."""
    return next((dict(found.get("status") or {}) for found in api.store.objects(LOGS)), {})


async def test_records_are_kept_and_can_be_verified(client: KubeClient, settings: Settings, tmp_path: Path) -> None:
    async with open_ledger(settings, client) as ledger:
        assert ledger.available == ""
        assert [position.seq for position in await ledger.append(records(3))] == [0, 1, 2]
        assert metrics.REGISTRY.get_sample_value("domicile_log_size") == 3
        assert await ledger.append([]) == []
        assert metrics.REGISTRY.get_sample_value("domicile_log_size") == 3
    report = verify(tmp_path / "log", keys=[public_key(tmp_path)])
    assert (report.ok, report.records, report.proven) == (True, 3, 3)


async def test_the_size_is_known_before_anything_is_appended(client: KubeClient, settings: Settings) -> None:
    async with open_ledger(settings, client) as ledger:
        await ledger.append(records(5))
    metrics.LOG_SIZE.set(0)
    async with open_ledger(settings, client):
        assert metrics.REGISTRY.get_sample_value("domicile_log_size") == 5


async def test_without_a_directory_nothing_is_kept_and_that_is_said_once(
    client: KubeClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_ledger(Settings(), client) as ledger:
        assert ledger.available == "no decision log: start the operator with --log-dir"
        assert await ledger.append(records(2)) == []
    assert [entry.message for entry in caplog.records if "--log-dir" in entry.message] == [ledger.available]


# ---- the key ---------------------------------------------------------------------------------------------------------


async def test_the_key_is_made_once_and_only_its_owner_can_read_it(
    client: KubeClient, settings: Settings, tmp_path: Path
) -> None:
    async with open_ledger(settings, client):
        pass
    key, public = tmp_path / "log.key", public_key(tmp_path)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert public.name.startswith("domicile.dev/decisions/")
    before = key.read_bytes()
    async with open_ledger(settings, client):
        assert (key.read_bytes(), public_key(tmp_path)) == (before, public)


async def test_two_logs_have_two_names(client: KubeClient, tmp_path: Path) -> None:
    for name in ("a", "b"):
        async with open_ledger(Settings(log_dir=str(tmp_path / name)), client):
            pass
    names = {VerifierKey.parse((tmp_path / f"{n}.key.pub").read_text()).name for n in "ab"}
    assert len(names) == 2


async def test_a_key_of_ones_own_is_taken(client: KubeClient, tmp_path: Path) -> None:
    """As a Secret is mounted: read-only, so its public part is told by the status and the log alone."""
    (tmp_path / "key").write_text(KEY.skey)
    (tmp_path / "key").chmod(0o400)
    (tmp_path / "key.pub").mkdir()
    settings = Settings(log_dir=str(tmp_path / "log"), log_key=str(tmp_path / "key"))
    async with open_ledger(settings, client) as ledger:
        await ledger.append(records(1))
    assert verify(tmp_path / "log", keys=[KEY.verifier]).ok


async def test_a_lost_key_is_not_replaced(client: KubeClient, settings: Settings, tmp_path: Path) -> None:
    async with open_ledger(settings, client):
        pass
    (tmp_path / "log.key").unlink()
    with pytest.raises(LogNotOpened, match=r"log.key is missing, and the log was signed with it; restore the key"):
        async with open_ledger(settings, client):
            pass
    assert not (tmp_path / "log.key").exists()


def test_openers_that_make_a_key_at_once_agree_on_one(tmp_path: Path) -> None:
    """Else what one of them signed could never be verified."""
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: signing_key(tmp_path / "key", make=True), range(8)))
    assert keys == {signing_key(tmp_path / "key", make=False)}
    assert {path.name for path in tmp_path.iterdir()} == {"key", "key.pub"}


@pytest.mark.parametrize("text", ["", "not a key", KEY.verifier.vkey])
async def test_what_is_no_key_is_refused_without_being_shown(
    client: KubeClient, settings: Settings, tmp_path: Path, text: str
) -> None:
    (tmp_path / "log.key").write_text(text)
    with pytest.raises(LogNotOpened, match=r"^--log-key: .*log\.key: signer key.*remove it to have one made"):
        async with open_ledger(settings, client):
            pass


async def test_a_key_that_others_can_read_is_told(
    client: KubeClient, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log.key").write_text(KEY.skey)
    (tmp_path / "log.key").chmod(0o644)
    async with open_ledger(settings, client):
        pass
    assert "anyone on this machine can read" in caplog.text
    assert KEY.skey not in caplog.text


# ---- what ends the start, and what does not --------------------------------------------------------------------------


async def test_a_damaged_log_ends_the_start_and_names_the_remedy(
    client: KubeClient, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "log.key").write_text(KEY.skey)
    log = opened(tmp_path / "log")
    log.append(records(2))
    log.close()
    (segment,) = segment_files(tmp_path / "log")
    segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(LogNotOpened, match=r"is damaged: .*`domicile log verify .*log --key .*log\.key\.pub`, then"):
        async with open_ledger(settings, client):
            pass


async def test_a_second_writer_ends_the_start(client: KubeClient, settings: Settings) -> None:
    async with open_ledger(settings, client):
        with pytest.raises(LogNotOpened, match="another process writes to it; end that one"):
            async with open_ledger(settings, client):
                pass


async def test_where_nothing_can_ever_be_written_the_start_ends(client: KubeClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogNotOpened, match="must be where the operator may write"):
        async with open_ledger(Settings(log_dir=str(tmp_path / "file" / "log")), client):
            pass


async def test_the_process_ends_with_1_and_no_traceback(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log.key").write_text("not a key")
    config = {
        "clusters": [{"name": "fake", "cluster": {"server": api.url}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "users": [{"name": "fake", "user": {}}],
        "current-context": "fake",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    options = ["--kubeconfig", "kubeconfig", "--no-leader-elect", "--http-port", "0", "--log-format", "text"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "domicile.cli.main", "run", *options, "--log-dir", "log"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "operator"), "HOME": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    said = (out + err).decode()
    assert process.returncode == 1, said
    assert "stopping: --log-key: log.key: signer key" in said and "Traceback" not in said


class Refusing:
    """Opens logs once ``refusals`` attempts were refused, as a full disk does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
        self.left = refusals
        monkeypatch.setattr(decision_log, "DecisionLog", self)

    def __call__(self, *args: Any, **named: Any) -> DecisionLog:
        if self.left:
            self.left -= 1
            raise LogUnavailable("no space left on device")
        return DecisionLog(*args, **named)


async def test_a_full_disk_at_the_start_is_waited_out(
    client: KubeClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Refusing(monkeypatch, 2)
    async with open_ledger(settings, client, retry_seconds=SOON) as ledger:
        assert "no space left on device" in ledger.available
        with pytest.raises(LogUnavailable, match="no space left on device"):
            await ledger.append(records(1))
        await eventually(lambda: not ledger.available)
        assert (await ledger.append(records(2)))[-1].seq == 1
    assert verify(tmp_path / "log", keys=[public_key(tmp_path)]).proven == 2


async def test_a_log_found_damaged_later_stays_closed_and_says_so(
    client: KubeClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Refusing(monkeypatch, 1)
    async with open_ledger(settings, client, retry_seconds=SOON) as ledger:
        (tmp_path / "log" / "segments").mkdir(parents=True)
        (tmp_path / "log" / "segments" / f"{0:020}.jsonl").write_bytes(b"{}\n")
        await eventually(lambda: "is damaged" in ledger.available)


async def test_a_half_opened_log_lets_go_of_its_lock(
    client: KubeClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = DecisionLog.checkpoint_text, 0

    def first_fails(self: DecisionLog) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise LogUnavailable("input/output error")
        return real(self)

    monkeypatch.setattr(DecisionLog, "checkpoint_text", first_fails)
    async with open_ledger(settings, client, retry_seconds=SOON) as ledger:
        assert "input/output error" in ledger.available
        await eventually(lambda: not ledger.available)


async def test_the_lock_is_free_again_whenever_the_start_is_cancelled(
    client: KubeClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader that loses its lease while it opens must not keep its successor out."""
    opening = asyncio.Event()
    loop, real = asyncio.get_running_loop(), decision_log._open

    def told(settings: Settings) -> Any:
        loop.call_soon_threadsafe(opening.set)
        return real(settings)

    monkeypatch.setattr(decision_log, "_open", told)
    stack = AsyncExitStack()
    starting = asyncio.create_task(stack.enter_async_context(open_ledger(settings, client)))
    await opening.wait()
    starting.cancel()
    await asyncio.wait([starting])
    async with asyncio.timeout(5):
        while True:
            try:
                async with open_ledger(settings, client) as ledger:
                    assert ledger.available == ""
                return
            except LogNotOpened:
                await asyncio.sleep(SOON)


async def test_an_append_that_fails_is_counted_and_tried_again_after_a_while(
    client: KubeClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = metrics.REGISTRY.get_sample_value("domicile_log_append_failures_total") or 0
    real, full = DecisionLog.append, True

    def append(self: DecisionLog, batch: Any) -> Any:
        if full:
            raise LogUnavailable("no space left on device")
        return real(self, batch)

    monkeypatch.setattr(DecisionLog, "append", append)
    async with open_ledger(settings, client) as ledger:
        with pytest.raises(LogUnavailable):
            await ledger.append(records(3))
        assert ledger.available == "no space left on device"
        assert metrics.REGISTRY.get_sample_value("domicile_log_append_failures_total") == failures + 3
        monkeypatch.setattr(decision_log, "TRY_AGAIN_SECONDS", 0.0)
        assert ledger.available == ""
        monkeypatch.undo()
        full = False
        await ledger.append([record(1)])
        assert ledger.available == ""


# ---- what the hub is told --------------------------------------------------------------------------------------------


async def test_the_hub_has_the_checkpoint_and_what_the_sinks_have(
    api: FakeApi, client: KubeClient, tmp_path: Path
) -> None:
    settings = Settings(log_dir=str(tmp_path / "log"), log_sinks=(str(tmp_path / "a"), str(tmp_path / "b")))
    async with open_ledger(settings, client, retry_seconds=SOON) as ledger:
        await eventually(lambda: head(api).get("checkpoint"))
        await ledger.append(records(4))
    status = head(api)
    signed = notes.parse(status["checkpoint"])
    assert signed.verified_by([VerifierKey.parse(status["verifierKey"])]).name == status["origin"]
    assert (status["size"], status["root"]) == (4, signed.checkpoint.root.hex())
    assert status["sinks"] == [{"name": str(tmp_path / name), "size": 4, "error": ""} for name in "ab"]
    assert [(c["status"], c["reason"]) for c in status["conditions"]] == [("True", "Published")]
    held = held_in(tmp_path / "a")
    assert verify(tmp_path / "log", keys=[public_key(tmp_path)], elsewhere=held).ok and len(held) == 2


async def test_a_sink_that_fails_shows_and_costs_no_record(api: FakeApi, client: KubeClient, tmp_path: Path) -> None:
    (tmp_path / "sink").write_text("a file where the directory should be")
    settings = Settings(log_dir=str(tmp_path / "log"), log_sinks=(str(tmp_path / "sink"),))
    async with open_ledger(settings, client, retry_seconds=SOON) as ledger:
        await ledger.append(records(2))
        await eventually(lambda: [c["reason"] for c in head(api).get("conditions", ())] == ["SinkFailing"])
        assert "FileExistsError" in head(api)["sinks"][0]["error"]
        (tmp_path / "sink").unlink()
        await eventually(lambda: [c["reason"] for c in head(api)["conditions"]] == ["Published"])


async def test_a_restart_writes_nothing_where_nothing_changed(
    api: FakeApi, client: KubeClient, settings: Settings
) -> None:
    async with open_ledger(settings, client):
        await eventually(lambda: head(api))
    before, writes = head(api), api.count()
    async with open_ledger(settings, client, retry_seconds=SOON):
        await eventually(lambda: api.count("get", resource=LOGS) >= 2)
        await asyncio.sleep(5 * SOON)
    assert (head(api), api.count()) == (before, writes)


async def test_a_hub_without_the_kind_is_told_once_and_asked_again(
    api: FakeApi, client: KubeClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    api.fail("patch", LOGS, 404, times=5)
    async with open_ledger(settings, client, retry_seconds=SOON) as ledger:
        await ledger.append(records(2))
        await eventually(lambda: head(api).get("checkpoint"))
    warned = [entry for entry in caplog.records if "apply the CRDs" in entry.message and entry.levelno > logging.DEBUG]
    assert len(warned) == 1


def test_without_another_sink_the_status_says_what_it_is_worth() -> None:
    text = notes.sign(notes.Checkpoint(KEY.name, 3, bytes(32)), keys=[KEY])
    status = log_status(text, [], key=KEY.verifier.vkey, before={}, at=START)
    assert (status["publishedAt"], status["conditions"][0]["reason"]) == ("2026-11-03T10:00:00Z", "OnlyHere")
    behind = log_status(text, [SinkState("a")], key=KEY.verifier.vkey, before=status, at=START.replace(hour=11))
    assert (behind["publishedAt"], behind["conditions"][0]["status"]) == ("2026-11-03T10:00:00Z", "Unknown")


async def test_a_real_hub_takes_the_status(crds_installed: Plane, tmp_path: Path) -> None:
    connection, token = hub_settings(kubeconfig=str(crds_installed.kubeconfig))
    settings = Settings(log_dir=str(tmp_path / "log"), log_sinks=(str(tmp_path / "sink"),))
    async with open_client(connection, token=token, parallel_writes=4) as hub:
        async with open_ledger(settings, hub) as ledger:
            await ledger.append(records(2))
        path = "/apis/domicile.dev/v1alpha1/decisionlogs/domicile"
        status = (await hub.get(path))["status"]
        assert (status["size"], status["sinks"][0]["size"]) == (2, 2)
        assert VerifierKey.parse(status["verifierKey"]) == public_key(tmp_path)
        await hub.delete(path)
