"""What deliveries are measured with: a million records of a declared entity, and their mapping of eight fields.

Every contender sends the same records: some 600 bytes of JSON each, a thousand in a request.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.contender import report
from bench.databases import query

DESTINATION = "bench"
BATCH = 1_000
MARK = b'"CODIGO"'
"""Stands once in each record that is sent."""

ENTITY = """
label: Produtos
key: [codigo]
columns:
  codigo: integer
  descricao: text
  status: text
  alterado: moment
  preco: number
  cnpj: text
  marca: text
"""
RECEIVES = """
kind: http
url: {url}
allow_http: true
start: all
hold_above: 100000000
concurrency: {concurrency}
streams:
  - entity: produtos
    path: /produtos
    batch: {{records: {batch}, max_bytes: 5242880, wrap: registros}}
    fields:
      CODIGO: codigo
      DESCRICAO: {{from: descricao, trim: true, max: 400}}
      STATUS: {{from: status, map: {{A: ATIVO, I: INATIVO}}, else: reject}}
      DTALTERACAO: {{from: alterado, date: "%d/%m/%Y %H:%M"}}
      VLPRECO: {{from: preco, decimal: 2, default: "0.00"}}
      CNPJ: {{from: cnpj, digits: true}}
      MARCA: {{from: marca, upper: true}}
      VERSAO: {{meta: version}}
"""
_FILL = """
    INSERT INTO entity_records (entity, key, data)
    SELECT 'produtos', CAST(n AS text),
           jsonb_build_object(
               'codigo', n,
               'descricao', left(repeat(format('Arroz agulhinha tipo %s, pacote de 5 kg; ', n % 9), 12), 360 + n % 60),
               'status', CASE WHEN n % 7 = 0 THEN 'I' ELSE 'A' END,
               'alterado', timestamptz '2026-01-01 08:00:00Z' + n * interval '20 s',
               'preco', n * 0.137,
               'cnpj', format('%s/0001-%s', lpad(CAST(n % 9000 AS text), 10, '1'), 10 + n % 90),
               'marca', format('Cooperativa Agroindustrial do Sul %s', n % 500))
      FROM generate_series(1, $1::int) AS n
"""


@dataclass(frozen=True)
class Task:
    """What is to be delivered: all records of this database, to this receiver, so many requests at once."""

    receiver_url: str
    database_url: str
    concurrency: int = 4


def fill(url: str, records: int) -> None:
    """Write the records, and let the server finish what that leaves to do."""
    query(url, _FILL, records)
    query(url, "VACUUM ANALYZE entity_records")
    query(url, "CHECKPOINT")


def write_files(folder: Path, task: Task) -> None:
    """The declaration of the entity, and the destination that receives it."""
    written = RECEIVES.format(url=task.receiver_url, concurrency=task.concurrency, batch=BATCH)
    for name, content in (("entities/produtos.yaml", ENTITY), (f"destinations/{DESTINATION}.yaml", written)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def compete(deliver: Callable[[Task], int]) -> None:
    """The contender's side: deliver all, and report the time; `deliver` answers how many records there were."""
    parser = argparse.ArgumentParser()
    for name in ("receiver-url", "database-url"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    task = Task(**vars(parser.parse_args()))
    report(lambda: deliver(task))
