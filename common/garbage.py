"""How often Python looks for cycles among what is no longer used."""

import gc


def collect_seldom() -> None:
    """Leave out what exists now, libraries above all, and look at what is new after tens of thousands of objects.

    Nearly everything is freed as soon as nobody refers to it. To look through all of it for cycles, again and again,
    took a twelfth of an ingestor's time, and held up the API for a tenth of a second at a time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
