"""``domicile test``: run scenario files, the tests of rule packs and inventories."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from domicile.model.verdicts import RuleVerdict
    from domicile.report.answers import CaseAnswer, Note, RuleAnswer, ScenarioAnswer
    from domicile.scenarios.run import CaseResult

EPILOG = """\b
Examples:
  domicile test scenarios/
  domicile test cada.yaml --verbose
  domicile test scenarios/ -o junit > results.xml

\b
In a folder, files that hold no cases (baselines) are passed over.
Exit codes: 0 all passed, 1 some failed, 2 bad input."""


class TestOutput(StrEnum):
    """Forms of the answer."""

    __test__ = False

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


def test(
    files: Annotated[list[str], typer.Argument(metavar="FILE|DIR...", help="Scenario files, or folders of them.")],
    *,
    output: Annotated[TestOutput, typer.Option("--output", "-o", help="Form of the answer.")] = TestOutput.TABLE,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List passing cases too.")] = False,
) -> None:
    """Run scenario files, the tests of rule packs.

    A case patches a baseline and says which verdicts must come out. Failed cases are shown with what was expected
    and with the rules and facts that were found instead.
    """
    from domicile.cli.terminal import complain_about, say

    answer = run(files)
    complain_about(answer.problems)
    say(rendered(answer, output=output, verbose=verbose))
    raise typer.Exit(answer.exit_code)


def run(names: Iterable[str]) -> ScenarioAnswer:
    """All cases of all files, in order; a file that cannot be run is a problem and does not stop the others."""
    import yaml

    from domicile.report.answers import Note, ScenarioAnswer
    from domicile.scenarios.run import ScenarioError, run_file

    cases: list[CaseAnswer] = []
    problems: list[Note] = []
    for file in _files(names, problems):
        try:
            cases += [_case(str(file), result) for result in run_file(file)]
        except ScenarioError as error:
            problems += [Note(p.place, p.subject, p.message) for p in error.problems]
        except yaml.YAMLError:
            problems.append(Note(str(file), "", "is not text; name a YAML file"))
    return ScenarioAnswer(tuple(cases), tuple(problems))


def _files(names: Iterable[str], problems: list[Note]) -> list[Path]:
    from domicile.report.answers import Note

    files: list[Path] = []
    for name in names:
        path = Path(name)
        if not path.is_dir():
            files.append(path)
            continue
        found = [p for p in sorted(path.rglob("*")) if p.suffix in (".yaml", ".yml") and p.is_file() and _has_cases(p)]
        if not found:
            problems.append(Note(name, "", "holds no scenario file (a YAML file with cases:); name another folder"))
        files += found
    return files


def _has_cases(file: Path) -> bool:
    """Whether a file of a folder is a scenario file; a broken one is, so that it is reported."""
    import yaml

    from domicile.documents.yaml import YamlError, read_documents

    try:
        documents = read_documents(file.read_text(encoding="utf-8"))
    except (YamlError, yaml.YAMLError, OSError, UnicodeDecodeError):
        return True
    return any(isinstance(d.value, dict) and "cases" in d.value for d in documents)


def _case(file: str, result: CaseResult) -> CaseAnswer:
    from domicile.report.answers import CaseAnswer

    return CaseAnswer(
        file=file,
        name=result.name,
        place=result.place,
        passed=result.passed,
        bad_input=result.bad_input,
        mismatches=result.mismatches,
        levels={str(level): verdict.value for level, verdict in result.levels.items()},
        failed=tuple(_rule(rule) for rule in result.failed),
    )


def _rule(verdict: RuleVerdict) -> RuleAnswer:
    """A failed rule; how old evidence is only the case knows, so it is left out."""
    from domicile.report.answers import Fact, RuleAnswer

    findings = tuple(
        Fact(f.verdict.value, f.subject, f.fact, f.found, f.wanted, f.evidence, None) for f in verdict.reasons
    )
    kind = verdict.recognition
    return RuleAnswer(verdict.rule, verdict.clause, "", verdict.level, verdict.verdict.value, kind, findings)


def rendered(answer: ScenarioAnswer, *, output: TestOutput, verbose: bool) -> str:
    """The answer in the form asked for."""
    import json

    from domicile.report.answers import plain

    if output is TestOutput.JUNIT:
        from domicile.report.junit import scenario_junit

        return scenario_junit(answer)
    if output is TestOutput.JSON:
        return json.dumps(plain(answer), indent=2, ensure_ascii=False) + "\n"
    from domicile.cli.terminal import page
    from domicile.report.tables import scenario_table

    return scenario_table(answer, page=page(), passing=verbose)
