"""How much memory a slice's progress takes: a process holds that of every slice it reads, however large the day."""

import gc
import tracemalloc

from common.resources.contratos import CONTRATOS
from ingestor.sources.values import Batch
from ingestor.store.progress import Progress

ROWS, PAGE = 5_000, 500
MOST_BYTES = 75
"""For each row, besides its key. Two dictionaries of this size take 51, and three sets 157."""


def test_what_a_slice_keeps_of_each_row_besides_its_key_is_small() -> None:
    keys = [f"{row:014}-2-{row:06}/2025" for row in range(ROWS)]
    pages = [frozenset(keys[start : start + PAGE]) for start in range(0, ROWS, PAGE)]
    progress = Progress(1)
    gc.collect()
    tracemalloc.start()
    try:
        for number, page in enumerate(pages, 1):
            progress.add(Batch(CONTRATOS, number, ROWS, len(pages), page, page, records=PAGE))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(progress.evidence.shown) == len(progress.processed) == ROWS
    assert held / ROWS < MOST_BYTES
