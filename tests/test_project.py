"""What holds for the project as a whole: its layout, its lock file, and that every reason is documented."""

from __future__ import annotations

import re
from pathlib import Path

from domicile.placement.decide import Outcome
from domicile.placement.request import RefusalReason

ROOT = Path(__file__).resolve().parents[1]


def test_the_source_root_is_no_package() -> None:
    """With an __init__.py, every Python started here would import it instead of the standard library's operator."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_the_lock_file_pins_hashes_and_names_no_host() -> None:
    """Where packages come from is the user's choice; what they are is not."""
    text = (ROOT / "requirements.lock").read_text()

    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text)
    packages = re.findall(r"^(\S+)==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z]", text, re.MULTILINE)) > 20


def test_every_reason_is_documented() -> None:
    """docs/concepts.md says of each reason what to do."""
    sources = [(ROOT / "operator/domicile/report" / name).read_text() for name in ("workload.py", "cluster.py")]
    said = {reason for text in sources for reason in re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)*)"', text)}
    statuses = {"True", "False", "Unknown"}
    reasons = said - statuses | {str(reason) for reason in [*RefusalReason, *Outcome]}

    documented = set(re.findall(r"`([A-Za-z]+)`", (ROOT / "docs/concepts.md").read_text()))
    assert reasons - documented == set()
