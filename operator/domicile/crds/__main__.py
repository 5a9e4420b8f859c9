"""``python -m domicile.crds``: writes crds/*.yaml and docs/api-reference.md into a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from domicile.crds.files import generated_files


def main() -> int:
    """Write every generated file below the folder named on the command line, or the current one."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    if not (root / "pyproject.toml").is_file():
        print(f"{root.resolve()} is no checkout of Domicile; name its folder", file=sys.stderr)
        return 2
    for name, text in generated_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
