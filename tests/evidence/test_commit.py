"""Group commit: callers share fsyncs, the event loop stays free, checkpoints reach the sinks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from domicile.evidence import checkpoint as notes
from domicile.evidence import layout
from domicile.evidence.commit import GroupCommit
from domicile.evidence.errors import LogUnavailable
from domicile.evidence.log import Limits, Position
from domicile.evidence.sinks import DirectorySink, Sink, SplitView, held_in, store
from domicile.evidence.verify import verify
from tests.evidence.making import KEY, ORIGIN, Clock, opened, record, records, stored_lines
from tests.evidence.test_storage import Broken


class SlowFsync:
    """Counts fsyncs of segments, each of which takes `seconds`, as on a disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, seconds: float = 0.02) -> None:
        self.count, self.seconds, self.real = 0, seconds, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".jsonl"):
            self.count += 1
            time.sleep(self.seconds)
        self.real(descriptor)


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not come true within 5 s")


async def test_many_callers_share_few_fsyncs_and_the_loop_stays_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as log:
        fsync = SlowFsync(monkeypatch, seconds=0.1)
        async with GroupCommit(log) as commit:
            appends = [asyncio.create_task(commit.append(records(2, first=2 * number))) for number in range(60)]
            turns = 0
            while not all(append.done() for append in appends):
                await asyncio.sleep(0.002)
                turns += 1
            assert fsync.count <= 3
            assert turns > 5, "the event loop did not turn while fsync ran"
            positions = [append.result() for append in appends]
    assert [[position.seq for position in pair] for pair in positions] == [[2 * n, 2 * n + 1] for n in range(60)]
    for number, line in enumerate(stored_lines(tmp_path)):
        assert f'"model-{number}"'.encode() in line
    assert verify(tmp_path, keys=[KEY.verifier]).proven == 120


async def test_nothing_returns_before_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as log:
        fsync = SlowFsync(monkeypatch)
        async with GroupCommit(log) as commit:
            for number in range(3):
                await commit.append([record(number)])
                assert fsync.count == number + 1


@pytest.mark.parametrize(("bound", "value"), [("MAX_BATCH", 10), ("MAX_BATCH_BYTES", 10 * record(0).size)])
async def test_batches_are_bounded_and_requests_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(f"domicile.evidence.commit.{bound}", value)
    with opened(tmp_path) as log:
        fsync = SlowFsync(monkeypatch, seconds=0)
        async with GroupCommit(log) as commit:
            await asyncio.gather(*(commit.append(records(4, first=number)) for number in range(5)))
            assert fsync.count >= 3  # two fit into a batch, not three
            before = fsync.count
            await commit.append(records(25))  # larger than a batch: alone, and still at once
            assert fsync.count == before + 1


async def test_when_storage_refuses_every_caller_hears_it_and_later_appends_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = Broken("fsync", monkeypatch)
    with opened(tmp_path) as log:
        async with GroupCommit(log) as commit:
            fsync.on = True
            results = await asyncio.gather(*(commit.append([record(n)]) for n in range(3)), return_exceptions=True)
            assert all(isinstance(result, LogUnavailable) for result in results)
            assert len({id(result) for result in results}) == 3
            fsync.on = False
            assert (await commit.append([record(0)]))[0].seq == 0
    assert verify(tmp_path, keys=[KEY.verifier]).records == 1


async def test_an_error_nobody_thought_of_reaches_the_callers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as log:
        async with GroupCommit(log) as commit:
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", lambda *_: 1 / 0)
                with pytest.raises(LogUnavailable, match="ZeroDivisionError"):
                    await commit.append([record(0)])
            await commit.append([record(0)])


async def test_a_cancelled_caller_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as log:
        SlowFsync(monkeypatch, seconds=0.05)
        async with GroupCommit(log) as commit:
            first = asyncio.create_task(commit.append([record(0)]))
            await asyncio.sleep(0.02)  # the first is being written, the others wait
            second, third = (asyncio.create_task(commit.append([record(n)])) for n in (1, 2))
            await asyncio.sleep(0)
            first.cancel()
            second.cancel()
            assert [position.seq for position in await third] == [1]
    assert len(stored_lines(tmp_path)) == 2


async def test_checkpoints_by_number_go_to_every_sink(tmp_path: Path) -> None:
    sinks = [DirectorySink(tmp_path / "a"), DirectorySink(tmp_path / "b", name="off-site")]
    with opened(tmp_path / "log", limits=Limits(checkpoint_records=10)) as log:
        async with GroupCommit(log, sinks=sinks) as commit:
            assert commit.sinks[1].name == "off-site"
            await eventually(lambda: all(sink.published for sink in commit.sinks))  # the one of size 0, at the start
            await commit.append(records(12))
            await eventually(lambda: len(held_in(tmp_path / "a")) == len(held_in(tmp_path / "b")) == 2)
            await commit.append(records(3, first=12))
        assert log.checkpoint.size == 15
    for place in ("a", "b"):
        sizes = [item.number for item in layout.checkpoints(tmp_path / place)]
        assert sizes == [0, 12, 15]
    held = held_in(tmp_path / "a") | held_in(tmp_path / "b")
    report = verify(tmp_path / "log", keys=[KEY.verifier], elsewhere=held)
    assert report.ok and report.checkpoints == 9


async def test_checkpoints_by_age_need_no_further_append(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as log:
        async with GroupCommit(log) as commit:
            await commit.append([record(0)])
            await asyncio.sleep(0.05)
            assert log.checkpoint.size == 0
            clock.advance(minutes=4, seconds=59.9)
            await commit.append([record(1)])  # the loop looks at the clock again
            await asyncio.sleep(0.02)
            assert log.checkpoint.size == 0
            clock.advance(seconds=0.1)
            await eventually(lambda: log.checkpoint.size == 2)


async def test_a_checkpoint_that_fails_is_tried_again_without_spinning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = Broken("fsync", monkeypatch)
    with opened(tmp_path, limits=Limits(checkpoint_records=1)) as log:
        async with GroupCommit(log, retry_seconds=0.05) as commit:
            log.append([record(0)])  # behind its back, so that only the checkpoint meets the fault
            fsync.on = True
            commit._wake.set()
            await asyncio.sleep(0.18)
            assert 2 <= fsync.calls <= 6
            fsync.on = False
            await eventually(lambda: log.checkpoint.size == 1)


async def test_a_checkpoint_that_fails_in_a_way_nobody_thought_of_stops_no_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, limits=Limits(checkpoint_records=1)) as log:
        async with GroupCommit(log) as commit:
            with monkeypatch.context() as patch:
                patch.setattr(notes, "sign", lambda *_, **__: 1 / 0)
                for number in range(3):
                    assert (await commit.append([record(number)]))[0].seq == number


class Stubborn:
    """A sink that refuses, or never answers."""

    name = "stubborn"

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs, self.refuses, self.taken = hangs, True, [""]

    async def publish(self, text: str) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            raise ConnectionError("no route")
        self.taken.append(text)


async def test_a_sink_that_refuses_gets_the_newest_checkpoint_once_it_does_not(tmp_path: Path) -> None:
    sink = Stubborn()
    with opened(tmp_path, limits=Limits(checkpoint_records=1)) as log:
        async with GroupCommit(log, sinks=[sink], retry_seconds=0.03) as commit:
            for number in range(3):
                await commit.append([record(number)])
            await eventually(lambda: commit.sinks[0].error == "ConnectionError: no route")
            assert commit.sinks[0].published is None
            sink.refuses = False
            await eventually(lambda: log.checkpoint.size == 3 and sink.taken[-1] == log.checkpoint_text())
            assert commit.sinks[0].error is None and len(sink.taken) == 2


async def test_a_sink_that_hangs_delays_neither_appends_nor_other_sinks_nor_the_end(tmp_path: Path) -> None:
    sinks: list[Sink] = [Stubborn(hangs=True), DirectorySink(tmp_path / "other")]
    with opened(tmp_path / "log", limits=Limits(checkpoint_records=1)) as log:
        started = time.monotonic()
        async with GroupCommit(log, sinks=sinks, retry_seconds=0.1) as commit:
            for number in range(3):
                await commit.append([record(number)])
        assert time.monotonic() - started < 3
    assert layout.checkpoints(tmp_path / "other")[-1].number == 3


async def test_what_waits_at_the_end_is_still_written_and_then_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        async with GroupCommit(log) as commit:
            waiting = [asyncio.create_task(commit.append([record(n)])) for n in range(3)]
            await asyncio.sleep(0)
        results: list[list[Position]] = await asyncio.gather(*waiting)
        assert [positions[0].seq for positions in results] == [0, 1, 2]
        assert log.checkpoint.size == 3
        with pytest.raises(LogUnavailable, match="does not run"):
            await commit.append([record(3)])


async def test_whoever_cancels_all_newer_tasks_does_not_end_it(tmp_path: Path) -> None:
    """As kopf does with every task made since it started, when it stops: the log ends after it."""
    sink = DirectorySink(tmp_path / "sink")
    with opened(tmp_path / "log") as log:
        async with GroupCommit(log, sinks=[sink]) as commit:
            older = asyncio.all_tasks()
            await commit.append([record(0)])
            await asyncio.sleep(0.05)  # both wait for something to do again
            for task in asyncio.all_tasks() - older:
                task.cancel()
            await asyncio.sleep(0.05)
            await commit.append([record(1)])
    assert f"{2:020}.txt" in {path.name for path in sink.directory.iterdir()}


def test_a_directory_keeps_what_it_has(tmp_path: Path) -> None:
    text = notes.sign(notes.Checkpoint(ORIGIN, 1, b"a" * 32), keys=[KEY])
    path = store(tmp_path, text=text)
    assert store(tmp_path, text=text) == path
    with pytest.raises(SplitView, match=f"root {(b'a' * 32).hex()} of {ORIGIN}, not root {(b'b' * 32).hex()}"):
        store(tmp_path, text=notes.sign(notes.Checkpoint(ORIGIN, 1, b"b" * 32), keys=[KEY]))
    assert path.read_text(encoding="utf-8") == text
    path.write_text("nonsense", encoding="utf-8")
    with pytest.raises(SplitView, match="no valid checkpoint"):
        store(tmp_path, text=text)
