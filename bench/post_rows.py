"""A script of the kind people write: one SELECT in the order of the key, json, requests, a thousand records a POST.

It remembers nothing: it sends every record each time, and a request that fails ends it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg2
import requests

from bench.products import BATCH, Task, compete

_SELECT = """
    SELECT data, updated_at FROM entity_records WHERE entity = 'produtos' AND removed_at IS NULL ORDER BY key
"""
STATUS = {"A": "ATIVO", "I": "INATIVO"}


def deliver(task: Task) -> int:
    """Send every record; answers how many there were."""
    count = 0
    with psycopg2.connect(task.database_url) as connection, requests.Session() as http:
        cursor = connection.cursor("rows")
        cursor.itersize = BATCH
        cursor.execute(_SELECT)
        while rows := cursor.fetchmany(BATCH):
            records = [_record(data, updated_at) for data, updated_at in rows]
            answer = http.post(f"{task.receiver_url}/produtos", json={"registros": records}, timeout=30)
            answer.raise_for_status()
            count += len(records)
    return count


def _record(data: dict[str, Any], updated_at: datetime) -> dict[str, Any]:
    return {
        "CODIGO": data["codigo"],
        "DESCRICAO": data["descricao"].strip()[:400],
        "STATUS": STATUS[data["status"]],
        "DTALTERACAO": datetime.fromisoformat(data["alterado"]).strftime("%d/%m/%Y %H:%M"),
        "VLPRECO": str(Decimal(str(data["preco"])).quantize(Decimal("0.01"))),
        "CNPJ": "".join(sign for sign in data["cnpj"] if sign.isdigit()),
        "MARCA": data["marca"].upper(),
        "VERSAO": updated_at.isoformat(),
    }


if __name__ == "__main__":
    compete(deliver)
