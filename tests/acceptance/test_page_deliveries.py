"""The page Entregas in a real browser: what an administrator sees of destinations, and does about them."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

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
from tests.delivery_rows import Deliveries
from tests.integration.conftest import Database
from tests.integration.test_destinations_api import BI, CRM
from tests.rows import fill

pytestmark = pytest.mark.slow

CPF = "529.982.247-25"


async def some_destinations(stack: Stack, folder: Path) -> tuple[int, int]:
    """One that rejects, one whose delivery is held, one that fails, one without a file, one that does not hold.

    The ids of a delivery that succeeded and of the held one.
    """
    destinations = folder / "connections" / "destinations"
    destinations.mkdir(parents=True)
    for name, written in (("crm", CRM), ("bi", BI), ("erp", CRM), ("quebrado", CRM.replace("objeto_compra", "nada"))):
        (destinations / f"{name}.yaml").write_text(written)
    stack.settings["CONNECTIONS_DIR"] = str(folder / "connections")
    rows, database = Deliveries(stack.engine), Database(stack.engine)
    await fill(stack.engine)
    await rows.worker()
    await rows.destination("crm", counted_at="now()", last_success_at="now() - interval '9 hours'")
    await rows.destination("bi", counted_at="now()")
    failing = {"failing_since": "now() - interval '20 minutes'", "retry_at": "now() + interval '3 minutes'"}
    await rows.destination("erp", failures="6", last_error="'status 503'", **failing)
    await rows.destination("antigo", missing_since="now() - interval '3 days'")
    stream, other = await rows.stream("crm"), await rows.stream("bi")
    await database.rows("UPDATE streams SET owed = 12345, oldest_owed_at = now() - interval '4 hours'")
    keys = await database.rows("SELECT numero_controle_pncp FROM contratacoes ORDER BY 1 LIMIT 3")
    for key in keys:
        await rows.record(stream, key[0], 3, reason=f"documento {CPF} inválido")
    counts = {"records_seen": 9100, "records_unchanged": 8000, "records_processed": 1097, "records_rejected": 3}
    done = await rows.execution("crm", "success", streams=[stream], counts={**counts, "pages_done": 11})
    await database.rows(
        "INSERT INTO execution_log (execution_id, logged_at, level, event, fields)"
        ' VALUES (:id, now(), \'warning\', \'record rejected\', \'{"key": "a", "logger": "x"}\')',
        id=done,
    )
    samples = ['{"numero":"00394460005887-1-000123/2026"}']
    held = await rows.execution(
        "bi",
        mode="update",
        trigger="update",
        held={"reason": "hold_above", "owed": 12345, "samples": samples},
        streams=[other],
        counts={"records_seen": 12345},
    )
    await rows.execution("erp", "error", cause="destination_down")
    return done, held


async def test_an_administrator_looks_at_destinations_and_previews_pauses_confirms_and_repeats(
    stack: Stack,
    visit: Open,  # noqa: F811
    tmp_path: Path,
) -> None:
    done, held = await some_destinations(stack, tmp_path)
    await stack.start_backend()
    page = await visit("#/entregas")
    states = {
        "crm": "em ordem",
        "bi": "espera confirmação",
        "erp": "esperando o destino",
        "antigo": "sem arquivo",
        "quebrado": "arquivo com erros",
    }
    for name, state in states.items():
        await expect(page.get_by_role("region", name=name, exact=True)).to_contain_text(state)
    crm = page.get_by_role("region", name="crm", exact=True)
    await expect(crm).to_contain_text("12.345")
    await expect(page.get_by_role("region", name="quebrado")).to_contain_text("destinations/quebrado.yaml:13")
    await assert_accessible(page)

    await button(crm, "Prévia: crm").click()
    preview = page.get_by_role("dialog", name="Prévia: crm")
    await expect(preview.get_by_text(re.compile("registros devidos agora"))).to_be_visible()
    await expect(preview.locator("pre").first).to_contain_text('"numero": "')
    await assert_accessible(page)
    await page.keyboard.press("Escape")
    await expect(preview).to_have_count(0)

    await button(crm, "Pausar: crm").press("Enter")
    await page.get_by_label("Por quê?").fill("manutenção do CRM")
    await page.keyboard.press("Enter")
    await expect(crm).to_contain_text("“manutenção do CRM”")
    await button(crm, "Retomar: crm").click()
    await expect(crm).to_contain_text("em ordem")

    await page.get_by_role("link", name=f"entrega {held}").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Entrega {held}")
    await assert_accessible(page)
    await button(page, "Confirmar e enviar").click()
    await button(page.get_by_role("dialog"), "Confirmar e enviar").click()
    await expect(page.get_by_role("region", name="Espera confirmação")).to_have_count(0)
    await expect(page.get_by_text("enviando", exact=True).first).to_be_visible()

    await page.get_by_role("link", name="Entregas", exact=True).first.click()
    await page.get_by_role("link", name=f"crm {done}").click()
    await expect(page.get_by_role("row").filter(has_text="contratacoes")).to_contain_text("1.097")
    await expect(page.get_by_role("listitem").filter(has_text="record rejected")).to_be_visible()
    async with page.expect_download() as coming:
        await button(page, "Baixar").click()
    assert re.fullmatch(r"\d\d_\d\d_\d{4}_\d\dh\d\d_Rota_Crm\.log", (await coming.value).suggested_filename)

    await page.get_by_role("navigation", name="Caminho").get_by_role("link", name="crm").click()
    rejected = page.get_by_role("region", name="Rejeitados", exact=True)
    await expect(rejected.get_by_role("listitem")).to_have_count(3)
    await expect(rejected).to_contain_text(CPF)
    await assert_accessible(page)
    await button(rejected, "Repetir todos").click()
    await button(page.get_by_role("dialog"), "Repetir").click()
    await expect(page.get_by_role("row").filter(has_text="Rejeitados · pedida aqui")).to_be_visible()


async def test_a_viewer_sees_deliveries_on_a_phone_in_the_dark_and_changes_nothing(
    stack: Stack,
    visit: Open,  # noqa: F811
    tmp_path: Path,
) -> None:
    _, held = await some_destinations(stack, tmp_path)
    await stack.start_backend(**PASSWORDS)
    page = await visit("#/entregas", PHONE, "dark")
    await log_in(page, "viewer", PASSWORDS["VIEWER_PASSWORD"])
    crm = page.get_by_role("region", name="crm", exact=True)
    await expect(button(crm, "Pausar: crm")).to_have_attribute("aria-disabled", "true")
    await assert_accessible(page)
    for path, said in (
        ("#/entrega/crm", "documento ***.982.247-** inválido"),
        (f"#/trabalho/{held}", "Seriam enviados 12.345 registros"),
    ):
        await page.goto(f"/{path}")
        await expect(page.get_by_text(said).first).to_be_visible()
        await assert_accessible(page)
        assert CPF not in await page.content()


async def test_without_connections_the_page_says_what_to_set(
    stack: Stack,
    visit: Open,  # noqa: F811
) -> None:
    await stack.start_backend()
    page = await visit("#/entregas", DESKTOP)
    await expect(page.get_by_text("CONNECTIONS_DIR")).to_be_visible()
    await assert_accessible(page)
