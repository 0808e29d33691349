"""CSV by COPY: values that are quoted by the server, numbers of persons masked in SQL, an order, a limit."""

import csv
import io
import random
from datetime import datetime
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.entities.question import Question, parse_question
from backend.services.exports.copying import check_fields, copy_csv, count_rows, with_file_fields
from common.database import raw_driver_of
from common.entities.entity import ENTITIES, ENTITIES_BY_ADDRESS, RELEVANCE, Entity
from common.masking import mask_field
from tests.integration.conftest import Database
from tests.stored_rows import fill, insert

CPF, NO_CPF, CNPJ = "52998224725", "52998224726", "12345678000190"
PIECES = st.sampled_from(
    [
        *(CPF, "529.982.247-25", NO_CPF, "529.98224725", CNPJ, "111.111.111-11", f"0.{CPF}", "0", "7", ".", "-", "/"),
        *(" ", "\u00a0", "\u2003", "\u200b", "\x1c", "\x85", "\n", "\r", "\u0661", "x", "é", "'", "\\"),
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=6).map("".join),
    st.text(alphabet="0123456789.-", max_size=30),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
)
KINDS = st.sampled_from([None, "", "PF", "PJ", "PE"])


async def test_cpfs_are_masked_in_sql_as_they_are_in_python(engine: AsyncEngine) -> None:
    cases: list[tuple[str, str | None]] = []

    @settings(max_examples=1_000, database=None, deadline=None)
    @given(TEXTS, KINDS)
    def collect(text: str, kind: str | None) -> None:
        cases.append((text, kind))

    collect()
    numbers = random.Random(1)  # and numbers of which one in a hundred is a CPF
    cases += [(f"{numbers.randrange(10**11):011}", numbers.choice([None, "PF", "PJ"])) for _ in range(20_000)]
    async with engine.connect() as db:
        rows = await (await raw_driver_of(db)).fetch(
            "SELECT mask_personal(t, k) AS shown FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS c (t, k, n)"
            " ORDER BY n",
            [text for text, _ in cases],
            [kind for _, kind in cases],
        )
        assert await (await raw_driver_of(db)).fetchval("SELECT mask_personal(NULL, 'PF')") is None
    expected = [mask_field(text, kind) for text, kind in cases]
    wrong = [
        (case, row["shown"], right)
        for case, row, right in zip(cases, rows, expected, strict=True)
        if row["shown"] != right
    ]
    assert wrong == []
    assert sum(text != shown for (text, _), shown in zip(cases, expected, strict=True)) > 100


def asked(entity: Entity, *parameters: tuple[str, str], may_see_all: bool = False) -> Question:
    question = parse_question(entity, parameters, may_see_all=may_see_all, has_pages=False)
    return question if any(name == "campos" for name, _ in parameters) else with_file_fields(question)


async def copied(engine: AsyncEngine, question: Question, **options: Any) -> tuple[int, list[dict[str, str]]]:
    output = io.BytesIO()
    async with engine.connect() as db:
        rows = await copy_csv(await raw_driver_of(db), question, output, **options)
    return rows, list(csv.DictReader(io.StringIO(output.getvalue().decode(), newline="")))


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.address)
async def test_every_entity_can_be_copied_in_each_of_its_orders(engine: AsyncEngine, entity: Entity) -> None:
    await fill(engine)
    for order in entity.orders:
        if order == RELEVANCE:
            continue  # of which the next test is
        for direction in ("asc", "desc"):
            rows, found = await copied(engine, asked(entity, ("ordem", f"{order}:{direction}")))
            assert rows == len(found) >= 3


async def test_a_file_by_relevance_has_all_rows(engine: AsyncEngine) -> None:
    await insert(engine, "fornecedores", *({"ni": str(n), "nome": "x"} for n in range(3)))
    async with engine.begin() as db:
        await db.execute(
            text("UPDATE fornecedores SET busca = to_tsvector('pncp', repeat('pneu ', 1 + CAST(ni AS int)))")
        )
    question = asked(ENTITIES_BY_ADDRESS["fornecedores"], ("q", "pneu"), ("ordem", RELEVANCE), ("ni", "0,1,2"))
    rows, found = await copied(engine, question)
    assert (rows, [each["ni"] for each in found]) == (3, ["2", "1", "0"])


HOSTILE = ["'", "''; DROP TABLE fornecedores; --", "\\", "\\'", "$1", "$$", "E'\\x00'", '"', "{a,b}", "%s", ":x", "é€"]


@pytest.mark.parametrize("value", HOSTILE)
async def test_values_of_filters_stay_values(database: Database, engine: AsyncEngine, value: str) -> None:
    await insert(engine, "fornecedores", {"ni": value, "nome": "x"}, {"ni": "other", "nome": "y"})
    rows, found = await copied(
        engine, asked(ENTITIES_BY_ADDRESS["fornecedores"], ("ni", value.replace(",", "")), ("ni", value))
    )
    assert rows == len(found)
    assert {each["nome"] for each in found} <= {"x"}
    if "," not in value:
        assert [each["ni"] for each in found] == [value]
    assert await database.value("SELECT count(*) FROM fornecedores") == 2


async def test_null_and_empty_texts_differ(engine: AsyncEngine) -> None:
    await insert(engine, "orgaos", {"cnpj": "1", "razao_social": ""}, {"cnpj": "2", "razao_social": None})
    output = io.BytesIO()
    async with engine.connect() as db:
        driver = await raw_driver_of(db)
        question = asked(ENTITIES_BY_ADDRESS["orgaos"], ("campos", "cnpj,razao_social"))
        assert await copy_csv(driver, question, output) == 2
        assert await count_rows(driver, question, most=100) == await count_rows(driver, question, most=5) == 2
        assert await count_rows(driver, question, most=0) == 1
    assert output.getvalue() == b'cnpj,razao_social\n1,""\n2,\n'


async def test_a_viewer_gets_no_payload_and_masked_cpfs(engine: AsyncEngine) -> None:
    fornecedores = ENTITIES_BY_ADDRESS["fornecedores"]
    await insert(engine, "fornecedores", {"tipo_pessoa": "PF", "ni": CPF, "nome": f"Ana {CPF}"})
    _, found = await copied(engine, asked(fornecedores))
    assert (found[0]["ni"], found[0]["nome"]) == ("***.982.247-**", "Ana ***.982.247-**")
    _, found = await copied(engine, asked(fornecedores, ("campos", "ni")))
    assert found == [{"ni": "***.982.247-**"}]
    _, found = await copied(engine, asked(fornecedores, ("dados_pessoais", "true"), may_see_all=True))
    assert found[0]["ni"] == CPF
    for question in (asked(fornecedores, ("campos", "todos")), asked(fornecedores, ("campos", "payload"))):
        with pytest.raises(RequestValidationError, match="payload"):
            check_fields(question)
    check_fields(asked(fornecedores, ("campos", "todos"), ("dados_pessoais", "true"), may_see_all=True))


async def test_a_limit_keeps_the_first_rows_and_those_without_the_value_come_last(engine: AsyncEngine) -> None:
    rows = [
        {"numero_controle_pncp_ata": f"ata-{n}", "data_publicacao_pncp": None if n == 2 else datetime(2026, 1, n)}
        for n in range(1, 5)
    ]
    await insert(engine, "atas", *rows)
    atas = ENTITIES_BY_ADDRESS["atas"]
    for order, expected in (("data_publicacao", ["4", "3", "1", "2"]), ("data_publicacao:asc", ["1", "3", "4", "2"])):
        for limit in (None, 3):
            count, found = await copied(
                engine, asked(atas, ("ordem", order), ("campos", "numero_controle_pncp_ata")), limit=limit
            )
            assert [each["numero_controle_pncp_ata"][-1] for each in found] == expected[:limit]
            assert count == len(found)
