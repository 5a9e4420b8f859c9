"""What every benchmark prints beside its own figures: percentiles, the machine, progress on stderr."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

PERCENTILES = (50, 90, 99)


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile; ``values`` must not be empty."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def spread(values: Sequence[float], *, digits: int = 3) -> dict[str, float | int]:
    """Count, P50, P90, P99 and maximum."""
    if not values:
        return {"count": 0}
    named: dict[str, float | int] = {"count": len(values)}
    named |= {f"p{p}": round(percentile(values, p), digits) for p in PERCENTILES}
    return named | {"max": round(max(values), digits)}


def machine() -> dict[str, str | int]:
    """Processor, cores this process may use, memory, Python."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def _field(file: Path, name: str) -> str:
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def tell(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)
