"""The program as a process: start-up, terminals, pipes, interrupts, and the page that documents it."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from domicile import __version__
from domicile.cli.main import app, main, program_name
from domicile.cli.reference import reference, replaced
from domicile.cli.terminal import coloured
from domicile.tiers.packs import pack_text
from tests.cli.running import AT, FLEET, answer, run

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-c", "from domicile.cli.main import main; main()")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
    return {**kept, "PYTHONPATH": str(ROOT / "operator"), "TERM": "xterm", **more}


def process(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**more), timeout=30)


def on_a_terminal(*arguments: str, **more: str) -> str:
    """What the program writes to a terminal."""
    controller, terminal = pty.openpty()
    with subprocess.Popen([*PROGRAM, *arguments], stdout=terminal, stderr=terminal, env=environment(**more)) as running:
        os.close(terminal)
        text = b""
        try:
            while chunk := os.read(controller, 65536):
                text += chunk
        except OSError:
            pass  # Linux says so when the other side is closed
        os.close(controller)
    assert running.returncode is not None
    return text.decode()


def test_help_comes_at_once_and_without_heavy_imports() -> None:
    code = "import sys; from domicile.cli.main import app; print([m for m in sys.modules if m in HEAVY])"
    heavy = {"kubernetes", "pycountry", "pydantic", "yaml", "aiohttp", "kopf", "rich"}
    code = f"HEAVY = {heavy!r}; {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout.strip() == "[]", done.stderr


def test_every_command_has_help_with_examples() -> None:
    commands = re.findall(r"^  ([a-z-]+)  ", run("--help").stdout.partition("Commands:")[2], re.M)
    assert set(commands) == {
        "plan",
        "explain",
        "test",
        "frameworks",
        "crds",
        "run",
        "version",
        "log",
        "replay",
        "what-if",
    }
    for command in [*(c.split() for c in commands if c != "log"), ["log", "verify"], ["log", "show"]]:
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert "Examples:\n    " in result.stdout, command


def test_version() -> None:
    assert run("version").stdout == run("--version").stdout == f"domicile {__version__}\n"


def test_kubectl_calls_it_by_its_plugin_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program_name("/usr/bin/domicile") == "domicile"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-domicile", "plan", "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("Usage: kubectl domicile plan ")


def test_a_mistyped_command_is_corrected() -> None:
    result = run("explian")
    assert (result.exit_code, "Did you mean 'explain'" in result.stderr) == (2, True)


def test_a_defect_shows_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(name: str) -> str:
        raise RuntimeError("surprise")

    monkeypatch.setattr("domicile.tiers.packs.pack_text", broken)
    monkeypatch.setattr(sys, "argv", ["domicile", "frameworks", "cada"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 3
    assert "RuntimeError: surprise; this is a defect" in capsys.readouterr().err


def test_interrupt_is_130_without_a_traceback() -> None:
    """Also where whoever started the tests is in the background, and shells have such processes ignore interrupts."""
    heeded = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeded}; {PROGRAM[2]}", "plan", "-f", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment()) as running:  # fmt: skip
        time.sleep(1.0)
        running.send_signal(signal.SIGINT)
        try:
            running.wait(30)
        finally:
            running.kill()
        assert running.stderr is not None
        assert running.stderr.read() == b""
    assert running.returncode == 130


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([*PROGRAM, "crds"], stdout=writing, stderr=subprocess.PIPE, env=environment()) as running:
        os.close(writing)
        assert running.stderr is not None
        assert running.stderr.read() == b""
    assert running.returncode == 141


class Stream(io.StringIO):
    """A stream that is a terminal, or is not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("terminal", "more", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    terminal: bool, more: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in ({"TERM": "xterm"} | more).items():
        monkeypatch.setenv(name, value)
    assert coloured(Stream(terminal=terminal)) is expected


def test_a_terminal_gets_colour_and_its_own_width() -> None:
    text = on_a_terminal("plan", "-f", str(FLEET), "--at", AT, COLUMNS="60")
    assert "\x1b[32mPlaced" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= 60


def test_a_terminal_without_unicode_is_no_reason_to_fail() -> None:
    done = process("explain", "assistant", "-f", str(FLEET), "--at", AT, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "tier 3" in done.stdout


def test_frameworks() -> None:
    assert run("frameworks").stdout.startswith("cada  COM-2026-502  tiers 1, 2, 3, 4  ")
    assert run("frameworks", "cada").stdout == pack_text("cada")
    result = run("frameworks", "seal")
    assert (result.exit_code, "there are: cada" in result.stderr) == (2, True)


def test_crds_are_the_generated_files(tmp_path: Path) -> None:
    text = run("crds").stdout
    assert text.count("kind: CustomResourceDefinition\n") == 6
    assert "kind: ValidatingAdmissionPolicy\n" in text
    assert run("crds", "--dir", tmp_path / "out").exit_code == 0
    for file in (ROOT / "crds").glob("*.yaml"):
        assert (tmp_path / "out" / file.name).read_text() == file.read_text()
    (tmp_path / "file").write_text("")
    assert run("crds", "--dir", tmp_path / "file").exit_code == 2


def test_run_takes_options_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from domicile.runtime import app as runtime
    from domicile.runtime.settings import Settings

    seen: list[Settings] = []

    def started(settings: Settings) -> int:
        seen.append(settings)
        return 1

    monkeypatch.setattr(runtime, "run", started)
    assert run("run").exit_code == 1, "the operator's exit code is the program's"
    run(
        "run", "--no-leader-elect", "--log-format", "text", env={"DOMICILE_WORKERS": "3", "DOMICILE_LOG_LEVEL": "debug"}
    )
    assert seen[0] == Settings()
    assert seen[1] == Settings(leader_elect=False, log_json=False, workers=3, log_level="DEBUG")


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert page == replaced(page, reference(app)), "run python -m domicile.cli.reference"


def test_every_key_of_the_outputs_is_documented(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        f'at: "2026-11-01"\nbaseline: [{FLEET}/facts/entities.yaml, {FLEET}/facts/clusters.yaml]\n'
        "subject: {cluster: alpen, nodePool: zrh-1}\ncases: [{name: x}]\n"
    )
    outputs = [
        answer("plan", "-f", FLEET, "--at", AT),
        answer("explain", "triage", "-f", FLEET, "--at", AT),
        answer("explain", "sovc/alpen", "-f", FLEET, "--at", AT),
        {**answer("test", scenario), "levels": None},
    ]
    missing = {key for output in outputs for key in keys(output) if f"`{key}`" not in page}
    assert missing == set()


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {k for k in value if not k.isdigit()}.union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()
