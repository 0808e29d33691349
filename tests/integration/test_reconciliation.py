"""The reconciliation of own purchases with the portal, against a model of it and with planted differences."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from common.clock import BRASILIA
from common.connections.loading import no_connections
from common.database import driver_of
from common.entities.declared import digest_of, to_json
from common.entities.reconciliation import (
    AMBIGUOUS,
    DIFFERS,
    EQUAL,
    LATE,
    MISSING,
    NAME,
    ONLY_PORTAL,
    SITUATIONS,
    UNCOMPARED,
    UNNAMED,
)
from simulator.generated import generate
from standalone.purchases import plan
from tests.integration.conftest import Database, OpenApi

DAYS = 20
TODAY = datetime.now(BRASILIA).date()
CITY, STATE, OTHER = "03112386000111", "46675997000180", "00394460000141"


def control(cnpj: str, sequence: int, year: int) -> str:
    return f"{cnpj}-1-{sequence:06}/{year}"


@dataclass
class Portal:
    """Contratações as the mirror has them."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, cnpj: str, sequence: int, published: date, **more: Any) -> str:
        """Add one of the year in which it is published, and answer its number."""
        year = more.pop("ano_compra", published.year)
        number = control(cnpj, sequence, year)
        self.rows[number] = {
            "numero_controle_pncp": number,
            "data_publicacao_pncp": datetime.combine(published, datetime.min.time()) + timedelta(hours=15),
            "ano_compra": year,
            "sequencial_compra": sequence,
            "orgao_entidade_cnpj": cnpj,
            "orgao_entidade_razao_social": f"Órgão {cnpj}",
            "objeto_compra": "Objeto no portal",
            **dict.fromkeys(("numero_compra", "processo", "valor_total_estimado", "valor_total_homologado")),
            "ausente_desde": None,
            **more,
        }
        return number

    async def store(self, database: Database) -> None:
        rows = [
            {
                **row,
                "data_atualizacao": row["data_publicacao_pncp"],
                "data_atualizacao_global": row["data_publicacao_pncp"],
            }
            for row in self.rows.values()
        ]
        names = list(rows[0])
        values = ", ".join(f":{name}" for name in names)
        statement = f"INSERT INTO contratacoes ({', '.join(names)}, payload) VALUES ({values}, '{{}}')"
        async with database.engine.begin() as db:
            await db.execute(text(statement), rows)


async def store_purchases(database: Database, purchases: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [
        {"key": key, "data": to_json({"numero": key, **data}), "digest": digest_of({"numero": key, **data})}
        for key, data in purchases.items()
    ]
    statement = (
        "INSERT INTO entity_records (entity, key, data, digest) VALUES ('compras', :key, CAST(:data AS jsonb), :digest)"
    )
    async with database.engine.begin() as db:
        await db.execute(text(statement), rows)


async def read_view(database: Database, columns: str) -> Sequence[Any]:
    view = str(no_connections(DAYS).declarations[NAME].view).replace(":", r"\:")  # no parameters of statements
    return await database.rows(f"SELECT {columns} FROM {view} v")


async def rows_of(api: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    """All rows of the list, page by page."""
    rows: list[dict[str, Any]] = []
    asked = {"limite": 7, "contagem": "nao", **parameters}
    while True:
        answer = await api.get("/conciliacao", params=asked)
        assert answer.status_code == 200, answer.text
        rows += answer.json(parse_float=Decimal)["registros"]
        if answer.json()["proximo"] is None:
            return rows
        asked = {**asked, "cursor": answer.json()["proximo"]}


# --- planted differences ----------------------------------------------------------------------------------------


@dataclass
class Planted:
    """Purchases and contratações, and what must be found of each."""

    portal: Portal = field(default_factory=Portal)
    purchases: dict[str, dict[str, Any]] = field(default_factory=dict)
    expected: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def buy(
        self, key: str, situation: str, *, cnpj: str = CITY, signed: date | None = date(2026, 3, 2), **more: Any
    ) -> None:
        """A purchase; the names of `more` that begin with `is_` are what must be found."""
        found = {name.removeprefix("is_"): value for name, value in more.items() if name.startswith("is_")}
        said = {name: value for name, value in more.items() if not name.startswith("is_")}
        if signed is not None:
            said["data_assinatura"] = signed.isoformat()
        self.purchases[key] = {"orgao_cnpj": cnpj, "objeto": "Objeto", **said}
        self.expected[key, "compra"] = {"situacao": situation, **found}


def _plant_several(made: Planted, soon: date, value: Mapping[str, Decimal]) -> None:
    """Contratações that several purchases name."""
    add, buy = made.portal.add, made.buy
    shared = add(CITY, 12, soon, **value)
    for key, part in (("parte_1", Decimal("60.50")), ("parte_2", Decimal(30))):
        together = {"is_compras": 2, "is_valor_das_compras": Decimal("90.5"), "is_valor_pncp": Decimal("90.5")}
        buy(key, EQUAL, numero_controle_pncp=shared, valor_homologado=part, is_valor_proprio=part, **together)
    short = add(CITY, 13, soon, processo="P13", **value)
    buy("falta_1", DIFFERS, numero_controle_pncp=short, valor_homologado=60, is_diferenca=Decimal("-20.5"))
    buy("falta_2", DIFFERS, processo="P-13", valor_homologado=10, is_diferenca=Decimal("-20.5"), is_compras=2)
    three = add(CITY, 15, soon, **value)
    for key, part in (("um_de_tres", 10), ("dois_de_tres", 20), ("tres_de_tres", Decimal("60.49"))):
        buy(key, DIFFERS, numero_controle_pncp=three, valor_homologado=part, is_diferenca=Decimal("-0.01"))
    half = add(CITY, 14, soon, **value)
    buy(
        "com",
        UNCOMPARED,
        numero_controle_pncp=half,
        is_valor_das_compras=None,
        is_valor_proprio=Decimal("90.5"),
        valor_homologado=Decimal("90.5"),
    )
    buy("sem", UNCOMPARED, numero_controle_pncp=half, is_compras=2)


def plant() -> Planted:
    """Every kind of difference, and neighbours that are none."""
    made = Planted()
    soon, late = date(2026, 3, 10), date(2026, 3, 2) + timedelta(days=DAYS + 1)
    add, buy = made.portal.add, made.buy
    value = {"valor_total_estimado": Decimal("100.00"), "valor_total_homologado": Decimal("90.5000")}
    own = {"valor_estimado": Decimal(100), "valor_homologado": Decimal("90.50")}

    # found by each of its numbers
    by_number = add(CITY, 1, soon, **value)
    buy(
        "numero",
        EQUAL,
        numero_controle_pncp=by_number,
        is_numero_controle_pncp=by_number,
        is_dias=8,
        is_atrasada=False,
        is_diferenca=0,
        is_comparado="homologado",
        is_identificada_por="numero_controle_pncp",
        **own,
    )
    by_sequence = add(CITY, 2, soon, **value)
    buy(
        "sequencial",
        EQUAL,
        ano=2026,
        sequencial=2,
        is_numero_controle_pncp=by_sequence,
        is_identificada_por="ano_sequencial",
        **own,
    )
    by_process = add(CITY, 3, soon, processo="Proc. 12-34/2026", **value)
    buy(
        "processo",
        EQUAL,
        processo="PROC 1234/2026",
        is_numero_controle_pncp=by_process,
        is_identificada_por="processo",
        is_candidatas=1,
        **own,
    )
    by_notice = add(CITY, 4, soon, numero_compra="00017", **value)
    add(CITY, 17, date(2025, 5, 5), numero_compra="17")  # of the year before
    buy(
        "edital",
        EQUAL,
        numero_edital="17/2026",
        is_numero_controle_pncp=by_notice,
        is_identificada_por="numero_edital",
        **own,
    )

    # the value
    buy(
        "centavo",
        DIFFERS,
        numero_controle_pncp=add(CITY, 5, soon, **value),
        valor_homologado=Decimal("90.51"),
        is_diferenca=Decimal("0.01"),
        is_valor_proprio=Decimal("90.51"),
        is_valor_pncp=Decimal("90.50"),
    )
    buy(
        "milesimo",
        EQUAL,
        numero_controle_pncp=add(CITY, 6, soon, valor_total_homologado=Decimal("10.0049")),
        valor_homologado=Decimal("10.00"),
    )
    buy(
        "estimado",
        DIFFERS,
        numero_controle_pncp=add(CITY, 7, soon, **value),
        valor_homologado=Decimal("90.5"),
        valor_estimado=Decimal(99),
        is_comparado="estimado",
        is_diferenca=-1,
    )
    buy(
        "so_estimado",
        EQUAL,
        numero_controle_pncp=add(CITY, 8, soon, valor_total_estimado=Decimal(100)),
        is_comparado="estimado",
        **own,
    )
    buy(
        "sigiloso",
        UNCOMPARED,
        numero_controle_pncp=add(CITY, 9, soon, valor_total_estimado=Decimal(0)),
        valor_estimado=Decimal(55),
        is_comparado=None,
        is_diferenca=None,
        is_valor_proprio=55,
    )
    buy("sem_valor", UNCOMPARED, numero_controle_pncp=add(CITY, 10, soon, **value))
    buy(
        "homologado_zero",
        DIFFERS,
        numero_controle_pncp=add(CITY, 11, soon, valor_total_homologado=Decimal(0)),
        is_diferenca=Decimal("90.5"),
        **own,
    )

    _plant_several(made, soon, value)

    # the deadline
    last = date(2026, 3, 2) + timedelta(days=DAYS)
    buy("no_prazo", EQUAL, numero_controle_pncp=add(CITY, 20, last, **value), is_dias=DAYS, is_atrasada=False, **own)
    buy("tarde", LATE, numero_controle_pncp=add(CITY, 21, late, **value), is_dias=DAYS + 1, is_atrasada=True, **own)
    buy(
        "tarde_e_difere",
        DIFFERS,
        numero_controle_pncp=add(CITY, 22, late, **value),
        valor_homologado=1,
        is_atrasada=True,
    )
    buy("antes", EQUAL, numero_controle_pncp=add(CITY, 23, date(2026, 2, 1), **value), is_dias=-29, **own)
    buy(
        "sem_data",
        EQUAL,
        numero_controle_pncp=add(CITY, 24, soon, **value),
        signed=None,
        is_dias=None,
        is_atrasada=None,
        **own,
    )

    # not there
    buy(
        "sumiu",
        MISSING,
        numero_controle_pncp=control(CITY, 99, 2026),
        signed=TODAY - timedelta(days=DAYS + 1),
        is_dias=DAYS + 1,
        is_atrasada=True,
        is_numero_controle_pncp=control(CITY, 99, 2026),
    )
    buy(
        "ainda_no_prazo",
        MISSING,
        ano=2026,
        sequencial=98,
        signed=TODAY - timedelta(days=DAYS),
        is_dias=DAYS,
        is_atrasada=False,
    )
    buy("outro_processo", MISSING, processo="777", is_candidatas=None)
    add(OTHER, 1, soon, processo="777")  # of another órgão
    buy(
        "saiu_do_portal",
        MISSING,
        numero_controle_pncp=add(CITY, 25, soon, ausente_desde=datetime(2026, 4, 1, tzinfo=BRASILIA)),
    )
    buy("numero_errado", MISSING, numero_controle_pncp=control(CITY, 97, 2026), processo="Proc. 12-34/2026")

    # more than one, and none that is said
    add(CITY, 30, soon, processo="88/2026")
    add(CITY, 31, soon, processo="88-2026")
    buy(
        "dois",
        AMBIGUOUS,
        processo="88.2026",
        is_candidatas=2,
        is_numero_controle_pncp=None,
        is_dias=None,
        is_atrasada=None,
    )
    one = add(CITY, 32, date(2025, 12, 1), processo="89/2026")
    add(CITY, 33, soon, processo="89/2026")
    buy("um_pelo_ano", UNCOMPARED, processo="89/2026", ano=2025, is_numero_controle_pncp=one)
    made.expected[control(CITY, 33, 2026), "pncp"] = {"situacao": ONLY_PORTAL}
    buy("nada", UNNAMED, processo=" . ", is_dias=None, **own)

    # only on the portal: from the year of the first purchase on, which is 2025
    only = add(CITY, 40, soon, **value)
    made.expected[only, "pncp"] = {"situacao": ONLY_PORTAL, "valor_pncp": Decimal("90.5"), "orgao_cnpj": CITY}
    made.expected[control(CITY, 17, 2025), "pncp"] = {"situacao": ONLY_PORTAL}
    add(CITY, 41, date(2024, 12, 31))
    add(CITY, 42, soon, ausente_desde=datetime(2026, 4, 1, tzinfo=BRASILIA))
    # of a CNPJ whose purchases say no year, nothing is known to be missing
    add(STATE, 1, soon)
    buy("sem_ano", MISSING, cnpj=STATE, signed=None, processo="1")
    return made


async def test_every_planted_difference_is_found_and_nothing_else(database: Database, open_api: OpenApi) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    api = await open_api(reconciliation_days=DAYS)
    found = {(row["registro"], row["origem"]): row for row in await rows_of(api)}
    assert set(found) == set(made.expected)
    for key, expected in made.expected.items():
        assert {name: found[key][name] for name in expected} == expected, key
    assert {each["situacao"] for each in found.values()} == set(SITUATIONS), "of every kind there is one"

    summary = (await api.get("/conciliacao/resumo")).json()
    counted = {each["situacao"]: each["registros"] for each in summary["situacoes"]}
    assert counted == {name: sum(row["situacao"] == name for row in found.values()) for name in SITUATIONS}
    assert sum(sum(each["situacoes"].values()) for each in summary["meses"]) == len(found)
    assert sum(sum(each["situacoes"].values()) for each in summary["orgaos"]) == len(found)
    differing = next(each for each in summary["situacoes"] if each["situacao"] == DIFFERS)
    # once for each contratação, however many purchases it has
    of_number = {row["numero_controle_pncp"]: row for row in found.values() if row["situacao"] == DIFFERS}
    differences = [row["diferenca"] for row in of_number.values()]
    assert len(of_number) < differing["registros"]
    assert Decimal(differing["diferenca"]) == sum(differences)
    assert Decimal(differing["diferenca_absoluta"]) == sum(map(abs, differences))


# --- a model ----------------------------------------------------------------------------------------------------


def numbers_alike(first: str | None, second: str | None) -> bool:
    def bare(written: str | None) -> str:
        return "".join(each for each in (written or "").upper() if each not in " ./-")

    return bare(first) == bare(second) != ""


def notice_of(written: str | None) -> str:
    return (written or "").split("/")[0].replace(" ", "").replace(".", "").upper().lstrip("0")


def candidates_of(
    purchase: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], str | None]:
    """The contratações that a purchase may mean, and by what."""
    if purchase.get("numero_controle_pncp"):
        return [
            each for each in listed if each["numero_controle_pncp"] == purchase["numero_controle_pncp"]
        ], "numero_controle_pncp"
    year, own = purchase.get("ano"), [each for each in listed if each["orgao_entidade_cnpj"] == purchase["orgao_cnpj"]]
    if year and purchase.get("sequencial"):
        return [
            e for e in own if (e["ano_compra"], e["sequencial_compra"]) == (year, purchase["sequencial"])
        ], "ano_sequencial"
    if numbers_alike(purchase.get("processo"), purchase.get("processo")):
        of_process = [each for each in own if numbers_alike(each["processo"], purchase["processo"])]
        return [each for each in of_process if year in (None, each["ano_compra"])], "processo"
    notice = purchase.get("numero_edital")
    if not notice_of(notice):
        return [], None
    behind = notice.split("/")[1] if "/" in notice else ""
    year = year or (int(behind) if len(behind) == 4 and behind.isdigit() else None)
    of_notice = [each for each in own if notice_of(each["numero_compra"]) == notice_of(notice)]
    return [each for each in of_notice if year in (None, each["ano_compra"])], "numero_edital"


def cents(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(Decimal("0.01"), "ROUND_HALF_UP")


def total(purchases: Sequence[Mapping[str, Any]], name: str) -> Decimal | None:
    values = [each.get(name) for each in purchases]
    return None if None in values else sum(values, Decimal(0))


def judge(
    purchase: Mapping[str, Any], same: Sequence[Mapping[str, Any]], found: Mapping[str, Any]
) -> tuple[str, Decimal | None]:
    """What a purchase comes to; `same`: the purchases of its contratação, of which it is one."""
    pairs = (
        (total(same, "valor_homologado"), found["valor_total_homologado"]),
        (total(same, "valor_estimado"), found["valor_total_estimado"] or None),
    )
    differences = [cents(a) - cents(b) for a, b in pairs if a is not None and b is not None]  # type: ignore[operator]
    difference = next((each for each in differences if each), differences[0] if differences else None)
    if difference:
        return DIFFERS, difference
    signed = purchase.get("data_assinatura")
    if signed and (found["data_publicacao_pncp"].date() - date.fromisoformat(signed)).days > DAYS:
        return LATE, difference
    return (UNCOMPARED if difference is None else EQUAL), difference


def model(purchases: Mapping[str, Mapping[str, Any]], portal: Portal) -> dict[tuple[str, str], tuple[str, Any, Any]]:
    """Situation, number and difference of each row."""
    listed = [each for each in portal.rows.values() if each["ausente_desde"] is None]
    rows: dict[tuple[str, str], tuple[str, Any, Any]] = {}
    meant: set[str] = set()
    first: dict[str, int] = {}
    same: dict[str, list[Mapping[str, Any]]] = {}
    for purchase in purchases.values():
        candidates, _ = candidates_of(purchase, listed)
        if len(candidates) == 1:
            same.setdefault(candidates[0]["numero_controle_pncp"], []).append(purchase)
    for key, purchase in purchases.items():
        candidates, by = candidates_of(purchase, listed)
        meant |= {each["numero_controle_pncp"] for each in candidates}
        said = purchase.get("numero_controle_pncp")
        if not said and by == "ano_sequencial":
            said = control(purchase["orgao_cnpj"], purchase["sequencial"], purchase["ano"])
        if len(candidates) == 1:
            number = candidates[0]["numero_controle_pncp"]
            situation, difference = judge(purchase, same[number], candidates[0])
            rows[key, "compra"] = (situation, number, difference)
        else:
            situation = AMBIGUOUS if candidates else MISSING if by else UNNAMED
            rows[key, "compra"] = (situation, said or None, None)
        signed = purchase.get("data_assinatura")
        year = purchase.get("ano") or (int(signed[:4]) if signed else int(said[-4:]) if said else None)
        if year:
            first[purchase["orgao_cnpj"]] = min(year, first.get(purchase["orgao_cnpj"], year))
    for each in listed:
        number, cnpj = each["numero_controle_pncp"], each["orgao_entidade_cnpj"]
        if number not in meant and cnpj in first and each["ano_compra"] >= first[cnpj]:
            rows[number, "pncp"] = (ONLY_PORTAL, number, None)
    return rows


def scatter(seed: int) -> tuple[Portal, dict[str, dict[str, Any]]]:
    """Contratações and purchases whose numbers and values meet often, and differ often."""
    rng = random.Random(seed)
    pick = rng.choice
    portal, purchases = Portal(), dict[str, dict[str, Any]]()
    amounts = [None, Decimal(0), Decimal(10), Decimal("10.004"), Decimal("10.005"), Decimal("12.30")]
    processes = [None, "", "1/2025", "1-2025", "12025", " 2/2025", "A.3", "a3", "-"]
    notices = [None, "7", "007", "7/2025", "7/2026", "8 / 2025", "B-1", "0", "00/2025"]
    for sequence in range(1, 120):
        published = date(2024, 1, 1) + timedelta(days=rng.randrange(1000))
        portal.add(
            pick([CITY, STATE, OTHER]),
            sequence % 40,
            published,
            processo=pick(processes),
            numero_compra=pick(notices),
            valor_total_estimado=pick(amounts),
            valor_total_homologado=pick(amounts),
            ausente_desde=pick([None] * 5 + [datetime(2026, 1, 1, tzinfo=BRASILIA)]),
        )
    for number in range(150):
        near = pick(list(portal.rows.values()))
        said: dict[str, Any] = {
            "orgao_cnpj": pick([CITY, CITY, STATE]),
            "numero_controle_pncp": pick([None, None, None, near["numero_controle_pncp"], control(CITY, 999, 2025)]),
            "ano": pick([None, None, 2024, 2025, 2026]),
            "sequencial": pick([None, None, rng.randrange(1, 45)]),
            "processo": pick(processes),
            "numero_edital": pick(notices),
            "valor_estimado": pick(amounts[:3] + amounts[5:]),
            "valor_homologado": pick(amounts[:3] + amounts[5:]),
            "data_assinatura": pick(
                [None, (near["data_publicacao_pncp"] - timedelta(days=rng.randrange(-5, 40))).date().isoformat()]
            ),
        }
        purchases[f"C{number}"] = {name: value for name, value in said.items() if value is not None}
    return portal, purchases


@pytest.mark.parametrize("seed", range(6))
async def test_the_select_says_what_the_model_says(database: Database, seed: int) -> None:
    portal, purchases = scatter(seed)
    await portal.store(database)
    await store_purchases(database, purchases)
    removed = random.Random(seed).sample(sorted(purchases), 20)
    await database.rows("UPDATE entity_records SET removed_at = now() WHERE key = ANY(:keys)", keys=removed)
    for key in removed:
        del purchases[key]
    rows = await read_view(database, "registro, origem, situacao, numero_controle_pncp, diferenca")
    found = {(row.registro, row.origem): (row.situacao, row.numero_controle_pncp, row.diferenca) for row in rows}
    assert len(found) == len(rows), "keys are unique"
    expected = model(purchases, portal)
    assert {key: found.get(key) for key in expected} == expected
    assert set(found) == set(expected)
    assert len({situation for situation, *_ in found.values()}) >= 6, "the world has most situations in it"


# --- as any list, and as what is delivered ------------------------------------------------------------------------


async def test_it_is_filtered_counted_and_exported_as_any_list(database: Database, open_api: OpenApi) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    api = await open_api(reconciliation_days=DAYS)
    differing = {key for (key, _), each in made.expected.items() if each["situacao"] == DIFFERS}
    assert {row["registro"] for row in await rows_of(api, situacao=DIFFERS)} == differing
    late = await rows_of(api, atrasada="true", situacao=f"{LATE},{DIFFERS}")
    assert {row["registro"] for row in late} == {"tarde", "tarde_e_difere"}
    assert {row["registro"] for row in await rows_of(api, diferenca_max="-0.01")} == {
        "estimado",
        "tarde_e_difere",
        "falta_1",
        "falta_2",
        "um_de_tres",
        "dois_de_tres",
        "tres_de_tres",
    }
    table = await api.get("/conciliacao.csv", params={"situacao": DIFFERS, "campos": "numero,situacao,diferenca"})
    assert {line.split(",")[0] for line in table.text.splitlines()[1:]} == differing
    for suffix, start in (("pdf", b"%PDF"), ("xlsx", b"PK"), ("ndjson", b"{"), ("atom", b"<?xml")):
        answer = await api.get(f"/conciliacao.{suffix}")
        assert answer.status_code == 200, suffix
        assert answer.content.startswith(start), suffix
    facets = (await api.get("/conciliacao/facetas", params={"facetas": "situacao"})).json()["facetas"]["situacao"]
    assert facets["incompleta"] or {each["valor"] for each in facets["valores"]} == set(SITUATIONS)
    described = (await api.get("/entidades/conciliacao")).json()
    assert {"situacao", "diferenca", "alterado_em"} <= {each["nome"] for each in described["campos"]}
    mirror = (await api.get("/conciliacao")).json()["espelho"]
    assert not mirror["completo"], "it is no more complete than the contratações, of which no day was read"


async def test_a_filter_of_the_list_is_one_of_the_summary(database: Database, open_api: OpenApi) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    api = await open_api()
    summary = (await api.get("/conciliacao/resumo", params={"orgao_cnpj": STATE})).json()
    assert {each["situacao"]: each["registros"] for each in summary["situacoes"] if each["registros"]} == {MISSING: 1}
    assert (await api.get("/conciliacao/resumo", params={"limite": 1})).status_code == 422
    nothing = (await api.get("/conciliacao/resumo", params={"orgao_cnpj": OTHER})).json()
    assert [each["situacao"] for each in nothing["situacoes"]] == list(SITUATIONS), "the gravest first, none left out"


async def test_the_deadline_is_a_setting(database: Database, open_api: OpenApi) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    api = await open_api(reconciliation_days=DAYS + 1)
    assert {row["registro"] for row in await rows_of(api, atrasada="true", situacao=LATE)} == set()
    assert (await api.get("/conciliacao/resumo")).json()["prazo_dias"] == DAYS + 1


async def test_what_is_delivered_has_one_key_and_a_version_that_moves_with_either_side(database: Database) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    entity = no_connections(DAYS).entities[NAME]

    async def versions(*keys: str) -> dict[str, datetime]:
        statement = f"SELECT {entity.key_sql} AS key, {entity.version} AS version FROM {entity.source}"
        wanted = f" WHERE {entity.rows_of().replace('{keys}', '$1')}" if keys else ""
        async with database.engine.connect() as db:
            rows = await (await driver_of(db)).fetch(statement + wanted, *([list(keys)] if keys else []))
        return {row["key"]: row["version"] for row in rows}

    before = await versions()
    assert set(before) == {f"{key}/{origin}" for key, origin in made.expected}
    some = ("numero/compra", f"{control(CITY, 40, 2026)}/pncp", "sumiu/compra")
    assert await versions(*some) == {key: before[key] for key in some}, "rows are found by their keys"
    number = made.purchases["numero"]["numero_controle_pncp"]
    await database.rows("UPDATE contratacoes SET updated_at = now() WHERE numero_controle_pncp = :n", n=number)
    await database.rows("UPDATE entity_records SET updated_at = now() WHERE key = 'centavo'")
    after = await versions()
    assert {key for key, version in after.items() if version != before[key]} == {"numero/compra", "centavo/compra"}


async def test_a_purchase_that_is_removed_changes_the_others_of_its_contratacao(database: Database) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    before = {row.registro: row for row in await read_view(database, "registro, alterado_em")}
    await database.rows("UPDATE entity_records SET removed_at = now(), updated_at = now() WHERE key = 'parte_2'")
    after = {row.registro: row for row in await read_view(database, "registro, alterado_em, diferenca, compras")}
    assert set(before) - set(after) == {"parte_2"}
    assert (after["parte_1"].diferenca, after["parte_1"].compras) == (Decimal(-30), 1)
    changed = {key for key, row in after.items() if row.alterado_em != before[key].alterado_em}
    assert changed == {"parte_1"}, "another version, which is delivered"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entity_records SET data = data || CAST(:said AS jsonb), updated_at = now() WHERE key = 'parte_2'",
        "UPDATE entity_records SET data = '{}', removed_at = now() WHERE key = 'parte_2'",
        "UPDATE contratacoes SET ausente_desde = now() WHERE numero_controle_pncp = :number",
    ],
    ids=["it names another", "it is removed and emptied", "the contratação is gone"],
)
async def test_what_changes_a_row_from_outside_makes_it_another_version(database: Database, change: str) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    number = made.purchases["parte_1"]["numero_controle_pncp"]
    other = made.purchases["centavo"]["numero_controle_pncp"]
    before = {row.registro: row for row in await read_view(database, "registro, situacao, diferenca, alterado_em")}
    said = {"said": f'{{"numero_controle_pncp": "{other}"}}', "number": number}
    await database.rows(change, **{name: value for name, value in said.items() if f":{name}" in change})
    after = {row.registro: row for row in await read_view(database, "registro, situacao, diferenca, alterado_em")}
    for key, row in after.items():
        assert (row == before[key]) == (row.alterado_em == before[key].alterado_em), key
    assert after["parte_1"] != before["parte_1"]


async def test_a_purchase_that_passes_the_deadline_becomes_another_version(database: Database) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    await database.rows("UPDATE entity_records SET updated_at = '2020-01-01T00:00:00Z'")
    midnight = datetime.combine(TODAY, datetime.min.time(), BRASILIA)
    rows = await read_view(database, "registro, alterado_em")
    changed = {row.registro: row.alterado_em for row in rows}
    assert changed["sumiu"] == midnight
    assert changed["ainda_no_prazo"].year == 2020


# --- the demonstration --------------------------------------------------------------------------------------------


async def test_what_is_planted_in_the_demonstration_is_found_and_nothing_else(database: Database) -> None:
    world = generate(1, TODAY - timedelta(days=9), TODAY, 60, now=lambda: datetime.combine(TODAY, time(12)))
    records = [world.inventor.record(each) for each in world.contratacoes.records.values()]
    portal = Portal()
    for each in records:
        amounts = {
            name: None if each[written] is None else Decimal(str(each[written]))
            for name, written in (
                ("valor_total_estimado", "valorTotalEstimado"),
                ("valor_total_homologado", "valorTotalHomologado"),
            )
        }
        number = portal.add(
            each["orgaoEntidade"]["cnpj"],
            each["sequencialCompra"],
            date.fromisoformat(each["dataPublicacaoPncp"][:10]),
            ano_compra=each["anoCompra"],
            processo=each["processo"],
            numero_compra=each["numeroCompra"],
            **amounts,
        )
        assert number == each["numeroControlePNCP"]
    erp, sheet = plan(records, TODAY)
    purchases = {
        each.number: {
            "orgao_cnpj": each.cnpj,
            **({"numero_controle_pncp": each.control_number} if each.control_number else {}),
            **({"processo": each.process} if each.process else {}),
            **({"valor_homologado": Decimal(str(each.value))} if each.value is not None else {}),
            "data_assinatura": each.signed_on.isoformat(),
        }
        for each in (*erp, *sheet)
    }
    await portal.store(database)
    await store_purchases(database, purchases)
    found = {
        (row.registro, row.origem): row.situacao for row in await read_view(database, "registro, origem, situacao")
    }
    assert {key: found[key, "compra"] for key in purchases} == {each.number: each.situation for each in (*erp, *sheet)}
    assert found == {key: situation for key, (situation, *_) in model(purchases, portal).items()}
