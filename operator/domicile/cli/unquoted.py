"""Plain scalars that kubectl's YAML 1.1 reader turns into booleans: Norway's ``NO``, ``yes``, ``on``, ``y``, ...

We read them as strings, the API server would get ``false``: what is planned is then not what is applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import yaml

TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
FALSE = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
_POSSIBLE = re.compile(rf"(?m)(?:^|[\s\[{{,:])(?:{'|'.join(sorted(TRUE | FALSE))})(?=[\s\]}},:#]|$)")


class Unquoted(NamedTuple):
    """One such scalar and its line."""

    line: int
    text: str

    @property
    def message(self) -> str:
        """What kubectl makes of it and what to write instead."""
        value = "true" if self.text in TRUE else "false"
        return f'unquoted {self.text} is read as {value} by kubectl; write "{self.text}"'


def unquoted_booleans(text: str) -> Iterator[Unquoted]:
    """Every such scalar, in the order of the text. Raises yaml.YAMLError where the text is no YAML."""
    if not _POSSIBLE.search(text):
        return
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken) and token.plain and token.value in TRUE | FALSE:
            yield Unquoted(token.start_mark.line + 1, token.value)
