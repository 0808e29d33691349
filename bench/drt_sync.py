"""The nearest open peer as a contender: drt (drt-core), from PostgreSQL to a REST API, a thousand records a request.

Every value is shaped by its SQL, where that is fastest, and a batch by one template. It sends all records each time.
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.engine import make_url

from bench.products import BATCH, Task, compete

_SELECT = r"""
SELECT CAST(data ->> 'codigo' AS bigint) AS "CODIGO",
       left(trim(data ->> 'descricao'), 400) AS "DESCRICAO",
       CASE data ->> 'status' WHEN 'A' THEN 'ATIVO' WHEN 'I' THEN 'INATIVO' END AS "STATUS",
       to_char(CAST(data ->> 'alterado' AS timestamptz), 'DD/MM/YYYY HH24:MI') AS "DTALTERACAO",
       CAST(round(CAST(data ->> 'preco' AS numeric), 2) AS text) AS "VLPRECO",
       regexp_replace(data ->> 'cnpj', '[^0-9]', '', 'g') AS "CNPJ",
       upper(data ->> 'marca') AS "MARCA",
       to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "VERSAO"
  FROM entity_records WHERE entity = 'produtos' AND removed_at IS NULL
"""


def deliver(task: Task) -> int:
    """Send every record by one `drt run`; answers how many it says it has sent."""
    with TemporaryDirectory(prefix="pncp-bench-") as home:
        os.environ.update(HOME=home, DO_NOT_TRACK="1")
        _write_project(Path(home), task)
        os.chdir(home)
        from drt.cli.main import app  # noqa: PLC0415  # it reads HOME when it is imported

        app(["run", "--quiet", "--output", "json"], standalone_mode=False)
        history = json.loads((Path(home) / ".drt" / "state.json").read_text(encoding="utf-8"))
    return int(history["produtos"]["records_synced"])


def _write_project(home: Path, task: Task) -> None:
    url = make_url(task.database_url)
    profile = {
        "type": "postgres",
        "host": url.host,
        "port": url.port or 5432,
        "dbname": url.database,
        "user": url.username,
        "password": url.password or "",
    }
    sync = {
        "name": "produtos",
        "model": _SELECT,
        "destination": {
            "type": "rest_api",
            "url": f"{task.receiver_url}/produtos",
            "method": "POST",
            "headers": {"Content-Type": "application/json"},
            "body_mode": "batch",
            "batch_template": '{"registros": {{ rows | tojson_safe }}}',
        },
        "sync": {"mode": "full", "batch_size": BATCH, "rate_limit": {"requests_per_second": 100_000}},
    }
    # JSON is YAML
    for name, content in (
        (".drt/profiles.yml", {"bench": profile}),
        ("drt_project.yml", {"name": "bench", "version": "0.1", "profile": "bench"}),
        ("syncs/produtos.yml", sync),
    ):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    compete(deliver)
