"""Sums and facets out of the rollup, as the tables have them; nothing is asked of the tables themselves."""

import itertools
import statistics
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from backend.models.summary import Summary
from backend.services import facets as facets_module
from backend.services.entities.question import parse_question
from backend.services.facets import load_facets
from backend.services.summary import load_rollup_total, load_summary
from common.database import raw_driver_of
from common.entities.entity import ENTITIES_BY_ADDRESS
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.description import Resource
from tests.integration.conftest import Database
from tests.integration.test_rollup import forget, keep, resource, store_some

assert resource  # a fixture

MONTHS = """
    UPDATE {table} SET data_publicacao_pncp = data_publicacao_pncp
           + make_interval(months => (random() * 3)::int)
"""


async def fill(database: Database, resource: Resource, *, adds_up: bool) -> None:
    """Records of several months, some of them not added up yet."""
    await store_some(database, resource, 40, seed=1)
    await database.rows(MONTHS.format(table=resource.name))
    await keep(database)
    await store_some(database, resource, 50, seed=2, version=2)
    await database.rows(MONTHS.format(table=resource.name))
    if adds_up:
        await keep(database)


COLUMNS = {
    "contratacoes": {
        "uf": "unidade_orgao_uf_sigla",
        "esfera": "orgao_entidade_esfera_id",
        "modalidade": "modalidade_id",
        "plataforma": "left(usuario_nome, 100)",
    },
    "contratos": {
        "uf": "unidade_orgao_uf_sigla",
        "esfera": "orgao_entidade_esfera_id",
        "tipo": "tipo_contrato_id",
        "receita": "receita",
        "plataforma": "left(usuario_nome, 100)",
    },
}


async def expected(database: Database, resource: Resource, group: str, where: str = "true") -> dict[str | None, Any]:
    """What the table says, by the values of a group."""
    columns = {
        **COLUMNS[resource.name],
        "mes": "date_trunc('month', data_publicacao_pncp)::date",
        "dia": "data_publicacao_pncp::date",
    }
    amounts = {
        "contratacoes": "sum(valor_total_estimado), sum(valor_total_homologado), NULL::numeric, NULL::numeric",
        "contratos": """NULL::numeric, NULL::numeric, sum(valor_global) FILTER (WHERE receita IS NOT TRUE),
                        sum(valor_global) FILTER (WHERE receita)""",
    }[resource.name]
    rows = await database.rows(
        f"SELECT ({columns[group]})::text, count(*), {amounts} FROM {resource.name} WHERE {where} GROUP BY 1"
    )
    return {row[0]: (row[1], *(amount or 0 for amount in row[2:])) for row in rows}


def found(rows: Any) -> dict[str | None, Any]:
    return {
        row.valor: (
            row.registros,
            *(
                amount or 0
                for amount in (row.valor_estimado, row.valor_homologado, row.valor_global, row.valor_receita)
            ),
        )
        for row in rows
    }


@pytest.mark.parametrize("adds_up", [True, False])
async def test_every_group_is_what_the_table_says(database: Database, resource: Resource, *, adds_up: bool) -> None:
    await fill(database, resource, adds_up=adds_up)
    groups: list[Any] = ["mes", *COLUMNS[resource.name]]
    async with database.engine.connect() as db:
        by_month = await load_summary(db, resource, groups, {})
        by_day = await load_summary(db, resource, [*groups, "dia"], {})
    assert (by_month.registros, by_month.completo) == (50, True)
    for group in groups:
        assert found(by_month.grupos[group]) == await expected(database, resource, group), group
        assert by_day.grupos[group] == by_month.grupos[group], group
    assert found(by_day.grupos["dia"]) == await expected(database, resource, "dia")
    of_all = by_month.model_dump(exclude={"grupos"})
    assert of_all == by_day.model_dump(exclude={"grupos"})


async def test_filters_hold_together_and_days_include_both_ends(database: Database, resource: Resource) -> None:
    await fill(database, resource, adds_up=False)
    where = """unidade_orgao_uf_sigla IN ('SP', 'MG') AND left(usuario_nome, 100) = repeat('A', 100)
               AND data_publicacao_pncp >= '2025-03-11' AND data_publicacao_pncp < '2025-05-13'"""
    span = await database.row("SELECT CAST('2025-03-11' AS date), CAST('2025-05-12' AS date)")
    async with database.engine.connect() as db:
        filters = {"uf": ["SP", "MG"], "plataforma": ["A" * 100]}
        summary = await load_summary(db, resource, ["uf", "mes"], filters, tuple(span))  # type: ignore[arg-type]
        months = await load_summary(db, resource, ["mes"], {}, (span[0].replace(day=1), span[1].replace(day=31)))
    assert found(summary.grupos["uf"]) == await expected(database, resource, "uf", where)
    assert found(summary.grupos["mes"]) == await expected(database, resource, "mes", where)
    of_months = "data_publicacao_pncp >= '2025-03-01' AND data_publicacao_pncp < '2025-06-01'"
    assert found(months.grupos["mes"]) == await expected(database, resource, "mes", of_months)


async def test_contratos_can_be_asked_for_without_empenhos(database: Database) -> None:
    await fill(database, CONTRATOS, adds_up=True)
    async with database.engine.connect() as db:
        by_month = await load_summary(db, CONTRATOS, ["uf"], {}, empenhos=False)
        by_day = await load_summary(db, CONTRATOS, ["uf"], {"uf": ["SP", "MG"]}, empenhos=False)
    assert found(by_month.grupos["uf"]) == await expected(database, CONTRATOS, "uf", "tipo_contrato_id <> 7")
    assert {row.valor for row in by_day.grupos["uf"]} == {"SP", "MG"}
    assert by_day.grupos["uf"] == [row for row in by_month.grupos["uf"] if row.valor]


async def total_of(database: Database, address: str, query: str) -> int | None:
    question = parse_question(ENTITIES_BY_ADDRESS[address], parse_qsl(query))
    async with database.engine.connect() as db:
        return await load_rollup_total(await raw_driver_of(db), question)


APRIL_AND_MAY = "data_publicacao_pncp >= '2025-04-01' AND data_publicacao_pncp < '2025-06-01'"


@pytest.mark.parametrize("adds_up", [True, False])
@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ("", "true"),
        ("uf=SP,MG", "unidade_orgao_uf_sigla IN ('SP', 'MG')"),
        (
            "plataforma=B&tipo_contrato=7,1&receita=false",
            "usuario_nome = 'B' AND tipo_contrato_id IN (7, 1) AND NOT receita",
        ),
        ("uf=SP&sem_empenhos=true", "unidade_orgao_uf_sigla = 'SP' AND tipo_contrato_id IS DISTINCT FROM 7"),
        (
            "data_publicacao_de=2025-04-01&data_publicacao_ate=2025-05-31&esfera=M",
            f"orgao_entidade_esfera_id = 'M' AND {APRIL_AND_MAY}",
        ),
    ],
)
async def test_totals_of_months_and_one_margin_come_out_of_the_rollup(
    database: Database, asked: str, where: str, *, adds_up: bool
) -> None:
    await fill(database, CONTRATOS, adds_up=adds_up)
    expected_total = await database.value(f"SELECT count(*) FROM contratos WHERE {where}")
    assert expected_total > 0
    assert await total_of(database, "contratos", asked) == expected_total


async def test_modalidades_are_a_margin_by_their_codes(database: Database) -> None:
    await fill(database, CONTRATACOES, adds_up=False)
    most = await database.value("SELECT modalidade_id FROM contratacoes GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    expected_total = await database.value(f"SELECT count(*) FROM contratacoes WHERE modalidade_id = {most}")
    assert await total_of(database, "contratacoes", f"modalidade={most}") == expected_total > 0


@pytest.mark.parametrize(
    "asked", ["uf=SP&esfera=M", "data_publicacao_de=2025-04-02", "categoria=1", "q=pneu", "codigo_ibge=1"]
)
async def test_other_totals_are_counted(database: Database, asked: str) -> None:
    await fill(database, CONTRATOS, adds_up=True)
    assert await total_of(database, "contratos", asked) is None


async def test_a_rollup_that_does_not_know_all_records_gives_no_total(
    database: Database, api: httpx.AsyncClient
) -> None:
    await store_some(database, CONTRATOS, 10)
    await forget(database)
    assert await total_of(database, "contratos", "") is None
    answer = (await api.get("/contratos?limite=1")).json()
    assert (answer["total"], answer["total_tipo"]) == (10, "exato")


async def test_an_empty_mirror_has_sums_of_nothing(database: Database, api: httpx.AsyncClient) -> None:
    await keep(database)
    answer = (await api.get("/atas/resumo")).json()
    assert (answer["registros"], answer["completo"], answer["grupos"]) == (0, True, {"mes": [], "plataforma": []})
    assert await total_of(database, "atas", "") == 0


async def test_the_endpoint_gives_exact_decimals_as_text(database: Database, api: httpx.AsyncClient) -> None:
    await store_some(database, CONTRATOS, 50)
    exact = await database.value("SELECT sum(valor_global) FROM contratos WHERE receita IS NOT TRUE")
    answer = (await api.get("/contratos/resumo", params={"agrupar": "receita,mes"})).json()
    assert Decimal(answer["valor_global"]) == exact
    assert set(answer["grupos"]) == {"receita", "mes"}
    assert {row["valor"] for row in answer["grupos"]["receita"]} == {"true", "false", None}
    assert answer["grupos"]["mes"][0]["valor"] == "2025-03-01"
    defaults = (await api.get("/contratos/resumo")).json()
    assert list(defaults["grupos"]) == ["mes", "uf", "tipo", "plataforma"]
    filtered = (await api.get("/contratos/resumo?uf=SP,MG&uf=RJ&tipo_contrato=7&plataforma=B&agrupar=uf")).json()
    where = "tipo_contrato_id = 7 AND usuario_nome = 'B' AND unidade_orgao_uf_sigla IN ('SP', 'MG')"
    assert filtered["registros"] == await database.value(f"SELECT count(*) FROM contratos WHERE {where}")


async def test_a_round_amount_is_written_without_an_exponent(database: Database, api: httpx.AsyncClient) -> None:
    """The driver reads 200000 as 2.0E+5."""
    await store_some(database, CONTRATOS, 1)
    for amount in ("200000", "0.0000", "12300000000.50"):
        await database.rows(f"UPDATE contratos SET receita = false, valor_global = {amount}")
        await forget(database)
        await keep(database)
        assert (await api.get("/contratos/resumo")).json()["valor_global"] == amount


async def test_a_rollup_that_is_still_counted_says_so(database: Database, api: httpx.AsyncClient) -> None:
    await store_some(database, CONTRATOS, 10)
    await forget(database)
    answer = (await api.get("/contratos/resumo")).json()
    assert (answer["completo"], answer["contado_desde"]) == (False, None)
    await keep(database)
    answer = (await api.get("/contratos/resumo")).json()
    assert (answer["completo"], answer["registros"]) == (True, 10)


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/unidades/resumo", 404, "Não existe nada neste endereço"),
        ("/atas/resumo?agrupar=uf", 422, "deve ser dia, mes, plataforma"),
        ("/contratos/resumo?agrupar=municipio", 422, "deve ser dia, mes"),
        ("/contratos/resumo?municipo=1", 422, "o mais próximo é municipio"),
        ("/contratos/resumo?limite=1", 422, "não é um parâmetro"),
        ("/contratos/resumo?data_publicacao_de=2025-02-30", 422, "não existe no calendário"),
        ("/contratacoes/resumo?modalidade=x", 422, "número inteiro"),
        ("/contratos/facetas?facetas=objeto_contrato", 422, "deve ser"),
        ("/contratos/facetas?facetas=uf,esfera,tipo_contrato,plataforma,receita,categoria,ano", 422, "no máximo 6"),
    ],
)
async def test_what_cannot_be_answered_is_said(api: httpx.AsyncClient, address: str, status: int, says: str) -> None:
    answer = await api.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ("uf=SP,MG", "unidade_orgao_uf_sigla IN ('SP', 'MG')"),
        ("sem_empenhos=true", "tipo_contrato_id IS DISTINCT FROM 7"),
        ("sem_empenhos=false", "tipo_contrato_id = 7"),
        ("receita=true&data_publicacao_de=2025-04-01", "receita AND data_publicacao_pncp >= '2025-04-01'"),
        ("data_publicacao_ate=2025-04-10", "data_publicacao_pncp < '2025-04-11'"),
        ("data_publicacao_ate=2025-04-10T12:00:00", "data_publicacao_pncp <= '2025-04-10 12:00'"),
        ("valor_min=1000", "valor_global >= 1000"),
        ("cnpj_raiz=00000000&uf=SP", "left(orgao_entidade_cnpj, 8) = '00000000' AND unidade_orgao_uf_sigla = 'SP'"),
    ],
)
async def test_sums_with_any_filter_are_those_of_the_table(
    database: Database, api: httpx.AsyncClient, asked: str, where: str
) -> None:
    await fill(database, CONTRATOS, adds_up=False)
    answer = await api.get(f"/contratos/resumo?{asked}&agrupar=uf,mes")
    assert answer.status_code == 200, answer.text
    summary = Summary(**answer.json())
    assert summary.registros == await database.value(f"SELECT count(*) FROM contratos WHERE {where}")
    assert found(summary.grupos["uf"]) == await expected(database, CONTRATOS, "uf", where)
    assert found(summary.grupos["mes"]) == await expected(database, CONTRATOS, "mes", where)
    assert summary.espelho is not None


async def test_the_last_day_of_the_calendar_is_a_day(api: httpx.AsyncClient) -> None:
    assert (await api.get("/contratos/resumo?data_publicacao_ate=9999-12-31")).status_code == 200


# --- facets -----------------------------------------------------------------------------------------------------


def counts(facet: dict[str, Any]) -> dict[str | None, int]:
    return {value["valor"]: value["registros"] for value in facet["valores"]}


@pytest.mark.parametrize("also", ["", "&valor_min=0"])
async def test_a_facet_is_counted_without_its_own_filter(database: Database, api: httpx.AsyncClient, also: str) -> None:
    """Out of the rollup, and with a filter that it does not know out of the table."""
    await fill(database, CONTRATOS, adds_up=True)
    answer = (await api.get(f"/contratos/facetas?facetas=uf,tipo_contrato&uf=SP&tipo_contrato=7{also}")).json()
    for name, column, where in (
        ("uf", "unidade_orgao_uf_sigla", "tipo_contrato_id = 7"),
        ("tipo_contrato", "tipo_contrato_id", "unidade_orgao_uf_sigla = 'SP'"),
    ):
        whole = where + (" AND valor_global >= 0" if also else "")
        rows = await database.rows(f"SELECT {column}::text, count(*) FROM contratos WHERE {whole} GROUP BY 1")
        assert counts(answer["facetas"][name]) == {row[0]: row[1] for row in rows}
        assert (answer["facetas"][name]["outros"], answer["facetas"][name]["incompleta"]) == (0, False)
    assert not answer["espelho"]["completo"]
    defaults = (await api.get("/contratos/facetas")).json()["facetas"]
    assert list(defaults) == ["uf", "esfera", "tipo_contrato", "plataforma", "tipo_pessoa"]


async def test_a_facet_that_takes_too_long_is_incomplete_and_the_others_are_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_some(database, CONTRATOS, 5)
    entity = ENTITIES_BY_ADDRESS["contratos"]
    question = parse_question(entity, [("tipo_contrato", "7"), ("valor_min", "0")])
    slow = replace(question.asked["valor_min"], sql="pg_sleep(0.5) IS NOT NULL", value=None)
    question = replace(question, asked={**question.asked, "valor_min": slow})
    monkeypatch.setattr(facets_module, "FACET_SECONDS", 0.1)
    async with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as db:
        facets = await load_facets(db, question, ["uf", "tipo_contrato"])
        assert (await db.exec_driver_sql("SELECT 1")).scalar_one() == 1
    assert (facets["uf"].incompleta, facets["uf"].valores) == (True, [])


async def test_of_many_values_fifty_are_named_and_the_others_counted(database: Database) -> None:
    await store_some(database, CONTRATOS, 60)
    question = parse_question(ENTITIES_BY_ADDRESS["contratos"], [])
    async with database.engine.connect() as db:
        facets = await load_facets(db, question, ["numero_controle_pncp"])
    assert (len(facets["numero_controle_pncp"].valores), facets["numero_controle_pncp"].outros) == (50, 10)
    names = [value.valor or "" for value in facets["numero_controle_pncp"].valores]
    assert all(first < second for first, second in itertools.pairwise(names))


@pytest.mark.parametrize("asked", [{}, {"uf": "SP,SC,RJ,MG"}])
async def test_medians_are_those_of_the_amounts_above_zero(
    database: Database, resource: Resource, api: httpx.AsyncClient, asked: dict[str, str]
) -> None:
    await fill(database, resource, adds_up=True)
    names = {"contratacoes": ("estimado", "homologado"), "contratos": ("global",)}[resource.name]
    columns = {name: f"valor_{'total_' if name != 'global' else ''}{name}" for name in names}
    await database.rows(
        f"UPDATE {resource.name} SET {', '.join(f'{each} = 0' for each in columns.values())}"
        f" WHERE {resource.key} IN (SELECT {resource.key} FROM {resource.name} LIMIT 7)"
    )
    rows = await database.rows(f"SELECT * FROM {resource.name}")

    plain = (await api.get(f"/{resource.name}/resumo", params=asked)).json()
    summary = (await api.get(f"/{resource.name}/resumo", params={**asked, "medianas": "true", "agrupar": "uf"})).json()

    wanted = asked["uf"].split(",") if asked else None
    for name, column in columns.items():
        known = [
            (row.unidade_orgao_uf_sigla, getattr(row, column))
            for row in rows
            if (getattr(row, column) or 0) > 0 and not getattr(row, "receita", False)
            if wanted is None or row.unidade_orgao_uf_sigla in wanted
        ]
        assert plain[f"mediana_{name}"] is None
        assert Decimal(summary[f"mediana_{name}"]) == statistics.median(value for _, value in known)
        for group in summary["grupos"]["uf"]:
            of_group = [value for uf, value in known if uf == group["valor"]]
            said = group[f"mediana_{name}"]
            assert (None if said is None else Decimal(said)) == (statistics.median(of_group) if of_group else None)
