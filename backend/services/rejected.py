"""Records that could not be stored, one by one, with the reason in the reader's words."""

import re
from typing import Any

from sqlalchemy import Row, text

from backend.models.rejected import RejectedEntry, RejectedQuery, RejectedRecords
from backend.services.dashboard import MIRROR
from backend.services.reading import ReadConnections
from common.resources import RESOURCES_BY_NAME

MOST_LETTERS = 20_000

_PAGE = text("""
    SELECT id, resource AS table, natural_key, day, part AS modalidade, reason, first_seen, last_seen, times,
           execution_id, left(payload, :letters) AS payload, length(payload) AS payload_length
      FROM rejected_records
     WHERE resolved_at IS NULL
       AND (CAST(:tables AS text[]) IS NULL OR resource = ANY(CAST(:tables AS text[])))
       AND (CAST(:execution_id AS bigint) IS NULL OR execution_id = :execution_id)
       AND (CAST(:cursor AS bigint) IS NULL OR id < :cursor)
     ORDER BY id DESC LIMIT :most
""")
_COUNT = text("""
    SELECT count(*) FROM rejected_records
     WHERE resolved_at IS NULL
       AND (CAST(:tables AS text[]) IS NULL OR resource = ANY(CAST(:tables AS text[])))
       AND (CAST(:execution_id AS bigint) IS NULL OR execution_id = :execution_id)
""")

_EXPLANATIONS = [
    (re.compile(pattern), sentence)
    for pattern, sentence in (
        (r"Object missing required field `([^`]+)`.*", "falta o campo obrigatório {0}"),
        (r"Expected `([^`]+)`, got `([^`]+)` - at `\$\.([^`]+)`", "o campo {2} veio como {1}; a coluna espera {0}"),
        (r"Expected `([^`]+)`, got `([^`]+)`.*", "um valor veio como {1}; a coluna espera {0}"),
        (r"(\S+) is not of the form (.+)", "o campo {0} não tem a forma {1}"),
        (r"(\S+): (.+) is no moment and no day", "o campo {0} traz {1}, que não é data nem hora"),
        (r"(.+) lies in no year of Brasília's wall clock", "{0} não é um momento do calendário"),
        (r"(.+) stands where an id belongs", "{0} está onde se espera um identificador"),
        (r"(\S+) is not a finite number", "o campo {0} não é um número finito"),
        (r"(\S+) has more than (\d+) digits on one side of the point", "o campo {0} tem mais de {1} algarismos"),
        (r"a number that jsonb does not take.*", "traz um número que o banco de dados não aceita"),
        (r"the record that it belongs to is not stored", "o registro a que pertence não está gravado"),
        (r"JSON is malformed.*|Input data was truncated", "o que o portal enviou não é JSON válido"),
        (r".*numeric field overflow.*|.*out of range.*", "traz um número grande demais para a coluna"),
        (r".*violates.*constraint.*|.*invalid.*", "o banco de dados recusou um dos seus valores"),
    )
]
"""What the reasons say, as the ingestors and their libraries write them."""
_KINDS = {
    "str": "texto",
    "int": "número",
    "float": "número",
    "object": "objeto",
    "array": "lista",
    "null": "nulo",
    "bool": "sim ou não",
}


async def load_rejected(reading: ReadConnections, query: RejectedQuery) -> RejectedRecords:
    """A page of the records that are still not stored, the newest first."""
    resource = None if query.resource is None else RESOURCES_BY_NAME[query.resource]
    filters = {"tables": None if resource is None else list(resource.tables), "execution_id": query.execution_id}
    page = {"cursor": query.cursor, "most": query.limit + 1, "letters": MOST_LETTERS}
    async with reading.connect() as db:
        rows = (await db.execute(_PAGE, filters | page)).all()
        total = (await db.execute(_COUNT, filters)).scalar_one()
    shown = [_to_entry(row) for row in rows[: query.limit]]
    return RejectedRecords(
        records=shown, total=total, next_cursor=str(shown[-1].id) if len(rows) > query.limit else None
    )


def _to_entry(row: Row[Any]) -> RejectedEntry:
    known = row._asdict()
    return RejectedEntry(
        **known, label=MIRROR.get(known["table"], known["table"]), explanation=explain_rejection(row.reason)
    )


def explain_rejection(reason: str) -> str:
    """A reason in Portuguese; one of an unknown form stays as it is."""
    for pattern, sentence in _EXPLANATIONS:
        if match := pattern.fullmatch(reason):
            said = sentence.format(*map(_spoken, match.groups()))
            return said[0].upper() + said[1:]
    return reason


def _spoken(part: str) -> str:
    """`str | null` as `texto ou nulo`."""
    return " ou ".join(_KINDS.get(one, one) for one in part.split(" | "))
