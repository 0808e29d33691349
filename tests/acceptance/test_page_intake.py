"""The pages Entradas, Cadastros and Conciliação in a real browser, with a worker that takes in."""

import csv
import io
import re
from datetime import date
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.acceptance.conftest import Stack
from tests.acceptance.test_page import (  # noqa: F401  # fixtures
    DESKTOP,
    PASSWORDS,
    PHONE,
    Open,
    assert_accessible,
    browser,
    button,
    log_in,
    visit,
)
from tests.integration.conftest import Database
from tests.integration.test_reconciliation import DAYS, DIFFERS, MISSING, plant, store_purchases
from tests.sheets import xlsx
from tests.sources import sqlite_erp

pytestmark = pytest.mark.slow

CPF, SUPPLIER, ORGAO = "529.982.247-25", "33.000.167/0001-01", "03.112.386/0001-11"
HEADERS = (
    *("Número da compra no sistema próprio", "CNPJ do órgão", "CPF ou CNPJ do fornecedor", "Objeto"),
    *("Valor homologado", "Data da assinatura", "Cor"),
)


# two sound rows, two that wait for their supplier, one with two faults
SHEET = xlsx(
    HEADERS,
    ("2026/001", ORGAO, None, "Cadeiras", 1500.5, date(2026, 3, 2), "azul"),
    ("2026/002", ORGAO, None, "Mesas", 900, date(2026, 3, 3), None),
    ("2026/003", ORGAO, SUPPLIER, "Canetas", 10, date(2026, 3, 4), None),
    ("2026/004", ORGAO, CPF, "Papel", 20, date(2026, 3, 5), None),
    ("2026/005", "03.112.386/0001-12", None, "Tinta", "muito", date(2026, 3, 6), None),
)


async def choose(page: Page, name: str, content: bytes) -> None:
    files = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    await page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]  # its own kind of mapping


def content_of(path: Path) -> bytes:
    return path.read_bytes()


async def test_an_administrator_sends_a_sheet_looks_confirms_and_corrects_a_record(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await stack.start_backend()
    await stack.start_ingestor(WORKER_KINDS="intake")
    page = await visit("#/entradas")
    await expect(page.get_by_text("Nada veio ainda")).to_be_visible()
    await assert_accessible(page)

    await page.get_by_label("O que há na planilha").select_option("compras")
    async with page.expect_download() as coming:
        await button(page, "Planilha modelo").click()
    assert (await coming.value).suggested_filename == "compras-modelo.xlsx"
    await choose(page, "compras.txt", b"x")
    await expect(page.get_by_role("alert").filter(has_text="só se aceitam .xlsx")).to_be_visible()
    await choose(page, "compras.xlsx", SHEET)
    await button(page, "Enviar").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("compras.xlsx")
    preview = page.get_by_role("region", name="Prévia: nada foi gravado ainda", exact=True)
    await expect(preview.get_by_role("row").filter(has_text="compras").get_by_role("cell")).to_have_text(
        ["compras", "5", "4", "0", "0", "2", "1"]
    )
    await expect(page.get_by_text("Uma coluna não é deste layout")).to_contain_text("Cor")
    faults = page.get_by_role("table", name="Valores recusados")
    await expect(faults.get_by_role("row").filter(has_text="muito")).to_contain_text("6")
    await expect(faults.get_by_role("row").filter(has_text="03.112.386/0001-12")).to_be_visible()
    await assert_accessible(page)
    async with page.expect_download() as coming:
        await button(page, "Erros em CSV").click()
    written = content_of(await (await coming.value).path()).decode("utf-8-sig")
    assert {line[3] for line in csv.reader(io.StringIO(written), delimiter=";")} >= {"muito", "03.112.386/0001-12"}

    await button(preview, "Confirmar").click()
    await expect(page.get_by_role("dialog")).to_contain_text("4 linhas são gravadas; 1 foi recusada")
    await button(page.get_by_role("dialog"), "Confirmar").click()
    await expect(page.get_by_text("terminada", exact=True)).to_be_visible()
    await page.get_by_label("Mostrar").select_option("pending")
    waiting = page.get_by_role("table", name="Linhas").get_by_role("row").filter(has_text="2026/003")
    await expect(waiting).to_contain_text("fornecedores_proprios/33000167000101")
    await page.get_by_label("Mostrar").select_option("processed")
    await expect(
        page.get_by_role("table", name="Linhas").get_by_role("row").filter(has_text="2026/001")
    ).to_contain_text("cria")
    await assert_accessible(page)


async def test_a_file_that_came_before_is_told_and_a_record_is_corrected_and_removed(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await stack.start_backend()
    await stack.start_ingestor(WORKER_KINDS="intake")
    address = "/intake/compras/arquivo?nome=compras.xlsx&confirmar=nao"
    (await stack.api.put(address, content=SHEET)).raise_for_status()
    page = await visit("#/importacao/1")
    await expect(page.get_by_text("terminada", exact=True)).to_be_visible()

    # the same file again leads to the first one, and may be sent all the same, and leads to the first one
    await page.get_by_role("link", name="Entradas", exact=True).first.click()
    await choose(page, "outro-nome.xlsx", SHEET)
    await button(page, "Enviar").click()
    known = page.get_by_role("dialog", name="Este arquivo já foi importado")
    await expect(known).to_contain_text("importação 1")
    await assert_accessible(page)
    await button(known, "Voltar").click()

    await page.get_by_role("link", name="Cadastros", exact=True).click()
    card = page.get_by_role("region", name="Compras próprias", exact=True)
    await expect(card).to_contain_text("Registros2")
    await assert_accessible(page)
    await card.get_by_role("link", name="Compras próprias", exact=True).click()
    await expect(page.get_by_text("2 registros").first).to_be_visible()
    await assert_accessible(page)
    await page.get_by_role("link", name="Cadeiras").click()
    values = page.get_by_role("region", name="Valores", exact=True)
    await expect(values).to_contain_text(re.compile(r"R\$\s1\.500,50"))
    await assert_accessible(page)

    await button(page, "Corrigir").click()
    form = page.get_by_role("dialog", name="Corrigir 2026/001")
    await expect(form.get_by_label("Valor homologado")).to_have_value("1500,50")
    await form.get_by_label("Valor homologado").fill("mil")
    await button(form, "Gravar").click()
    await expect(form.get_by_text("Escreva um número")).to_be_visible()
    await assert_accessible(page)
    await form.get_by_label("Valor homologado").fill("1.500,55")
    await form.get_by_label("CNPJ do órgão").fill("123")
    await button(form, "Gravar").click()
    await expect(form.get_by_label("CNPJ do órgão")).to_have_attribute("aria-invalid", "true")
    await form.get_by_label("CNPJ do órgão").fill(ORGAO)
    await button(form, "Gravar").click()
    await expect(form).to_have_count(0)
    await expect(values).to_contain_text(re.compile(r"R\$\s1\.500,55"))
    came = page.get_by_role("table", name="Importações deste registro")
    await expect(came.get_by_role("row")).to_have_count(1 + 3)  # the one that waits to be confirmed is told, too

    await button(page, "Remover").click()
    await button(page.get_by_role("dialog"), "Remover").click()
    await expect(page.get_by_text("1 registro", exact=True).first).to_be_visible()


async def test_the_reconciliation_is_seen_filtered_and_exported(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    made, database = plant(), Database(stack.engine)
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    await stack.start_backend(RECONCILIATION_DAYS=str(DAYS))
    page = await visit("#/conciliacao")
    tiles = page.get_by_role("region", name="Situações", exact=True)
    for name, situation in (("Não está no PNCP", MISSING), ("Valor difere", DIFFERS)):
        count = sum(each["situacao"] == situation for each in made.expected.values())
        await expect(tiles.get_by_role("link").filter(has_text=name)).to_contain_text(str(count))
    await assert_accessible(page)
    await tiles.get_by_role("link").filter(has_text="Valor difere").click()
    rows = page.get_by_role("table", name="Conciliação").get_by_role("row")
    differing = [key for (key, _), each in made.expected.items() if each["situacao"] == DIFFERS]
    await expect(rows).to_have_count(1 + len(differing))
    await expect(rows.filter(has_text="centavo")).to_contain_text("0,01")
    await assert_accessible(page)
    await button(page, "Exportar").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("PDF").check()
    async with page.expect_download() as coming:
        await button(dialog, "Baixar").click()
    assert content_of(await (await coming.value).path()).startswith(b"%PDF")
    await page.get_by_role("link", name="Objeto").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(differing[0])


async def test_a_viewer_reads_on_a_phone_in_the_dark_and_changes_nothing(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    made, database = plant(), Database(stack.engine)
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    await stack.start_backend(**PASSWORDS)
    page = await visit("#/entradas", PHONE, "dark")
    await log_in(page, "viewer", PASSWORDS["VIEWER_PASSWORD"])
    await expect(page.get_by_text("Só leitura")).to_be_visible()
    await assert_accessible(page)
    for path, said in (
        ("#/cadastros", "Compras próprias"),
        ("#/cadastros/compras", "registros"),
        ("#/cadastro/compras/numero", "Número de controle"),
        ("#/conciliacao", "Não está no PNCP"),
        ("#/cadastro/compras/nenhum", "Não há este registro"),
        ("#/importacao/99", "A importação 99 não existe"),
    ):
        await page.goto(f"/{path}")
        await expect(page.get_by_text(said).first).to_be_visible()
        await assert_accessible(page)
    await page.goto("/#/cadastro/compras/numero")
    for action in ("Corrigir", "Remover"):
        await expect(button(page, action)).to_have_attribute("aria-disabled", "true")


async def test_an_import_whose_file_is_refused_says_why(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await stack.start_backend()
    await stack.start_ingestor(WORKER_KINDS="intake")
    page = await visit("#/entradas?layout=produtos", DESKTOP)
    await choose(page, "produtos.csv", b"nada;disso\n1;2\n")
    await page.get_by_label("Mostrar antes o que muda").uncheck()
    await button(page, "Enviar").click()
    await expect(page.get_by_text("faltam colunas obrigatórias")).to_be_visible()
    await expect(page.get_by_text("recusada", exact=True)).to_be_visible()
    await assert_accessible(page)


SOURCE = """
url: ${env:ERP_URL}
schedule: "30 0 * * *"
entities:
  produtos: {table: produtos, key: codigo}
"""


async def test_a_source_is_read_and_what_it_lacks_is_removed_only_after_a_confirmation(
    stack: Stack,
    visit: Open,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "connections" / "sources"
    folder.mkdir(parents=True)
    (folder / "erp.yaml").write_text(SOURCE)
    with sqlite_erp(tmp_path) as erp:
        erp.run("CREATE TABLE produtos (codigo text PRIMARY KEY, descricao text)")
        erp.put("produtos", [{"codigo": f"P{number}", "descricao": f"Produto {number}"} for number in range(10)])
        settings = {"CONNECTIONS_DIR": str(folder.parent), "ERP_URL": erp.url}
        await stack.start_backend(**settings)
        await stack.start_ingestor(WORKER_KINDS="intake", **settings)
        page = await visit("#/entradas")
        card = page.get_by_role("region", name="erp", exact=True)
        await expect(card).to_contain_text("em ordem")
        await assert_accessible(page)
        await button(card, "Ler agora: erp").click()
        await expect(card).to_contain_text("Linhas10")
        erp.run("DELETE FROM produtos WHERE codigo > 'P4'")
        await button(card, "Ler agora: erp").click()
        await expect(card).to_contain_text("espera confirmação")
        await expect(card).to_contain_text("5 registros seriam removidos")
        await assert_accessible(page)
        await button(card, "Confirmar").click()
        await button(page.get_by_role("dialog"), "Confirmar e remover").click()
        await expect(card).to_contain_text("Linhas5")
        await button(card, "Pausar: erp").click()
        await page.get_by_label("Por quê?").fill("manutenção do ERP")
        await page.keyboard.press("Enter")
        await expect(card).to_contain_text("“manutenção do ERP”")
        await button(card, "Retomar: erp").click()
        await expect(card).to_contain_text("em ordem")
