"""The table of how closely results agree, for a page to print."""

from __future__ import annotations

from spark.core.tracers.testing import AGREEMENTS, RUN_ON, Bounds

DTYPES = ("float64", "float32", "float16", "bfloat16")


def agreements(backend: str) -> str:
    """All bounds of a backend, and whether the tests have passed there."""
    rows = []
    for each in AGREEMENTS.values():
        bounds: Bounds = getattr(each, backend)
        parts = [_part(bounds.by_dtype.get(dtype)) for dtype in DTYPES]
        rows.append([each.compared, *parts, each.relative_to, bounds.why])
    head = ["compared", *DTYPES, "relative to", "why"]
    shown = "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
    if backend in RUN_ON:
        return shown
    return f"**Not run yet.** These are the bounds that we expect, and nobody has tried.\n\n{shown}"


def _part(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1e}" if value else "equal bits"
