"""Price research: statistics compared with a calculation of fractions, what is left out, and both files read back."""

import io
import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import openpyxl
import pypdf
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.models.prices import PriceResearch
from backend.services.entities import mirror
from backend.services.prices import series
from common.clock import BRASILIA
from common.search import SEARCHED
from tests.integration.conftest import Database, OpenApi
from tests.stored_rows import insert

CPF, MASKED = "52998224725", "***.982.247-**"
TODAY = datetime.now(BRASILIA).date()
# 36 prices near 20, two far above, two far below
PRICES = [Decimal(20) + Decimal(n * n % 17) / 10 + Decimal(n) / 10_000 for n in range(36)]
OUTLIERS = [Decimal("95.5"), Decimal(180), Decimal("0.01"), Decimal("2.5")]
LONG = 'Papel A4 com  "aspas" & <b>sinais</b>'


def number_of(n: int) -> str:
    return f"03112386000111-1-{n + 1:06}/2026"


def key_of(n: int) -> str:
    return f"{number_of(n)}-1-1"


async def add(
    engine: AsyncEngine,
    n: int,
    price: Decimal | None,
    *,
    words: str = "Papel A4",
    unit: str = "RESMA",
    uf: str = "SC",
    day: date | None = None,
    situation: int | None = 1,
    result: int = 1,
    supplier: str = "12345678000190",
    name: str = "PAPELARIA LTDA",
) -> None:
    """A contratação with an item that has a result."""
    moment = datetime.combine(day or TODAY - timedelta(days=n), datetime.min.time())
    key = {"numero_controle_pncp": number_of(n)}
    record = {
        **key,
        "data_publicacao_pncp": moment,
        "orgao_entidade_cnpj": "03112386000111",
        "orgao_entidade_razao_social": "MUNICIPIO DE TESTE",
        "unidade_orgao_uf_sigla": uf,
        "unidade_orgao_municipio_nome": "Florianópolis",
        "modalidade_id": 6,
    }
    entry = {"numero_item": 1, "payload": {}}
    item = {**key, **entry, "descricao": words, "unidade_medida": unit, "valor_unitario_estimado": Decimal(777)}
    found = {
        **key,
        **entry,
        "sequencial_resultado": result,
        "valor_unitario_homologado": price,
        "quantidade_homologada": Decimal(10),
        "situacao_compra_item_resultado_id": situation,
        "data_resultado": moment.date(),
        "tipo_pessoa": "PF" if supplier == CPF else "PJ",
        "ni_fornecedor": supplier,
        "nome_razao_social_fornecedor": name,
    }
    if result == 1:
        await insert(engine, "contratacoes", record)
        await insert(engine, "itens_contratacao", item)
    await insert(engine, "resultados", found)


async def make_words(database: Database) -> None:
    for table in SEARCHED.values():
        await database.rows(f"UPDATE {table.name} SET busca = {table.vector} WHERE busca IS NULL")


async def plant(database: Database) -> None:
    for n, price in enumerate([*PRICES, *OUTLIERS]):
        await add(database.engine, n, price)
    await make_words(database)


async def ask(api: httpx.AsyncClient, *pairs: tuple[str, str], q: str = "papel a4", **more: str) -> dict[str, Any]:
    answer = await api.get("/precos", params=[("q", q), *more.items(), *pairs])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.content, parse_float=Decimal)
    PriceResearch.model_validate(found)
    return found


# --- a calculation of another kind: fractions, and square roots of whole numbers ------------------------------------


def quantile(prices: Sequence[Decimal], share: Fraction) -> Fraction:
    ordered = sorted(map(Fraction, prices))
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def expected(prices: Sequence[Decimal]) -> dict[str, float]:
    exact = [Fraction(price) for price in prices]
    mean = sum(exact) / len(exact)
    deviation = float(sum((each - mean) ** 2 for each in exact) / (len(exact) - 1)) ** 0.5
    return {
        "n": len(exact),
        "media": float(mean),
        "mediana": float(quantile(prices, Fraction(1, 2))),
        "primeiro_quartil": float(quantile(prices, Fraction(1, 4))),
        "terceiro_quartil": float(quantile(prices, Fraction(3, 4))),
        "minimo": float(min(exact)),
        "maximo": float(max(exact)),
        "desvio_padrao": deviation,
        "coeficiente_variacao": deviation / float(mean),
    }


def assert_equal(found: dict[str, Any], prices: Sequence[Decimal]) -> None:
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected(prices), abs=1e-6)


# --- statistics ---------------------------------------------------------------------------------------------------


async def test_forty_prices_with_outliers_come_to_what_fractions_come_to(
    api: httpx.AsyncClient, database: Database
) -> None:
    await plant(database)
    found = await ask(api)
    assert_equal(found["estatisticas"]["com_todos"], [*PRICES, *OUTLIERS])
    assert_equal(found["estatisticas"]["sem_discrepantes"], PRICES)
    assert found["contagem"] == {
        "serie": 40,
        "considerados": 36,
        "discrepantes": 4,
        "excluidos": 0,
        "resultados_cancelados": 0,
        "resultados_sem_preco": 0,
    }
    by_key = {each["chave"]: each for each in found["serie"]}
    assert {key for key, each in by_key.items() if each["situacao"] == "discrepante"} == {
        key_of(n) for n in range(36, 40)
    }
    assert by_key[key_of(36)]["motivo"].startswith("acima de Q3 + 1,5 x IQR = ")
    assert by_key[key_of(38)]["motivo"].startswith("abaixo de Q1 - 1,5 x IQR = ")
    first, third = (quantile([*PRICES, *OUTLIERS], Fraction(n, 4)) for n in (1, 3))
    assert float(found["limites"]["superior"]) == pytest.approx(float(third + (third - first) * 3 / 2))
    one = by_key[key_of(3)]
    assert one["valor_unitario_homologado"] == PRICES[3]  # to the last digit
    assert one["fonte"] == "https://pncp.gov.br/app/editais/03112386000111/2026/4"
    assert (await api.get(one["endereco"])).status_code == 200
    assert (one["data"], one["descricao"], one["unidade_medida"]) == (
        str(TODAY - timedelta(days=3)),
        "Papel A4",
        "RESMA",
    )
    assert [each["data"] for each in found["serie"]] == sorted((each["data"] for each in found["serie"]), reverse=True)


async def test_prices_that_differ_too_much_are_told_and_grouped(api: httpx.AsyncClient, database: Database) -> None:
    await plant(database)
    found = await ask(api)
    assert found["heterogenea"]
    assert [group["n"] for group in found["grupos"]] == [1, 1, 36, 1, 1]
    notices = {each["codigo"]: each["texto"] for each in found["avisos"]}
    assert "Sem os discrepantes, deixa de ser." in notices["heterogenea"]
    assert notices.keys() == {"heterogenea", "espelho_incompleto"}
    alike = await ask(api, *[("excluir", key_of(n)) for n in range(36, 40)])
    assert not alike["heterogenea"]
    assert alike["grupos"] == []


@pytest.mark.parametrize(("count", "is_told"), [(0, True), (1, True), (2, True), (3, False)])
async def test_fewer_than_three_prices_are_told(
    api: httpx.AsyncClient, database: Database, count: int, is_told: bool
) -> None:
    for n in range(count):
        await add(database.engine, n, PRICES[n])
    await make_words(database)
    found = await ask(api)
    assert ("poucos_precos" in {each["codigo"] for each in found["avisos"]}) == is_told
    assert found["estatisticas"]["com_todos"]["n"] == count
    if count == 1:
        assert found["estatisticas"]["com_todos"]["mediana"] == PRICES[0]
        assert found["estatisticas"]["com_todos"]["desvio_padrao"] is None


async def test_neither_an_estimate_nor_a_cancelled_result_nor_a_zero_is_a_price(
    api: httpx.AsyncClient, database: Database
) -> None:
    await add(database.engine, 0, Decimal(10))
    await add(database.engine, 1, Decimal(11), situation=2)
    await add(database.engine, 2, Decimal(12), situation=None)
    await add(database.engine, 3, None)
    await add(database.engine, 4, Decimal(0))
    await add(database.engine, 0, Decimal(13), result=2)
    await make_words(database)
    found = await ask(api)
    assert sorted(each["valor_unitario_homologado"] for each in found["serie"]) == [10, 13]
    assert found["contagem"]["resultados_cancelados"] == 2
    assert found["contagem"]["resultados_sem_preco"] == 2
    assert "fora_da_serie" in {each["codigo"] for each in found["avisos"]}


async def test_units_that_differ_are_told_and_one_is_chosen_without_capitals(
    api: httpx.AsyncClient, database: Database
) -> None:
    for n, unit in enumerate(["Resma", "RESMA ", "resma", "Caixa", "Caixa"]):
        await add(database.engine, n, PRICES[n], unit=unit, uf="SC" if n < 4 else "PR")
    await make_words(database)
    (notice,) = [each for each in (await ask(api))["avisos"] if each["codigo"] == "unidades"]
    assert "2 unidades de medida" in notice["texto"]
    chosen = await ask(api, unidade="resma")
    assert len(chosen["serie"]) == 3
    assert "unidades" not in {each["codigo"] for each in chosen["avisos"]}
    assert len((await ask(api, ("unidade", "CAIXA"), ("unidade", "Resma"), uf="SC"))["serie"]) == 4
    assert (await ask(api, unidade="quilo"))["serie"] == []


async def test_without_a_period_it_is_the_last_year(api: httpx.AsyncClient, database: Database) -> None:
    for n, days in enumerate([0, 364, 367, 800]):
        await add(database.engine, n, PRICES[n], day=TODAY - timedelta(days=days))
    await make_words(database)
    usual = await ask(api)
    assert len(usual["serie"]) == 2
    assert usual["periodo"]["padrao"]
    assert usual["periodo"]["ate"] == str(TODAY)
    longer = await ask(api, de=str(TODAY - timedelta(days=800)))
    assert len(longer["serie"]) == 4
    assert "periodo_longo" in {each["codigo"] for each in longer["avisos"]}
    earlier = await ask(api, ate=str(TODAY - timedelta(days=366)))
    assert len(earlier["serie"]) == 1
    assert "periodo_longo" not in {each["codigo"] for each in earlier["avisos"]}


# --- what its user leaves out ---------------------------------------------------------------------------------------


async def test_an_excluded_price_stays_in_the_series_with_its_reason(
    api: httpx.AsyncClient, database: Database
) -> None:
    await plant(database)
    pairs = [("excluir", key_of(36)), ("motivo", "de outra marca"), ("excluir", key_of(0)), ("motivo", "")]
    found = await ask(api, *pairs, ("excluir", "nada"), ("motivo", "nada"))
    assert_equal(found["estatisticas"]["com_todos"], [*PRICES[1:], *OUTLIERS[1:]])
    assert len(found["serie"]) == 40
    by_key = {each["chave"]: (each["situacao"], each["motivo"]) for each in found["serie"]}
    assert by_key[key_of(36)] == ("excluido", "de outra marca")
    assert by_key[key_of(0)] == ("excluido", "sem justificativa informada")
    notices = {each["codigo"]: each["texto"] for each in found["avisos"]}
    assert notices["exclusao_desconhecida"].endswith("nada.")
    assert "exclusao_sem_motivo" in notices
    found = await ask(api, ("excluir", key_of(36)), ("excluir", key_of(0)), ("motivo", "os dois"))
    assert [each["motivo"] for each in found["serie"] if each["situacao"] == "excluido"] == ["os dois"] * 2
    assert "exclusao_sem_motivo" not in {each["codigo"] for each in found["avisos"]}


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "q é obrigatório"),
        ("q=papel&unidad=resma", "o mais próximo é unidade"),
        ("q=papel&limite=1", "não é um parâmetro de /precos"),
        ("q=papel&de=2026-02-01&ate=2026-01-01", "de vem depois de ate"),
        ("q=papel&de=ontem", "deve ser um dia"),
        ("q=papel&motivo=x", "motivo deve vir um para cada excluir"),
        ("q=papel&excluir=1&motivo=x&motivo=y", "motivo deve vir um para cada excluir"),
        ("q=papel&excluir=1&excluir=1", "mais de uma vez"),
        ("q=papel&q=caneta", "mais de uma vez"),
        ("q=-papel", "só diz o que não se quer"),
        ("q=papel&dados_pessoais=talvez", "dados_pessoais deve ser true ou false"),
    ],
)
@pytest.mark.parametrize("address", ["/precos", "/precos.pdf"])
async def test_what_is_wrong_in_a_question_is_said(api: httpx.AsyncClient, query: str, said: str, address: str) -> None:
    answer = await api.get(f"{address}?{query}")
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


async def test_more_results_than_a_series_has_are_counted_and_refused(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plant(database)
    monkeypatch.setattr(series, "MOST_PRICES", 39)
    for address in ("/precos", "/precos.xlsx"):
        answer = await api.get(address, params={"q": "papel"})
        assert answer.status_code == 422
        assert "São 40 resultados, e uma pesquisa de preços leva até 39" in answer.json()["detail"]
    monkeypatch.setattr(series, "MOST_PRICES", 40)
    assert (await api.get("/precos", params={"q": "papel"})).status_code == 200


async def test_cpfs_are_masked_for_all_but_an_administrator_who_asks(open_api: OpenApi, database: Database) -> None:
    await add(database.engine, 0, PRICES[0], supplier=CPF, name=f"MARIA {CPF}")
    await make_words(database)
    viewer, admin = {"auth": ("viewer", "the viewer's words")}, {"auth": ("admin", "the admin's words")}
    api = await open_api(
        admin_username="admin",
        admin_password="the admin's words",
        viewer_username="viewer",
        viewer_password="the viewer's words",
    )
    for suffix in ("", ".pdf", ".xlsx"):
        answer = await api.get(f"/precos{suffix}?q=papel", **admin)
        assert answer.status_code == 200, answer.text
        assert CPF not in text_of(answer)
        assert MASKED in text_of(answer)
        answer = await api.get(f"/precos{suffix}?q=papel&dados_pessoais=true", **admin)
        assert CPF in text_of(answer)
        assert (await api.get(f"/precos{suffix}?q=papel&dados_pessoais=true", **viewer)).status_code == 422
        assert (await api.get(f"/precos{suffix}?q=papel")).status_code == 401


# --- files and the mirror -------------------------------------------------------------------------------------------


def text_of(answer: httpx.Response) -> str:
    kind = answer.headers["content-type"]
    if "pdf" in kind:
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(answer.content)).pages)
    if "sheet" in kind:
        book = openpyxl.load_workbook(io.BytesIO(answer.content))
        return "\n".join(str(value) for sheet in book for row in sheet.iter_rows(values_only=True) for value in row)
    return answer.text


async def test_the_workbook_holds_the_series_the_calculation_and_what_is_left_out(
    api: httpx.AsyncClient, database: Database
) -> None:
    await plant(database)
    await add(database.engine, 40, Decimal(21), words="=1+1 papel a4", name="=cmd()", unit="")
    await make_words(database)
    pairs = [("q", "papel a4"), ("excluir", key_of(1)), ("motivo", '=HYPERLINK("x")')]
    found = json.loads((await api.get("/precos", params=pairs)).content)
    answer = await api.get("/precos.xlsx", params=pairs)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Total-Registros"] == "41"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="precos-papel-a4-{TODAY}.xlsx"'
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    assert book.sheetnames == ["Pesquisa de preços", "Cálculo", "Fora do cálculo", "Grupos de preços próximos", "Sobre"]
    assert all(cell.data_type != "f" for sheet in book for row in sheet.iter_rows() for cell in row)
    head, *rows = list(book["Pesquisa de preços"].iter_rows(values_only=True))
    shown = [dict(zip(head, row, strict=True)) for row in rows]
    assert [(row["Chave"], row["Valor unitário homologado"], row["Fonte"], row["Motivo"]) for row in shown] == [
        (each["chave"], each["valor_unitario_homologado"], each["fonte"], each["motivo"]) for each in found["serie"]
    ]
    assert "=1+1 papel a4" in {row["Descrição"] for row in shown}
    calculation = {row[0]: row[1:] for row in book["Cálculo"].iter_rows(values_only=True)}
    both = [found["estatisticas"][name] for name in ("com_todos", "sem_discrepantes")]
    assert calculation["Média"] == tuple(each["media"] for each in both)
    assert calculation["Desvio padrão"] == tuple(each["desvio_padrao"] for each in both)
    assert calculation["Estatística"] == tuple(
        f"{label} ({each['n']})" for label, each in zip(("Com todos", "Sem discrepantes"), both, strict=True)
    )
    left_out = {row[0]: row[-2:] for row in book["Fora do cálculo"].iter_rows(values_only=True)}
    assert left_out[key_of(1)] == ("excluido", '=HYPERLINK("x")')
    assert len(left_out) == 1 + 1 + len(OUTLIERS)
    about = list(book["Sobre"].iter_rows(values_only=True))
    subjects = dict(about)
    assert "Espelho incompleto" in subjects["Espelho"]
    assert "método inclusivo" in subjects["Método"]
    assert [value for subject, value in about if subject == "Aviso"] == [each["texto"] for each in found["avisos"]]


async def test_the_document_shows_the_series_the_calculation_and_what_is_left_out(
    api: httpx.AsyncClient, database: Database
) -> None:
    await plant(database)
    await add(database.engine, 40, Decimal(21), words=LONG)
    await make_words(database)
    pairs = [("q", "papel a4"), ("excluir", key_of(1)), ("motivo", "de outra marca")]
    found = json.loads((await api.get("/precos", params=pairs)).content)
    answer = await api.get("/precos.pdf", params=pairs)
    assert answer.status_code == 200, answer.text
    text = text_of(answer)
    flat = "".join(text.split())
    for each in found["serie"]:
        assert each["chave"] in flat
        assert each["fonte"] in flat
    for said in (
        "Pesquisa de preços",
        "método inclusivo",
        "Cálculo",
        "Fora do cálculo",
        "de outra marca",
        "Espelho incompleto",
    ):
        assert "".join(said.split()) in flat, said
    mean = f"{found['estatisticas']['sem_discrepantes']['media']:.6f}".replace(".", ",").rstrip("0")
    assert mean in text
    assert "discrepante" in text


async def test_an_incomplete_mirror_says_so_until_nothing_is_missing(
    open_api: OpenApi, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "KEPT_SECONDS", 0.0)
    await plant(database)
    api = await open_api(pncp_resultados="tudo")

    async def said() -> str:
        found = await ask(api)
        notices = [each["texto"] for each in found["avisos"] if each["codigo"] == "espelho_incompleto"]
        assert bool(notices) != found["espelho"]["completo"]
        return "".join(notices)

    assert "Pode haver preços que não estão nesta série." in await said()
    assert "nenhum dia foi lido por inteiro" in await said()
    begin = TODAY - timedelta(days=800)
    await database.rows(
        "INSERT INTO watermarks (resource, part, since, reached, complete_from)"
        " VALUES ('contratacoes', 6, :begin, :reached, :day)",
        begin=datetime.combine(begin, datetime.min.time()),
        day=begin,
        reached=datetime.combine(TODAY, datetime.min.time()),
    )
    assert await said() == ""
    assert "Espelho completo" in text_of(await api.get("/precos.pdf?q=papel"))
    for table, reason in (("resultados_owed", "1 listas por ler"), ("itens_owed", "1 listas por ler")):
        await database.rows(
            f"INSERT INTO {table} (numero_controle_pncp, as_of, reason) VALUES (:key, now(), 'unread')",
            key=number_of(0),
        )
        assert reason in await said()
        await database.rows(f"DELETE FROM {table}")
    await database.rows("UPDATE itens_contratacao SET busca = NULL WHERE numero_controle_pncp = :key", key=number_of(5))
    assert "a busca ainda não encontra todos os textos" in await said()
