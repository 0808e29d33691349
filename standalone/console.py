"""Output at the terminal: one line per step, with its duration."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from standalone.language import tr


def say(text: str, end: str = "\n") -> None:
    """Print a line at once; a closed terminal must not prevent the children from being stopped."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        # The terminal was closed: discard further output, which would fail again, also at the exit of Python.
        sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115, PTH123


def complain(text: str) -> None:
    """Print an error: one line, and whatever lines of a log belong to it."""
    try:
        print(f"pncp: {text}", file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115, PTH123


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print what is being done, and behind it how long it took once it is done."""
    start = time.monotonic()
    say(f"- {text} ... ", end="")
    try:
        yield
    except BaseException:
        say(tr("not done"))
        raise
    say(f"{time.monotonic() - start:.1f} s")


def is_terminal() -> bool:
    """Whether a line can be rewritten, because a person looks at it."""
    return sys.stdout.isatty()


def rewrite(text: str) -> None:
    """Put this in place of the terminal's current line."""
    say(f"\r\x1b[K{text}", end="")
