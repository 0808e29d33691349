"""The pages of the data in a real browser: an analyst's walk, files that are read again, masked CPFs, two themes."""

import csv
import io
import re
import unicodedata
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import text

from common.search import SEARCHED
from tests.acceptance.conftest import Stack
from tests.acceptance.test_page import (  # noqa: F401  # fixtures
    DESKTOP,
    PASSWORDS,
    PHONE,
    Open,
    assert_accessible,
    assert_fits,
    browser,
    button,
    log_in,
    visit,
)
from tests.integration.test_prices import CPF, MASKED, add
from tests.support import eventually

pytestmark = pytest.mark.slow

Row = dict[str, Any]
WORD = re.compile(r"\baquisic(ao|oes)\b")


async def filled(stack: Stack, *, password: bool = False) -> tuple[list[Row], list[Row]]:
    """A mirror of a few days of the simulated portal; its contratações and contratos, as the API has them."""
    await stack.start_simulator("--days", "4", "--per-day", "40")
    await stack.start_backend(**PASSWORDS if password else {})
    await stack.start_ingestor()
    if password:
        form = {"grant_type": "password", "username": "admin", "password": PASSWORDS["ADMIN_PASSWORD"]}
        token = (await stack.api.post("/auth/token", data=form)).json()["access_token"]
        stack.api.headers["Authorization"] = f"Bearer {token}"
    start, end = await stack.span()
    for resource in ("contratacoes", "contratos", "atas", "pcas"):
        execution = await stack.force(resource=resource, mode="backfill", data_ini=start, data_fim=end)
        assert (await stack.finished(execution))["status"] == "success"
    found = []
    for address in ("contratacoes", "contratos"):
        answer = await stack.api.get(f"/{address}", params={"limite": 500, "contagem": "exata"})
        page = answer.json(parse_float=Decimal)
        assert page["total"] == len(page["registros"])
        found.append(page["registros"])
    return found[0], found[1]


def plain(written: str) -> str:
    """In lower case and without accents."""
    return "".join(each for each in unicodedata.normalize("NFKD", written.lower()) if not unicodedata.combining(each))


def read(path: str | Path) -> bytes:
    """The bytes of a file that the browser has saved."""
    return Path(path).read_bytes()


async def download(page: Page, name: str) -> tuple[str, bytes]:
    """Export what the list shows in a format; the name of the file and its bytes."""
    await button(page, "Exportar").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("radio", name=re.compile(f"^{re.escape(name)}")).check()
    async with page.expect_download() as coming:
        await button(dialog, "Baixar").click()
    file = await coming.value
    await expect(dialog).to_have_count(0)
    return file.suggested_filename, read(await file.path())


def rows_of_sheet(content: bytes) -> list[str]:
    """The control numbers in a workbook's texts."""
    with ZipFile(io.BytesIO(content)) as book:
        texts = "".join(book.read(name).decode() for name in book.namelist() if name.endswith(".xml"))
    return re.findall(r">([0-9A-Z]{14}-1-[0-9]{6}/[0-9]{4})<", texts)


async def test_an_analyst_finds_a_word_filters_opens_one_process_and_takes_files_away(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    everything, _ = await filled(stack)
    with_word = [row for row in everything if WORD.search(plain(row["objeto_compra"]))]
    state = Counter(row["unidade_orgao_uf_sigla"] for row in with_word if row["valor_total_estimado"]).most_common(1)[
        0
    ][0]
    of_state = [row for row in with_word if row["unidade_orgao_uf_sigla"] == state]
    least = sorted(row["valor_total_estimado"] or 0 for row in of_state)[len(of_state) // 2]
    least = max(least, Decimal(1)).quantize(Decimal(1))
    expected = [row for row in of_state if (row["valor_total_estimado"] or 0) >= least]
    assert 0 < len(expected) < len(of_state) < len(with_word) < len(everything)

    page = await visit("#/dados")
    await expect(page.get_by_role("heading", name="Compras públicas no espelho")).to_be_visible()
    await page.get_by_placeholder("O que você procura?").fill("aquisição")
    await page.keyboard.press("Enter")
    total = page.get_by_role("region", name="Resultados").get_by_role("status").first
    await expect(page.get_by_role("heading", level=1)).to_have_text("Contratações")
    await expect(total).to_have_text(f"{len(with_word)} contratações")
    # each value of the filter has its count
    choice = page.get_by_role("group", name="UF").get_by_role("checkbox", name=f"{state} {len(of_state)}", exact=True)
    await choice.check()
    await page.get_by_role("group", name="Valor total estimado").get_by_label("Mínimo").fill(f"{least},00")
    await page.keyboard.press("Tab")
    noun = "contratação" if len(expected) == 1 else "contratações"
    await expect(total).to_have_text(f"{len(expected)} {noun}")
    await expect(page.get_by_text("O espelho está completo")).to_be_visible()
    assert unquote(page.url).endswith(f"#/contratacoes?q=aquisição&uf={state}&valor_min={least}.00")
    chips = page.get_by_role("list", name="Filtros em uso")
    await expect(chips).to_contain_text("“aquisição”")
    await expect(chips).to_contain_text(f"UF: {state}")
    await assert_accessible(page)

    name, content = await download(page, "CSV para Excel")
    assert re.fullmatch(rf"contratacoes-{state}-\d{{4}}-\d\d-\d\d\.csv", name)
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=";"))
    assert sorted(line[0] for line in lines[1:]) == sorted(row["numero_controle_pncp"] for row in expected)
    _, content = await download(page, "Excel (.xlsx)")
    assert {*rows_of_sheet(content)} == {row["numero_controle_pncp"] for row in expected}

    await open_the_newest(page, expected)
    await page.go_back()
    await expect(total).to_have_text(f"{len(expected)} {noun}")
    await page.go_back()
    await expect(total).to_have_text(f"{len(of_state)} contratações")
    await button(page, f"Remover filtro UF: {state}").click()
    await expect(total).to_have_text(f"{len(with_word)} contratações")
    await button(page, "Limpar tudo").click()
    await expect(total).to_have_text(f"{len(everything)} contratações")
    await button(page, "Carregar mais").click()
    await expect(page.get_by_text(f"{min(100, len(everything))} de {len(everything)} contratações")).to_be_visible()
    # a control number leads to its record
    await page.get_by_label("Palavras, ou um número de controle").fill(expected[0]["numero_controle_pncp"])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Ver no PNCP").first).to_be_visible()
    await expect(page.get_by_text(expected[0]["numero_controle_pncp"]).first).to_be_visible()


async def open_the_newest(page: Page, expected: list[Row]) -> None:
    """Open the first process of the list, and look where it leads to."""
    newest = max(expected, key=lambda row: (row["data_publicacao_pncp"], row["numero_controle_pncp"]))
    await page.get_by_role("region", name="Contratações").get_by_role("link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(newest["objeto_compra"].split()[0])
    await expect(page.get_by_text(newest["numero_controle_pncp"]).first).to_be_visible()
    cnpj, sequence, year = re.fullmatch(r"(.{14})-1-0*(\d+)/(\d{4})", newest["numero_controle_pncp"]).groups()  # type: ignore[union-attr]
    portal = page.get_by_role("link", name="Ver no PNCP").first
    await expect(portal).to_have_attribute("href", f"https://pncp.gov.br/app/editais/{cnpj}/{year}/{sequence}")
    await expect(page).to_have_title(f"Contratação {sequence}/{year} · PNCP Sync")
    await expect(page.get_by_role("region", name="Linha do tempo")).to_contain_text("Publicação no PNCP")
    await expect(page.locator("main")).to_be_focused()
    await assert_accessible(page)


async def test_a_large_export_is_a_job_that_is_followed_saved_and_removed(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    everything, _ = await filled(stack)
    page = await visit("#/contratacoes")

    async def many(route: Any) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=(await answer.json()) | {"total": 250_000})

    await page.route("**/contratacoes?*limite=1&*", many)
    await button(page, "Exportar").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("250.000 linhas")
    await expect(dialog).to_contain_text("Este formato aceita até 5.000 linhas")
    await dialog.get_by_role("radio", name="PDF").check()
    await button(dialog, "Baixar").or_(button(dialog, "Preparar arquivo")).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("aceita até 5.000 linhas")
    await dialog.get_by_role("radio", name="NDJSON").check()
    await assert_accessible(page)
    await button(dialog, "Preparar arquivo").click()
    await page.get_by_role("link", name="Acompanhar").click()
    job = page.get_by_role("listitem").filter(has_text="Contratações · NDJSON")
    await expect(job).to_contain_text("pronta")
    await expect(job).to_contain_text(f"{len(everything)} linhas")
    async with page.expect_download() as coming:
        await button(job, "Baixar").click()
    content = read(await (await coming.value).path())
    assert content.count(b"\n") == len(everything)
    await assert_accessible(page)
    await button(job, "Apagar").click()
    await button(page.get_by_role("dialog"), "Apagar").click()
    await expect(page.get_by_text("Nenhuma exportação")).to_be_visible()


async def test_a_viewer_sees_the_data_with_masked_cpfs_in_pages_and_in_files(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    _, contratos = await filled(stack, password=True)
    async with stack.engine.begin() as db:
        await db.execute(
            text(
                "UPDATE contratos SET tipo_pessoa = 'PF', ni_fornecedor = '52998224725'"
                " WHERE numero_controle_pncp = :key"
            ),
            {"key": contratos[0]["numero_controle_pncp"]},
        )
    page = await visit("#/contratos?tipo_pessoa=PF", PHONE)
    await log_in(page, "viewer", PASSWORDS["VIEWER_PASSWORD"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("Contratos e empenhos")
    await expect(page.get_by_role("list", name="Filtros em uso")).to_contain_text("Pessoa física")
    await page.evaluate(
        "(hash) => { location.hash = hash }",
        f"#/contratos?numero_controle_pncp={contratos[0]['numero_controle_pncp']}",
    )
    await page.get_by_role("region", name="Contratos e empenhos").get_by_role("link").first.click()
    await expect(page.get_by_text("***.982.247-**").first).to_be_visible()
    assert "52998224725" not in await page.content()
    await assert_accessible(page)
    await page.go_back()
    await button(page, "Exportar").click()
    await expect(page.get_by_role("dialog")).to_contain_text("os CPFs vão mascarados")
    await expect(page.get_by_label("CPFs por inteiro")).to_have_count(0)  # that is for administrators
    await page.keyboard.press("Escape")
    _, content = await download(page, "CSV Vírgula")
    assert b"***.982.247-**" in content
    assert b"52998224725" not in content


async def test_prices_are_searched_excluded_with_a_reason_and_taken_away(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    prices = [Decimal(20 + n) for n in range(9)] + [Decimal(900)]
    for n, each in enumerate(prices):
        await add(stack.engine, n, each, supplier=CPF if n == 3 else "12345678000190")
    async with stack.engine.begin() as db:
        for table in SEARCHED.values():
            await db.execute(text(f"UPDATE {table.name} SET busca = {table.vector} WHERE busca IS NULL"))
    await stack.start_backend()
    page = await visit("#/precos")
    await page.get_by_label("O que foi comprado").fill("papéis A4")
    await page.get_by_label("UF").fill("sc")
    await page.keyboard.press("Enter")
    whole = page.get_by_role("region", name="10 preços")
    await expect(whole).to_contain_text("9 considerados, 1 discrepante, 0 excluídos")
    await expect(whole).to_contain_text("O espelho não está completo")
    await expect(whole.get_by_role("term").filter(has_text="Mediana").locator("..")).to_contain_text("R$ 24,00")
    assert unquote(page.url).endswith("#/precos?q=papéis+A4&uf=SC")
    await expect(page.get_by_text(MASKED)).to_be_visible()
    assert CPF not in await page.content()
    await assert_accessible(page)

    lowest = page.get_by_role("row").filter(has_text="R$ 20,00")
    await lowest.get_by_role("checkbox").click()
    await lowest.get_by_label("Por que não serve").fill("outra marca")
    await button(lowest, "Excluir").click()
    await expect(whole).to_contain_text("8 considerados, 1 discrepante, 1 excluído")
    await expect(lowest).to_contain_text("outra marca")
    await expect(whole.get_by_role("term").filter(has_text="Mediana").locator("..")).to_contain_text("R$ 24,50")
    await page.reload()  # the address holds all of it
    await expect(whole).to_contain_text("8 considerados, 1 discrepante, 1 excluído")
    async with page.expect_download() as coming:
        await button(whole, "Excel").click()
    file = await coming.value
    assert file.suggested_filename.endswith(".xlsx")
    with ZipFile(io.BytesIO(read(await file.path()))) as book:
        assert any(b"outra marca" in book.read(name) for name in book.namelist())
    await lowest.get_by_role("checkbox").click()
    await expect(whole).to_contain_text("9 considerados, 1 discrepante, 0 excluídos")


async def test_a_search_is_saved_from_its_list_and_says_what_is_new(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await add(stack.engine, 1, Decimal(20))
    await stack.start_backend()
    page = await visit("#/contratacoes?uf=SC&q=papel&ordem=relevancia:desc")
    await expect(page.get_by_label("Ordem")).to_have_value("relevancia:desc")
    await button(page, "Remover filtro Palavras: papel").or_(button(page, "Limpar tudo")).first.click()
    await page.evaluate("(hash) => { location.hash = hash }", "#/contratacoes?uf=SC")
    await expect(page.get_by_label("Ordem")).not_to_have_value("relevancia:desc")
    await button(page, "Salvar busca").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("UF: SC")
    await dialog.get_by_label("Nome").fill("Santa Catarina")
    await dialog.get_by_label("Avisar por e-mail").fill("ana@example.org")
    await button(dialog, "Salvar").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("SMTP_HOST")  # there is none to send by
    await dialog.get_by_label("Avisar por e-mail").fill("")
    await assert_accessible(page)
    await button(dialog, "Salvar").click()
    await page.get_by_role("link", name="Ver buscas salvas").click()
    saved = page.get_by_role("listitem").filter(has_text="Santa Catarina")
    await expect(saved).to_contain_text("UF: SC")
    await button(saved, "O que há de novo").click()
    await expect(dialog).to_contain_text("Nada de novo")
    await button(dialog, "Fechar").last.click()
    await add(stack.engine, 2, Decimal(30))
    await page.reload()
    await button(saved, "O que há de novo").click()
    await expect(dialog).to_contain_text("1 registro novo")
    await expect(dialog).to_contain_text("03112386000111-1-000003/2026")
    await assert_accessible(page)
    await button(dialog, "Fechar").last.click()
    await button(saved, "Apagar").click()
    await button(page.get_by_role("dialog"), "Apagar").click()
    await expect(page.get_by_text("Nenhuma busca salva")).to_be_visible()
    assert (await stack.api.get("/buscas")).json()["buscas"] == []


async def test_a_viewer_has_the_lists_of_a_process_read_and_sees_them_appear(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await filled(stack, password=True)
    found = (await stack.api.get("/itens", params={"tem_resultado": "true", "limite": 500})).json()["registros"]
    [key] = {row["numero_controle_pncp"] for row in found[:1]}
    cnpj, sequence, year = re.fullmatch(r"(.{14})-1-0*(\d+)/(\d{4})", key).groups()  # type: ignore[union-attr]
    async with stack.engine.begin() as db:  # as after an update that has brought another text
        await db.execute(
            text(
                'UPDATE contratacoes SET payload = payload || \'{"objetoCompra": "outro"}\''
                " WHERE numero_controle_pncp = :key"
            ),
            {"key": key},
        )

    async def is_told() -> bool:
        feed = await stack.api.get("/mudancas", params={"entidade": "contratacoes", "chave": key})
        return bool(feed.json()["registros"])

    await eventually(is_told, seconds=60)
    page = await visit(f"#/contratacao/{cnpj}/{year}/{sequence}")
    await log_in(page, "viewer", PASSWORDS["VIEWER_PASSWORD"])
    line = page.get_by_role("region", name="Linha do tempo")
    await expect(line).to_contain_text("Mudança vista pelo espelho")
    await expect(line).to_contain_text("Objeto")
    await assert_accessible(page)

    await button(page, "Ler do portal agora: resultados").click()
    await expect(page.get_by_role("region", name="Itens").locator(".won").first).to_be_visible()
    await expect(button(page, "Ler do portal agora: resultados")).to_have_count(0)
    for name, region, told in (
        ("documentos", "Documentos", "(abre o portal)"),
        ("histórico do portal", "Linha do tempo", "Inclusão: Contratação"),
    ):
        await button(page, f"Ler do portal agora: {name}").click()
        await expect(page.get_by_role("region", name=region)).to_contain_text(told)
        await expect(button(page, f"Ler do portal agora: {name}")).to_have_count(0)
    await expect(page.get_by_role("region", name="No espelho")).to_contain_text("Nada falta deste registro")
    await assert_accessible(page)


async def test_a_list_that_does_not_come_within_a_minute_says_why(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await add(stack.engine, 1, Decimal(20))
    await stack.start_backend()
    page = await visit("#/contratacoes")
    await page.clock.install()
    await page.get_by_role("region", name="Contratações").get_by_role("link").first.click()
    await button(page, "Ler do portal agora: documentos").click()
    documents = page.get_by_role("region", name="Documentos")
    await expect(documents.get_by_role("status")).to_contain_text("um ingestor a lê em segundos")
    # the clock stands still while an answer is on its way, else requests would end by their own timeout
    for _ in range(28):
        async with page.expect_response(lambda answer: "/contratacoes/" in answer.url):
            await page.clock.run_for(2000)
    await page.clock.run_for(6000)
    await expect(documents.get_by_role("alert")).to_contain_text("Nenhum ingestor ativo")
    await expect(documents).to_contain_text("A lista ainda não veio do portal.")
    await assert_accessible(page)


VIEWS = (
    *(
        "#/precos?q=papel",
        "#/dados",
        "#/contratacoes",
        "#/contratos?uf=SP&valor_min=1",
        "#/atas",
        "#/itens",
        "#/pca",
        "#/exportacoes",
    ),
    *("#/arquivos", "#/contratacoes?q=nadadisso", "#/contratacao/00394460000141/2020/1", "#/orgao/00000000000000"),
)


async def test_every_view_of_the_data_is_accessible_in_both_themes_on_a_desk_and_on_a_phone(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    contratacoes, contratos = await filled(stack)
    places = [contratacoes[0]["numero_controle_pncp"], contratos[0]["numero_controle_pncp"]]
    records = [(await stack.api.get(f"/controle/{each}")).headers["location"] for each in places]
    buyer = f"#/orgao/{contratacoes[0]['orgao_entidade_cnpj']}"
    details = [
        f"#{each.replace('/contratacoes/', '/contratacao/').replace('/contratos/', '/contrato/')}" for each in records
    ]
    for size in (DESKTOP, PHONE):
        page = await visit(size=size)
        for view in (*VIEWS, *details, buyer, "#/fornecedor/1"):
            await page.emulate_media(color_scheme="light")
            await page.evaluate("(hash) => { location.hash = hash }", view)
            await expect(page.locator(".skeleton")).to_have_count(0)
            await expect(page.get_by_role("heading", level=1)).to_have_count(1)
            await assert_accessible(page)
            await page.emulate_media(color_scheme="dark")
            await assert_accessible(page, only_colours=True)
            await page.emulate_media(media="print")
            await expect(page.get_by_role("navigation", name="Principal")).to_be_hidden()
            await page.emulate_media(media="screen")
            if size == PHONE:
                await page.set_viewport_size({"width": 360, "height": 640})
                await assert_fits(page)
                await page.set_viewport_size({"width": size[0], "height": size[1]})


async def test_a_filter_that_does_not_exist_and_a_server_that_fails_are_said(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await stack.start_backend()
    page = await visit("#/contratos?cor=azul")
    await expect(page.get_by_role("alert").filter(has_text="um filtro que não existe")).to_contain_text("cor")
    await expect(page.get_by_text("O espelho ainda não tem registros aqui")).to_be_visible()
    problem = '{"detail": "A busca demorou mais de 10 segundos."}'
    await page.route(
        "**/atas?*", lambda route: route.fulfill(status=422, content_type="application/problem+json", body=problem)
    )
    await page.get_by_role("link", name="Atas", exact=True).click()
    results = page.get_by_role("region", name="Resultados")
    await expect(results.get_by_role("alert")).to_contain_text("demorou mais de 10 segundos")
    await page.unroute_all()
    await button(results, "Tentar de novo").click()
    await expect(results).to_contain_text("O espelho ainda não tem registros aqui")


async def test_a_recipient_unsubscribes_by_a_link_without_a_password(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await stack.start_backend(**PASSWORDS)
    token = "a" * 43
    search = """
        WITH search AS (
            INSERT INTO buscas (name, entity, filters, email, hour, due_at)
            VALUES ('Pneus <b>novos</b>', 'contratacoes', '{"q": ["pneus"]}', 'ana@example.org', 7, now()) RETURNING id
        )
        INSERT INTO buscas_cancelamentos (token_sha256, search_id)
        SELECT sha256(CAST(:token AS bytea)), id FROM search
    """
    async with stack.engine.begin() as db:
        await db.execute(text(search), {"token": token.encode()})

    page = await visit(f"buscas/cancelar/{token}", size=PHONE)
    await expect(page.get_by_text("Pneus <b>novos</b>")).to_be_visible()
    await assert_accessible(page)
    async with stack.engine.connect() as db:
        assert (await db.execute(text("SELECT cancelled_at FROM buscas"))).scalar_one() is None, (
            "a look cancels nothing"
        )
    await button(page, "Cancelar as mensagens").click()

    await expect(page.get_by_role("heading", name="Mensagens canceladas")).to_be_visible()
    async with stack.engine.connect() as db:
        assert (await db.execute(text("SELECT cancelled_at FROM buscas"))).scalar_one() is not None
