"""Tables of medians, as text in columns."""

from collections.abc import Sequence
from statistics import median

from bench.measure import Run


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
    """Print a table: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print(f"\n## {title}\n")
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in _cells(row, widths)
        ]
        print(" | ".join(cells).rstrip())
    for note in notes:
        print(note)


def _cells(row: Sequence[str], widths: Sequence[int]) -> "enumerate[tuple[str, int]]":
    return enumerate(zip(row, widths, strict=True))


def rate(runs: Sequence[Run]) -> float:
    """The median of their records per second."""
    return median(run.rate for run in runs)


def per_second(runs: Sequence[Run]) -> str:
    """Records per second, and how far the runs lie apart where there are several."""
    if not runs:
        return ""
    rates = sorted(run.rate for run in runs)
    spread = f" ({rates[0]:,.0f}-{rates[-1]:,.0f})" if len(rates) > 1 else ""
    return f"{median(rates):,.0f}{spread}"


def cpu(runs: Sequence[Run]) -> str:
    """Milliseconds of processor per record: the contender's own, and PostgreSQL's for it."""
    own = median(1000 * run.cpu_seconds / run.records for run in runs)
    database = median(1000 * run.database_cpu_seconds / run.records for run in runs)
    return f"{own:.2f} + {database:.2f}"


def memory(runs: Sequence[Run]) -> str:
    """Peak memory of the contender's process, in MiB."""
    return f"{median(run.peak_mib for run in runs):.0f}"


def ratio(part: float, whole: float) -> str:
    """How many times `whole` goes into `part`."""
    quotient = part / whole
    return f"{quotient:.1f}x" if quotient >= 1 else f"{quotient:.2f}x"
