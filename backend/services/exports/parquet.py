"""Parquet, with exact decimals, by pyarrow: an extra (`requirements-exports.txt`), since it takes 170 MB."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pyarrow.parquet import ParquetWriter

from backend.services.exports.tables import BOOLEANS, DAYS, INTEGERS, MOMENTS, NUMBERS, About, Table

BLOCK_BYTES = 1024 * 1024
"""Of CSV that is read at once; a row has to fit. With blocks four times as large, twice the memory is taken."""
GROUP_BYTES = 8 * 1024 * 1024
"""Of a group of rows, before it is compressed."""
LONGEST_BLOCK = 1024 * 1024 * 1024
LEAST_SCALE, WIDEST = 4, 38
_TYPES = {
    **dict.fromkeys(MOMENTS, pa.timestamp("us")),
    **dict.fromkeys(DAYS, pa.date32()),
    **dict.fromkeys(BOOLEANS, pa.bool_()),
    **dict.fromkeys(INTEGERS, pa.int64()),
}


def write_parquet(table: Table, about: About, target: Path, *, progress: Callable[[int], None]) -> None:
    """Write a file; what is said of it is its metadata `pncp`, and labels are those of its columns."""
    block = BLOCK_BYTES
    while True:
        try:
            return _write(table, about, target, block, progress)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block >= LONGEST_BLOCK:  # a row is longer than a block
                raise
            block *= 8


def _write(table: Table, about: About, target: Path, block: int, progress: Callable[[int], None]) -> None:
    types = {
        column.name: _TYPES.get(column.kind, pa.string()) for column in table.columns if column.kind not in NUMBERS
    }
    types |= _types_of_numbers(table, block)
    schema = pa.schema(
        [pa.field(each.name, types[each.name], metadata={"label": each.label}) for each in table.columns],
        metadata={"pncp": json.dumps(about.to_object(), ensure_ascii=False, default=str)},
    )
    rows = 0
    with ParquetWriter(target, schema, compression="zstd") as writer:
        group: list[pa.RecordBatch] = []
        for batch in _batches(table, types, block):
            group.append(batch.cast(schema))
            if sum(each.nbytes for each in group) >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(group))
                group.clear()
            rows += batch.num_rows
            progress(rows)
        if group:
            writer.write_table(pa.Table.from_batches(group))


def _batches(table: Table, types: dict[str, pa.DataType], block: int) -> Iterator[pa.RecordBatch]:
    """The rows with these columns, a block at a time. Null and an empty text differ."""
    yield from csv.open_csv(
        table.path,
        read_options=csv.ReadOptions(use_threads=False, block_size=block),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(types) if len(types) < len(table.columns) else None,
            null_values=[""],
            true_values=["true"],
            false_values=["false"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _types_of_numbers(table: Table, block: int) -> dict[str, pa.DataType]:
    """Decimals of the scale that all values need; text where one has more than 38 digits."""
    wanted = [each.name for each in table.columns if each.kind in NUMBERS]
    if not wanted:
        return {}
    whole, scale = dict.fromkeys(wanted, 0), dict.fromkeys(wanted, LEAST_SCALE)
    for batch in _batches(table, dict.fromkeys(wanted, pa.string()), block):
        for name in wanted:
            written = pc.ascii_ltrim(batch.column(name), "-")
            point, length = pc.find_substring(written, "."), pc.utf8_length(written)
            has_point = pc.greater_equal(point, 0)
            before = pc.max(pc.if_else(has_point, point, length)).as_py() or 0
            after = pc.max(pc.if_else(has_point, pc.subtract(pc.subtract(length, point), 1), 0)).as_py() or 0
            whole[name], scale[name] = max(whole[name], before), max(scale[name], after)
    return {
        name: pa.decimal128(WIDEST, scale[name]) if whole[name] + scale[name] <= WIDEST else pa.string()
        for name in wanted
    }
