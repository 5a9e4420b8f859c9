"""The rule packs that come with Domicile, as text. Data, never code."""

from __future__ import annotations

from importlib import resources

BUILT_IN = ("cada",)


def pack_text(name: str) -> str:
    """The YAML of a built-in pack. Raises KeyError for an unknown name."""
    if name not in BUILT_IN:
        raise KeyError(name)
    return resources.files("domicile.frameworks").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
