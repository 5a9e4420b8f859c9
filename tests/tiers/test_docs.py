"""The documentation of scenario files and rule packs: its example runs, its vocabulary is complete."""

from __future__ import annotations

import re
from pathlib import Path

from domicile.scenarios.format import Case, CaseOptions, ScenarioFile
from domicile.scenarios.run import run_file
from domicile.tiers.parties import PARTIES
from domicile.tiers.predicates import VERBS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_runs(tmp_path: Path) -> None:
    text = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n# file: (\S+)\n(.*?)```", text, re.DOTALL)
    for name, content in blocks:
        (tmp_path / name).write_text(content, encoding="utf-8")
    results = run_file(tmp_path / "harbour.yaml")
    assert [r.mismatches for r in results] == [()] * 5


def test_every_field_of_a_scenario_file_is_described() -> None:
    text = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    for model in (ScenarioFile, Case, CaseOptions):
        for name, info in model.model_fields.items():
            assert f"| `{info.alias or name}` |" in text


def test_every_verb_and_party_is_described() -> None:
    text = (DOCS / "rule-packs.md").read_text(encoding="utf-8")
    assert not [verb for verb in VERBS if not re.search(rf"`{verb}[:`]", text)]
    assert not [party for party in PARTIES if f"| `{party}` |" not in text]
    parameters = {parameter for _, allowed in VERBS.values() for parameter in allowed} - {"waivers"}
    assert not [parameter for parameter in parameters if not re.search(rf"\b{parameter}\b", text)]
