"""What is asked of each kind of database; Oracle and SQL Server are compiled and not run."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql, sqlite
from sqlalchemy.dialects.oracle import oracledb

from common.connections.entities import shipped
from common.connections.settings import SourceEntity
from ingestor.intake import statements

DIALECTS: dict[str, Any] = {
    "oracle": oracledb.dialect(),
    "mssql": mssql.dialect(),
    "mysql": mysql.dialect(),
    "postgresql": postgresql.dialect(),
    "sqlite": sqlite.dialect(),
}


def entity(table: str | None = "CONSINCO.VW_PRODUTOS", query: str | None = None) -> SourceEntity:
    return SourceEntity(
        shipped()["produtos"], table, query, ("SEQ",), {}, "DTA", timedelta(minutes=15), page=1000, paging="keyset"
    )


def written(statement: Select[Any], dialect: str) -> str:
    return " ".join(
        str(statement.compile(dialect=DIALECTS[dialect], compile_kwargs={"render_postcompile": True})).split()
    )


def page(dialect: str, *, key: tuple[str, ...] = ("SEQ",), after: tuple[Any, ...] = ()) -> str:
    return written(statements.page(entity(), (*key, "NOME"), key, after=after, limit=1001, dialect=dialect), dialect)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (
            "oracle",
            (
                'SELECT "SEQ", "NOME" FROM "CONSINCO"."VW_PRODUTOS" WHERE "SEQ" IS NOT NULL AND "SEQ" >= :from_0'
                ' ORDER BY "SEQ" FETCH FIRST 1001 ROWS ONLY'
            ),
        ),
        (
            "mssql",
            (
                "SELECT TOP 1001 [SEQ], [NOME] FROM [CONSINCO].[VW_PRODUTOS]"
                " WHERE [SEQ] IS NOT NULL AND [SEQ] >= :from_0 ORDER BY [SEQ]"
            ),
        ),
        (
            "mysql",
            (
                "SELECT `SEQ`, `NOME` FROM `CONSINCO`.`VW_PRODUTOS` WHERE `SEQ` IS NOT NULL AND `SEQ` >= %s"
                " ORDER BY `SEQ` LIMIT %s"
            ),
        ),
    ],
)
def test_a_page_is_a_short_statement_from_the_last_key_on(dialect: str, expected: str) -> None:
    assert page(dialect, after=(7,)) == expected


def test_the_first_page_begins_with_the_first_row() -> None:
    assert page("oracle") == (
        'SELECT "SEQ", "NOME" FROM "CONSINCO"."VW_PRODUTOS" WHERE "SEQ" IS NOT NULL'
        ' ORDER BY "SEQ" FETCH FIRST 1001 ROWS ONLY'
    )


@pytest.mark.parametrize("dialect", ["oracle", "mssql", "mysql"])
def test_a_key_of_several_parts_is_written_out_where_rows_are_not_compared(dialect: str) -> None:
    plain = page(dialect, key=("A", "B", "C"), after=(1, 2, 3))
    for sign in '"[]`':
        plain = plain.replace(sign, "")
    names = [f":from_{number}" if dialect != "mysql" else "%s" for number in range(3)]
    a, b, c = names
    assert f"A >= {a} AND (A > {a} OR A = {a} AND B >= {b} AND (B > {b} OR B = {b} AND C >= {c}))" in plain


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_a_key_of_several_parts_is_compared_as_a_row_where_that_goes_by_an_index(dialect: str) -> None:
    assert '("A", "B") >= (' in page(dialect, key=("A", "B"), after=(1, 2))


def test_parameters_bring_no_type_that_would_convert_a_column() -> None:
    compiled = page("postgresql", after=("x",))
    assert "::" not in compiled.partition("LIMIT")[0]
    statement = statements.page(entity(), ("SEQ",), ("SEQ",), after=("x",), limit=1, dialect="mssql")
    kinds = {str(name): str(bind.type) for name, bind in statement.compile(dialect=DIALECTS["mssql"]).binds.items()}
    assert kinds["from_0"] == "VARCHAR"
    late = datetime(2026, 3, 1, 10, 0, 0, 5)
    statement = statements.page(entity(), ("SEQ",), ("SEQ",), after=(late,), limit=1, dialect="oracle")
    assert str(statement.compile(dialect=oracle.dialect()).binds["from_0"].type) == "TIMESTAMP"


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_a_query_stands_within_the_statement_with_its_colons_and_comments(dialect: str) -> None:
    query = "SELECT a, ':b' AS c FROM t WHERE x = '10:30' -- note"
    asked = statements.probe(entity(None, query))
    compiled = str(asked.compile(dialect=DIALECTS[dialect]))
    assert "(SELECT a, ':b' AS c FROM t WHERE x = '10:30' -- note\n)" in compiled
    assert "1 = 0" in compiled
    assert not asked.compile(dialect=DIALECTS[dialect]).binds


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_changes_come_in_the_order_of_cursor_and_key_without_an_upper_bound(dialect: str) -> None:
    options: dict[str, Any] = {"cursor": "DTA", "since": datetime(2026, 3, 1), "limit": 10, "dialect": dialect}
    first = written(statements.changes(entity(), ("SEQ",), ("SEQ",), after=(), **options), dialect)
    later = written(
        statements.changes(entity(), ("SEQ",), ("SEQ",), after=(datetime(2026, 3, 2), 7), **options), dialect
    )
    for compiled in (first, later):
        assert "<" not in compiled
        assert compiled.index("ORDER BY") < compiled.rindex("DTA") < compiled.rindex("SEQ")
    assert "DTA" in first.partition("WHERE")[2].partition(">=")[0]


def test_rows_without_a_key_are_asked_for_apart() -> None:
    asked = statements.without_key(entity(), ("A", "B", "X"), ("A", "B"), limit=100)
    assert written(asked, "oracle").endswith('WHERE "A" IS NULL OR "B" IS NULL FETCH FIRST 100 ROWS ONLY')
