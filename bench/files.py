"""Files of a list in every format, beside psql that copies the same rows."""

import subprocess
import time
import urllib.request
from statistics import median

from backend.services.entities.question import parse_question
from backend.services.entities.rows import ordered
from backend.services.exports.copying import with_file_fields
from bench.api import serving
from bench.databases import Databases, query
from bench.report import ratio, table
from common.entities.entity import ENTITIES_BY_ADDRESS
from standalone.postgres import find_binaries

FORMS = ("csv", "csv?excel=1", "ndjson", "parquet", "xlsx", "pdf")
MOST_PDF_ROWS = 5_000

# Two thirds of the columns filled, texts as long as those of the portal, one supplier in ten a natural person.
_FILL = """
    INSERT INTO contratos (numero_controle_pncp, data_publicacao_pncp, data_atualizacao, data_atualizacao_global,
                           ano_contrato, sequencial_contrato, numero_contrato_empenho, tipo_contrato_id,
                           tipo_contrato_nome, categoria_processo_nome, processo, objeto_contrato, receita,
                           data_assinatura, data_vigencia_inicio, data_vigencia_fim, valor_inicial, valor_global,
                           valor_acumulado, numero_parcelas, tipo_pessoa, ni_fornecedor, nome_razao_social_fornecedor,
                           usuario_nome, orgao_entidade_cnpj, orgao_entidade_razao_social, unidade_orgao_codigo_unidade,
                           unidade_orgao_nome_unidade, unidade_orgao_municipio_nome, unidade_orgao_uf_sigla, payload)
    SELECT format('%s-2-%s/2026', cnpj, lpad(CAST(n AS text), 6, '0')), moment, moment, moment, 2026, n,
           format('%s/2026', n), n % 12, 'Contrato (termo inicial)', 'Compras', format('%s-%s', n, n % 97),
           left(repeat('Aquisição de "gêneros alimentícios", para a merenda; ', 6), 60 + n % 200), n % 50 = 0,
           CAST(moment AS date), CAST(moment AS date), CAST(moment AS date) + 365, n * 1.37, n * 1.37, n * 1.37, 12,
           CASE WHEN n % 10 = 0 THEN 'PF' ELSE 'PJ' END,
           CASE WHEN n % 10 = 0 THEN lpad(CAST(n AS text), 11, '0') ELSE cnpj END,
           format('Comércio de Alimentos %s Ltda', n % 5000), 'Compras.gov.br', cnpj, 'MUNICIPIO DE FLORIANOPOLIS',
           '1', 'Secretaria Municipal de Educação', 'Florianópolis', 'SC', '{}'
      FROM generate_series(1, $1::int) AS n
     CROSS JOIN LATERAL (SELECT lpad(CAST(n % 9000 AS text), 14, '1') AS cnpj,
                                timestamp '2026-01-01' + n * interval '5 min' AS moment) AS t
"""


def run_files(databases: Databases, rows: int, repeats: int) -> None:
    """Each format in turns with `psql`, which writes to nowhere; PDF with as many rows as it takes."""
    url = databases.fresh("files")
    query(url, _FILL, rows)
    query(url, "VACUUM ANALYZE contratos")
    query(url, "CHECKPOINT")
    seconds: dict[str, list[float]] = {name: [] for name in ("psql", *FORMS)}
    first: dict[str, list[float]] = {name: [] for name in FORMS}
    variables = {"DATABASE_URL": url, "RABBITMQ_URL": ""}
    with serving("standalone.serve", variables) as ours:
        for _ in range(repeats):
            began = time.monotonic()
            _psql(url)
            seconds["psql"].append(time.monotonic() - began)
            for form in FORMS:
                to_first, whole = _fetch(f"{ours}/contratos.{form}", is_short=form == "pdf" and rows > MOST_PDF_ROWS)
                first[form].append(to_first)
                seconds[form].append(whole)
    databases.drop(url)
    base = rows / median(seconds["psql"])
    lines = [["psql \\copy", f"{base:,.0f}", "", ""]]
    for form in FORMS:
        rate = (min(rows, MOST_PDF_ROWS) if form == "pdf" else rows) / median(seconds[form])
        lines.append([f".{form}", f"{rate:,.0f}", ratio(rate, base), f"{median(first[form]) * 1000:,.0f}"])
    head = ["", "rows/s", "of psql", "first byte ms"]
    columns = len(with_file_fields(parse_question(ENTITIES_BY_ADDRESS["contratos"], (), may_see_all=False)).fields)
    table(f"Files: {rows:,} contratos, {columns} columns, PDF with {MOST_PDF_ROWS:,} rows", head, lines)


def _fetch(address: str, *, is_short: bool) -> tuple[float, float]:
    """Seconds to the first byte, and to the last."""
    if is_short:  # contratos of so many five minutes
        days = MOST_PDF_ROWS * 5 // (24 * 60)
        address += f"?data_publicacao_ate=2026-01-{days:02}T08:40:00"
    began = time.monotonic()
    with urllib.request.urlopen(address, timeout=600) as answer:  # noqa: S310  # ours
        answer.read(1)
        to_first = time.monotonic() - began
        while answer.read(1024 * 1024):
            pass
    return to_first, time.monotonic() - began


def _psql(url: str) -> None:
    """The same rows and columns, unmasked."""
    question = with_file_fields(parse_question(ENTITIES_BY_ADDRESS["contratos"], (), may_see_all=True))
    columns = ", ".join(f"{each.sql} AS {each.name}" for each in question.fields)
    order = ordered(question.order, question.entity.key)
    statement = f"SELECT {columns} FROM {question.entity.source} ORDER BY {order}"  # noqa: S608  # names of ours
    command = [
        str(find_binaries() / "psql"),
        f"--dbname={url}",
        "--command",
        f"\\copy ({statement}) TO '/dev/null' CSV HEADER",
    ]
    subprocess.run(command, check=True, capture_output=True)
