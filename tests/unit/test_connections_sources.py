"""Files of `sources/`: what is taken, and what is refused by file and line."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from common.connections.guards import AS_REFERENCE
from common.connections.loading import check_connections, load_connections
from common.connections.settings import Source
from common.connections.sources import kind_of
from tests.support import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "connections"
PRODUTOS = "key: codigo\ncolumns: {codigo: integer, nome: text, mudou: moment}\n"
VENDAS = "key: [numero, serie]\ncolumns: {numero: integer, serie: text, valor: number}\n"
ERP = """\
url: ${env:ERP_URL}
schedule: "30 0 * * *"
entities:
  produtos:
    table: ERP.VW_PRODUTOS
    key: SEQPRODUTO
    fields: {nome: TXTDESCRICAO}
    cursor: {column: DTAALTERACAO}
"""


def write(folder: Path, content: str, name: str = "erp") -> Path:
    files = {"entities/produtos": PRODUTOS, "entities/vendas": VENDAS, f"sources/{name}": content}
    for path, written in files.items():
        target = folder / f"{path}.yaml"
        target.parent.mkdir(exist_ok=True)
        target.write_text(written, encoding="utf-8")
    return folder


def source(folder: Path, content: str = ERP) -> Source:
    (made,) = load_connections(write(folder, content)).sources.values()
    return made


def test_a_source_says_what_is_read_and_how(tmp_path: Path) -> None:
    made = source(tmp_path)
    assert (made.name, made.schedule, made.delta, made.timeout, made.hold_removed) == (
        *("erp", "30 0 * * *", None),
        *(60.0, 0.2),
    )
    (read,) = made.entities
    assert (read.entity.name, read.table, read.query, read.key) == (
        "produtos",
        "ERP.VW_PRODUTOS",
        None,
        ("SEQPRODUTO",),
    )
    assert read.names == {"codigo": "SEQPRODUTO", "nome": "TXTDESCRICAO"}
    assert (read.cursor, read.lag, read.page, read.paging) == ("DTAALTERACAO", timedelta(minutes=15), 1000, "keyset")


def test_a_query_is_one_command_and_loses_the_semicolon_at_its_end(tmp_path: Path) -> None:
    query = "SELECT NUMERO, SERIE, ';' AS X FROM VENDAS -- ; of a comment\n;\n"
    content = f"url: ${{env:ERP_URL}}\nentities:\n  vendas:\n    key: [NUMERO, SERIE]\n    query: {query!r}\n"
    (read,) = source(tmp_path, content.replace("'SELECT", '"SELECT').replace("\\n'", '\\n"')).entities
    assert read.query is not None
    assert read.query.endswith("comment\n")
    assert read.names == {"numero": "NUMERO", "serie": "SERIE"}


@pytest.mark.parametrize(
    "url",
    [
        "${env:ERP_URL}",
        "${file:/run/secrets/erp}",
        "oracle+oracledb://leitor:${env:ERP_PASSWORD}@erp.example/?service_name=ORCL",
        "postgresql://leitor@127.0.0.1/erp",
        "sqlite:////srv/erp.db",
        "mssql+pyodbc://leitor:${env:P}@sql.example/erp?driver=ODBC+Driver+18+for+SQL+Server",
    ],
)
def test_an_address_may_show_all_but_its_password(tmp_path: Path, url: str) -> None:
    made = source(tmp_path, ERP.replace("${env:ERP_URL}", url))
    assert (made.url.literal is None) == ("${" in url)


@pytest.mark.parametrize(
    ("before", "after", "line", "said"),
    [
        ("${env:ERP_URL}", "postgresql://leitor:marca@h/erp", 1, f"a senha no endereço {AS_REFERENCE}"),
        ("${env:ERP_URL}", "mysql://h/erp?password=marca", 1, f"o parâmetro do endereço {AS_REFERENCE}"),
        ("${env:ERP_URL}", "https://h/erp", 1, "esperava um endereço que começa com oracle://"),
        ("${env:ERP_URL}", "erp.example", 1, "esperava um endereço"),
        ("${env:ERP_URL}", "${ENV:ERP_URL}", 1, "escreva ${env:NOME}"),
        ("url: ${env:ERP_URL}\n", "", 1, "falta `url`"),
        ("30 0 * * *", "30 0 * *", 2, "cron de cinco campos"),
        ('"30 0 * * *"', '"30 0 * * *"\nquando: x', 3, "chave desconhecida `quando`"),
        ("  produtos:", "  produtoss:", 4, "não há a entidade `produtoss`; quis dizer `produtos`?"),
        ("    table: ERP.VW_PRODUTOS\n", "", 4, "diga `table` ou `query`"),
        ("table: ERP.VW_PRODUTOS", "query: DELETE FROM x", 5, "deve começar com SELECT ou WITH"),
        ("table: ERP.VW_PRODUTOS", "query: SELECT 1; DROP TABLE x", 5, "um comando só"),
        ("key: SEQPRODUTO", "key: [A, B]", 6, "a chave de `produtos` tem 1 partes: codigo"),
        ("{nome: TXTDESCRICAO}", "{nomee: X}", 7, "`produtos` não tem a coluna `nomee`; quis dizer `nome`?"),
        ("{nome: TXTDESCRICAO}", "{codigo: X}", 7, "`key` diz que é `SEQPRODUTO`"),
        ("{column: DTAALTERACAO}", "{column: D, lag: 15}", 8, "texto"),
        ("{column: DTAALTERACAO}", "{column: D, lag: 15 min}", 8, "esperava um tempo como 15m"),
        ("{column: DTAALTERACAO}", "{column: D, lag: 400d}", 8, "o máximo são 366 dias"),
        ("key: SEQPRODUTO", "key: SEQPRODUTO\n    page: 20000", 7, "o máximo é 10000"),
        ("key: SEQPRODUTO", "key: SEQPRODUTO\n    paging: offset", 7, "keyset"),
    ],
)
def test_faults_of_a_source_are_told_by_their_lines(
    tmp_path: Path, before: str, after: str, line: int, said: str
) -> None:
    content = ERP.replace(before, after, 1)
    assert content != ERP
    connections, faults = check_connections(write(tmp_path, content))
    found = [(fault.line, fault.message) for fault in faults]
    assert any(number == line and said in message for number, message in found), found
    assert {fault.file for fault in faults} == {"sources/erp.yaml"}
    assert not connections.sources
    assert not any("marca" in message for _, message in found)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ERP.replace("    cursor: {column: DTAALTERACAO}\n", "") + 'delta: "*/15 * * * *"\n', "tem `cursor`"),
        (
            "url: ${env:X}\nentities:\n  vendas: {table: V, key: [NUMERO, numero]}\n",
            "a coluna `numero` está repetida na chave",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, content: str, said: str) -> None:
    faults = check_connections(write(tmp_path, content))[1]
    assert any(said in fault.message for fault in faults), faults


def test_a_source_may_not_be_called_as_a_resource_of_the_portal(tmp_path: Path) -> None:
    faults = check_connections(write(tmp_path, ERP, name="contratos"))[1]
    assert any("já é um recurso do espelho" in fault.message for fault in faults)


def test_the_example_reads_four_views_of_an_erp() -> None:
    made = load_connections(EXAMPLES).sources["consinco"]
    assert [each.entity.name for each in made.entities] == ["filiais", "produtos", "clientes", "vendas"]
    assert made.url.literal is None


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("oracle+oracledb://x", "oracle"),
        ("postgresql+asyncpg://x", "postgresql"),
        ("sqlite:///x", "sqlite"),
        ("postgres://x", None),
        ("x", None),
    ],
)
def test_the_kind_of_a_database_is_the_first_word_of_its_address(address: str, kind: Any) -> None:
    assert kind_of(address) == kind
