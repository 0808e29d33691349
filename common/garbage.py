"""The frequency of Python's garbage collection."""

import gc


def collect_seldom() -> None:
    """Exclude existing objects, mostly libraries, and collect after tens of thousands of new ones.

    Nearly all objects are freed by their reference count. Looking through all of them for cycles, again and again, took
    a twelfth of an ingestor's time, and stopped the API for a tenth of a second at a time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
