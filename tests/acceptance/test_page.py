"""The page in a real browser: a person's paths, every button, two themes, two sizes, and nothing from another host."""

import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, Route, async_playwright, expect
from sqlalchemy import text

from common.clock import BRASILIA
from common.lifecycle.causes import CAUSES
from tests.acceptance.conftest import Stack
from tests.support import ROOT, eventually

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = ROOT / "tests" / "vendor" / "axe-core" / "axe.min.js"
DESKTOP, PHONE = (1440, 900), (390, 844)
PATIENCE = 60_000
PASSWORDS = {"ADMIN_PASSWORD": "horse-battery-staple", "VIEWER_PASSWORD": "correct-donkey-pile"}
VIEWS = (
    *("#/", "#/historico", "#/cobertura", "#/agenda", "#/rejeitados", "#/entregas", "#/alertas"),
    *("#/execucoes/1", "#/execucoes/1/fatias", "#/execucoes/1/registro", "#/execucoes/1/rejeitados"),
)
# What the browser itself says of an answer that the page expects: no login yet, the server is away.
EXPECTED = re.compile(r"status of (401|409|422|429|503)|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")

Open = Callable[..., Awaitable[Page]]


class Watch:
    """What a page did that it must not do."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.faults: list[str] = []

    def __call__(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"{error}\n{error.stack}"))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        # a record that the mirror does not have; every asset is there
        is_no_record = "status of 404" in message.text and "/assets/" not in message.location["url"]
        if message.type in {"error", "warning"} and not EXPECTED.search(message.text) and not is_no_record:
            self.faults.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in {"http", "https"} and address.netloc != self._host:
            self.faults.append(f"request to another host: {request.url}")
        if "eyJ" in request.url:
            self.faults.append(f"a token in an address: {request.url}")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium; under CI there must be one."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium")
        pytest.skip("no Chromium on this machine")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest.fixture
async def visit(browser: Browser, stack: Stack) -> AsyncIterator[Open]:
    """Open the page as a new visitor; at the end there was no error."""
    async with AsyncExitStack() as exits:
        watches: list[Watch] = []

        async def open_page(path: str = "", size: tuple[int, int] = DESKTOP, scheme: Any = "light") -> Page:
            context = await browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme=scheme,
                locale="pt-BR",
                timezone_id="America/Manaus",  # a person elsewhere sees Brasília's times all the same
                reduced_motion="reduce",
                base_url=str(stack.api.base_url),
            )
            exits.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE)
            watch = Watch(urlsplit(str(stack.api.base_url)).netloc)
            watches.append(watch)
            page = await context.new_page()
            watch(page)
            await page.goto(f"/{path}")
            return page

        expect.set_options(timeout=PATIENCE)
        yield open_page
        assert [fault for watch in watches for fault in watch.faults] == []


def button(place: Page | Locator, name: str) -> Locator:
    return place.get_by_role("button", name=re.compile(f"^{re.escape(name)}"))


async def assert_accessible(page: Page, *, only_colours: bool = False) -> None:
    """Nothing serious or critical by axe, which the debugger brings in: the page's policy lets no stranger in."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())
    options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if only_colours else {})
    found = await page.evaluate("(options) => axe.run(document, options).then((answer) => answer.violations)", options)
    grave = [
        f"{each['id']} ({each['impact']}): {[node['target'] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]
    assert grave == [], page.url
    await assert_fits(page)


OUTSIDE = """[...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > innerWidth)
    .map((one) => `${one.tagName}.${one.className}: ${one.textContent.slice(0, 60)}`).slice(0, 5)"""


async def assert_fits(page: Page) -> None:
    """The page never needs horizontal scrolling."""
    width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, f"{page.url} is {width} px too wide: {await page.evaluate(OUTSIDE)}"


async def log_in(page: Page, username: str, password: str) -> None:
    await page.get_by_label("Usuário").fill(username)
    await page.get_by_label("Senha").fill(password)
    await button(page, "Entrar").click()


async def last_night_failed(stack: Stack, *, running: bool = False) -> None:
    """A sweep of yesterday of which one of two slices failed, a good update before it, and one that runs if wanted."""
    yesterday: date = datetime.now(BRASILIA).date() - timedelta(days=1)
    async with stack.engine.begin() as db:
        await db.execute(
            text("""
                INSERT INTO sync_executions (mode, criterio, trigger, status, window_start, window_end, cause,
                                             error_message, records_processed, duration_seconds, planned_at,
                                             started_at, finished_at)
                SELECT 'backfill', 'publicacao', 'sweep', 'error', CAST(:start AS timestamp),
                       CAST(:end AS timestamp), 'no_answer',
                       '1 of 2 slices failed: /consulta/v1/contratacoes/publicacao page 2: status 503', 7, 61.5, now(),
                       now(), now()
                 UNION ALL
                SELECT 'update', 'atualizacao', 'schedule', 'success', :start, :end, NULL, NULL, 12, 3.5, now(),
                       now(), now()
                 UNION ALL
                SELECT 'backfill', 'publicacao', 'api', 'running', :start, :end, NULL, NULL, 0, NULL, now(), now(),
                       NULL
                 WHERE CAST(:running AS boolean)
            """),
            {
                "start": datetime.combine(yesterday, datetime.min.time()),
                "end": datetime.combine(yesterday, datetime.max.time().replace(microsecond=0)),
                "running": running,
            },
        )
        await db.execute(
            text("""
                INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, part, first_day, last_day,
                                         window_start, window_end, status, attempt, pages_total, pages_done,
                                         records_processed, total_registros, cause, error_message, run_after,
                                         finished_at)
                SELECT e.id, s.ordinal, e.mode, e.criterio, s.modalidade, CAST(e.window_start AS date),
                       CAST(e.window_end AS date), e.window_start, e.window_end, s.status, 1, 2, 1, 7, 9,
                       CASE WHEN s.error IS NOT NULL THEN 'no_answer' END, s.error,
                       CASE WHEN s.status = 'pending' THEN now() + interval '5 minutes' END,
                       CASE WHEN s.status <> 'pending' THEN now() END
                  FROM sync_executions e
                  JOIN (VALUES ('sweep', 1, 6, 'success', NULL), ('sweep', 2, 8, 'error', 'page 2: status 503'),
                               ('schedule', 1, 6, 'success', NULL), ('schedule', 2, 8, 'success', NULL),
                               ('api', 1, 6, 'success', NULL), ('api', 2, 8, 'pending', 'page 2: status 503'))
                       AS s (trigger, ordinal, modalidade, status, error) ON s.trigger = e.trigger
            """)
        )
        await db.execute(
            text("""
                INSERT INTO rejected_records (execution_id, resource, natural_key, reason, payload_hash, payload)
                VALUES (1, 'contratacoes', '00000000000191-1-000001/2025',
                        'Object missing required field `dataPublicacaoPncp`', 'h', '{"objetoCompra": "cadeiras"}')
            """)
        )
        await db.execute(text("INSERT INTO workers (id) VALUES ('host-1-abc')"))


async def plan_and_start_a_backfill(page: Page) -> None:
    """Of the last 30 days, after a day that cannot be."""
    await button(page, "Carregar período").click()
    form = page.get_by_role("dialog", name="Carregar um período")
    await expect(form.get_by_label("O que carregar")).to_be_focused()
    first_day = form.get_by_label("Primeiro dia")
    await first_day.fill("2020-01-01")
    await button(form, "Iniciar carga").click()
    await expect(first_day).to_be_focused()
    await expect(first_day).to_have_attribute("aria-invalid", "true")
    await expect(first_day).to_have_accessible_description("O PNCP começa em 2021.")
    await button(form, "Últimos 30 dias").click()
    await expect(first_day).not_to_have_attribute("aria-invalid", "true")
    await button(form, "Simular").click()
    await expect(form.get_by_text(re.compile("30 dias . 2 modalidades"))).to_be_visible()
    await assert_accessible(page)
    kinds = form.get_by_label("O que carregar")
    await kinds.select_option(label="Contratos e empenhos")
    await button(form, "Simular").click()
    await expect(form.get_by_text("30 dias", exact=True)).to_be_visible()
    await kinds.select_option(label="Contratações")
    async with page.expect_request("**/sync/force") as sent:
        await button(form, "Iniciar carga").click()
    request = await sent.value
    assert re.fullmatch("[0-9a-f]{32}", (await request.all_headers())["idempotency-key"])
    await expect(form).to_be_hidden()


async def test_a_first_visit_an_update_that_finishes_and_a_backfill_that_is_planned_started_and_cancelled(
    stack: Stack, visit: Open
) -> None:
    stack.settings |= {"PNCP_MODALIDADES": "6,8", "WORKER_CONCURRENCY": "1"}
    await stack.start_simulator("--days", "3", "--per-day", "20")
    await stack.start_backend()
    await stack.start_ingestor()
    page = await visit()
    await expect(page.get_by_role("heading", level=1)).to_have_text("O espelho está vazio")
    await expect(page.get_by_text("Nada em andamento.")).to_be_visible()
    await assert_accessible(page)

    await expect(page.get_by_text("Portal simulado.")).to_be_visible()

    await button(page, "Atualizar: Contratações").click()  # without a question
    await expect(page.get_by_text("Execução 1 iniciada.")).to_be_visible()
    # one update does not make an empty mirror complete
    fact = page.get_by_role("listitem").filter(has_text=re.compile("^Completo"))
    await expect(fact).to_contain_text("Nenhum dia lido por inteiro")
    await expect(page.get_by_role("row").filter(has_text="Atualização 1")).to_contain_text("sucesso")

    # slow enough to be seen while it runs
    await stack.api.put(f"{stack.simulator_url}/quirks", json={"latency_ms": 400})
    await plan_and_start_a_backfill(page)

    running = page.get_by_role("article", name="Carga 2")
    await expect(running.get_by_role("progressbar")).to_be_visible()
    await expect(running.get_by_text(re.compile(r"\d+ de 60"))).to_be_visible()
    await expect(page).to_have_title(re.compile(r"^\d+% · Painel · PNCP Sync"))
    await button(running, "Cancelar").click()
    await button(page.get_by_role("dialog"), "Cancelar execução").click()
    await expect(running).to_be_hidden()
    await expect(page.get_by_text("Cancelada por um administrador")).to_be_visible()
    await expect(page.get_by_role("region", name="Precisa de você")).to_have_count(0)  # a cancelled execution is fine
    await page.get_by_role("link", name=re.compile("Carga 2")).click()
    await expect(page.get_by_text("cancelada", exact=True)).to_be_visible()
    await expect(page.get_by_text(re.compile("estava feito e continua gravado"))).to_be_visible()
    await expect(page.get_by_role("grid").locator(".cell.cut_off").first).to_be_visible()
    await assert_accessible(page)
    await button(page, "Continuar").click()
    await button(page.get_by_role("dialog"), "Continuar").click()
    await expect(page.get_by_text("Execução 3 iniciada com o que faltou.")).to_be_visible()
    await stack.api.post("/sync/executions/3/cancel")
    history = (await stack.api.get("/sync/history")).json()["executions"]
    assert [(one["id"], one["status"]) for one in history] == [(3, "error"), (2, "error"), (1, "success")]


async def test_an_administrator_logs_in_finds_out_why_last_night_s_sweep_failed_and_runs_it_again(
    stack: Stack, visit: Open
) -> None:
    await last_night_failed(stack)
    backend = await stack.start_backend(**PASSWORDS)
    page = await visit("#/historico?status=error")
    await expect(page.get_by_label("Usuário")).to_be_focused()
    await assert_accessible(page)
    await log_in(page, "admin", "wrong")
    await expect(page.get_by_role("alert")).to_have_text("Usuário ou senha não conferem.")
    await log_in(page, "admin", PASSWORDS["ADMIN_PASSWORD"])
    await expect(page.get_by_label("Estado")).to_have_value("error")  # where the address led to
    await page.get_by_role("link", name="Painel", exact=True).click()
    trouble = (
        page.get_by_role("region", name="Precisa de você").get_by_role("listitem").filter(has_text="1 carga falhou")
    )
    await expect(trouble).to_contain_text("o portal não respondeu como devia")
    await button(trouble, "Já sei").click()
    seen = page.get_by_text("1 já visto")
    await seen.click()
    await expect(trouble).to_contain_text("Visto por admin")
    await button(trouble, "Mostrar de novo").click()
    await expect(seen).to_have_count(0)

    await trouble.get_by_role("link", name="execução 1").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Varredura 1")
    await expect(page.get_by_role("tab", name="Erros 1")).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_role("tabpanel")).to_contain_text("Dispensa")
    await page.get_by_role("tab", name="Rejeitados").click()
    await expect(page.get_by_role("tabpanel")).to_contain_text("Falta o campo obrigatório dataPublicacaoPncp")
    await page.get_by_text("o que o portal enviou").click()
    await expect(page.get_by_role("tabpanel").locator("pre")).to_contain_text('"objetoCompra": "cadeiras"')
    await walk_the_matrix(page)

    await button(page, "Repetir o que falhou").click()
    await button(page.get_by_role("dialog"), "Repetir o que falhou").click()
    await page.get_by_role("link", name="Acompanhar").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Repetição de 1")
    await expect(page.get_by_text("admin", exact=False).first).to_be_visible()

    # a token of a process that is gone is invalid: the login comes back, and after it the same place
    backend.send(signal.SIGTERM)
    await backend.ended()
    await expect(page.get_by_text("Sem conexão com o servidor")).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Repetição de 1")
    restarted = stack.start(
        "backend", "-m", "uvicorn", "backend.main:app", "--port", str(stack.api.base_url.port), **PASSWORDS
    )
    await eventually(lambda: "started" in restarted.text or "running" in restarted.text, seconds=60)
    await expect(page.get_by_text("A sessão terminou.")).to_be_visible()
    await log_in(page, "admin", PASSWORDS["ADMIN_PASSWORD"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("Repetição de 1")
    await button(page, "Sair").click()
    await expect(page.get_by_text("Você saiu.")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


async def walk_the_matrix(page: Page) -> None:
    """With the keyboard, to the slice that failed."""
    await page.get_by_role("tab", name="Fatias").click()
    grid = page.get_by_role("grid")
    await expect(grid.get_by_role("gridcell")).to_have_count(2)
    await grid.get_by_role("gridcell", name="lida").focus()
    await page.keyboard.press("ArrowDown")
    await expect(grid.get_by_role("gridcell", name="com erro")).to_be_focused()
    await page.keyboard.press("Enter")
    slice_of_dispensa = page.get_by_role("dialog", name=re.compile("Dispensa"))
    await expect(slice_of_dispensa).to_contain_text("1 de 2")
    await expect(slice_of_dispensa).to_contain_text("O portal não respondeu como devia")
    await assert_accessible(page)
    await page.keyboard.press("Escape")
    await expect(slice_of_dispensa).to_have_count(0)


async def test_what_wants_attention_stands_in_words_and_is_never_no_problem(stack: Stack, visit: Open) -> None:
    """A portal that does not answer, owed items, a field of another type, and failed updates in one line."""
    await last_night_failed(stack)
    async with stack.engine.begin() as db:
        for statement in (
            """INSERT INTO source_pauses (source, paused_until, reason, cause, error_message, failing_since)
               VALUES ('consulta', now() + interval '10 minutes', 'down', 'no_answer', 'status 503',
                       now() - interval '1 hour')""",
            """INSERT INTO contratacoes (numero_controle_pncp, data_publicacao_pncp, data_atualizacao,
                                         data_atualizacao_global, payload)
               SELECT 'k' || n, now(), now(), now(), '{}' FROM generate_series(1, 1234) n""",
            """INSERT INTO itens_owed (numero_controle_pncp, as_of, reason, cause)
               SELECT numero_controle_pncp, now(), 'unread', 'status 503' FROM contratacoes""",
            """INSERT INTO pcas (id_pca_pncp, data_publicacao_pncp, data_atualizacao_global_pca, payload)
               VALUES ('p', now(), now(), '{}')""",
            """INSERT INTO itens_pca_owed (id_pca_pncp, as_of, reason) VALUES ('p', now(), 'empty')""",
            """INSERT INTO resultados_owed (numero_controle_pncp, as_of, reason, set_aside_at, parts_left)
               SELECT numero_controle_pncp, now(), 'unread', CASE WHEN numero_controle_pncp = 'k1' THEN now() END,
                      '{1,2}' FROM contratacoes""",
            """INSERT INTO schema_drift (resource, path, kind, records, example)
               VALUES ('contratacoes', 'valorTotalEstimado', 'string', 12, '"1,0"')""",
            """INSERT INTO sync_executions (mode, criterio, trigger, status, cause, planned_at, finished_at)
               SELECT 'update', 'atualizacao', 'schedule', 'error', 'internal', now(), now()
                 FROM generate_series(1, 113)""",
        ):
            await db.execute(text(statement))
    await stack.start_backend(PNCP_RESULTADOS="uf=SP", PNCP_TERMOS="tudo")
    page = await visit()
    fresh = page.get_by_role("listitem").filter(has_text=re.compile("^Atualizado"))
    await expect(fresh).to_contain_text(re.compile(r"O portal não responde desde .*\d\d:\d\d"))
    troubles = page.get_by_role("region", name="Precisa de você")
    items = troubles.get_by_role("listitem").filter(has_text="Itens das contratações: 1.234 registros esperam desde")
    await expect(items).to_contain_text("A lista de 1.234 registros não pôde ser lida")
    await expect(items.get_by_text("status 503")).to_be_hidden()
    await items.get_by_text("texto original").click()
    await expect(items.get_by_text("status 503")).to_be_visible()
    await expect(troubles).to_contain_text("Resultados dos itens das contratações: 1 registro posto de lado")
    await expect(troubles).to_contain_text("1 campo mudou de tipo no portal")
    await expect(troubles).to_contain_text("valorTotalEstimado (string, 12 registros)")
    await expect(troubles).to_contain_text("113 atualizações falharam")
    lists = page.get_by_role("region", name="Listas lidas depois").get_by_role("listitem")
    results = lists.filter(has_text="Resultados dos itens das contratações")
    await expect(results).to_contain_text("1.233 por ler")
    await expect(results).to_contain_text("só uf=SP · 2.466 pedidos · 1 de lado")
    await expect(lists.filter(has_text="Termos dos contratos")).to_contain_text("em dia")
    await expect(lists.filter(has_text="Documentos")).to_have_count(2)
    await expect(lists.filter(has_text="não lida")).to_have_count(4)
    await expect(page.get_by_role("region", name="Saúde")).to_contain_text("não responde")
    await assert_accessible(page)

    async with stack.engine.begin() as db:
        await db.execute(text("DELETE FROM source_pauses"))
        await db.execute(text("DELETE FROM sync_executions WHERE status = 'error'"))
        await db.execute(text("DELETE FROM rejected_records"))
        await db.execute(text("DELETE FROM alerts"))
    await page.reload()
    await expect(troubles).to_contain_text("Itens das contratações: 1.234 registros esperam desde")
    await expect(fresh).not_to_contain_text("O portal não responde")


async def test_a_viewer_sees_everything_and_changes_nothing(stack: Stack, visit: Open) -> None:
    await last_night_failed(stack, running=True)
    await stack.start_backend(**PASSWORDS)
    page = await visit()
    await log_in(page, "viewer", PASSWORDS["VIEWER_PASSWORD"])
    await expect(page.get_by_text("somente leitura")).to_be_visible()
    await expect(page.get_by_role("article", name="Carga 3")).to_contain_text("1 fatia terá nova tentativa automática")
    writes: list[str] = []
    page.on("request", lambda request: writes.append(request.url) if request.method != "GET" else None)
    for view in VIEWS:
        await page.evaluate("(hash) => { location.hash = hash }", view)
        await expect(page.get_by_role("heading", level=1).first).to_be_visible()
        for name in (
            "Atualizar",
            "Manter completo",
            "Já sei",
            "Carregar período",
            "Cancelar",
            "Repetir",
            "Pausar",
            "Mudar horário",
        ):
            for each in await page.get_by_role("button", name=re.compile(f"^{name}")).all():
                await expect(each).to_have_attribute("aria-disabled", "true")
                await expect(each).to_have_attribute("title", re.compile("Só um administrador"))
                await each.click(force=True)
                await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_text("Só um administrador pode fazer isto").last).to_be_visible()
    assert writes == []


async def test_every_button_may_be_pressed(stack: Stack, visit: Open) -> None:
    await last_night_failed(stack, running=True)
    await stack.start_backend(SCHEDULE_ENABLED="true")
    page = await visit()
    pressed: set[str] = set()
    for view in VIEWS:
        await page.evaluate("(hash) => { location.hash = hash }", view)
        await expect(page.locator(".skeleton")).to_have_count(0)
        for each in await page.locator("main button:not(.cell)").element_handles():
            if not await each.is_visible():  # or no longer there: some of them start what others wait for
                continue
            pressed.add((await each.inner_text()).strip())
            await each.click(force=True)  # also those that only say why they do nothing
            await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
            if await page.get_by_role("dialog").count():
                await expect(page.get_by_role("dialog").locator(":focus")).to_have_count(1)
                await page.keyboard.press("Escape")
                await expect(page.get_by_role("dialog")).to_have_count(0)
            await page.evaluate("(hash) => { location.hash = hash }", view)
    assert {
        "Manter completo desde…",
        "Carregar período",
        "Cancelar",
        "Pausar",
        "Mudar horário",
        "números",
    } <= pressed, pressed

    await change_the_schedule(page)
    await walk_the_calendar(page)


async def change_the_schedule(page: Page) -> None:
    """Pause, resume and another cron, with the keyboard where that is enough."""
    await page.evaluate("location.hash = '#/agenda'")
    await button(page, "Pausar: Varredura noturna").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Por quê?")).to_be_focused()
    await page.get_by_label("Por quê?").fill("portal em manutenção")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("“portal em manutenção” — um administrador")).to_be_visible()
    await button(page, "Mudar horário: Atualização").click()
    await page.get_by_label("Cron").fill("every minute")
    await button(page.get_by_role("dialog"), "Mudar horário").click()
    await expect(page.get_by_label("Cron")).to_have_accessible_description(re.compile("cinco campos"))
    await expect(page.get_by_label("Cron")).to_be_focused()
    await page.get_by_label("Cron").fill("*/30 6-22 * * *")
    await button(page.get_by_role("dialog"), "Mudar horário").click()
    await expect(page.get_by_text("*/30 6-22 * * *")).to_be_visible()
    await button(page, "Retomar: Varredura noturna").click()
    await button(page.get_by_role("dialog"), "Retomar").click()
    await expect(button(page, "Pausar: Varredura noturna")).to_be_visible()


async def walk_the_calendar(page: Page) -> None:
    """With the keyboard: yesterday lies left of today, or in the row above."""
    await page.evaluate("location.hash = '#/cobertura'")
    await page.locator("button.cell.today").focus()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Enter")
    day = page.get_by_role("dialog")
    await expect(day).to_contain_text("em andamento")
    await expect(day).to_contain_text("Dispensa")
    await page.keyboard.press("Escape")
    await expect(day).to_have_count(0)
    await page.evaluate("location.hash = '#/cobertura?dia=2025-03-10'")
    await button(page.get_by_role("dialog"), "Carregar este dia").click()
    await expect(page.get_by_text(re.compile(r"^Execução \d+ iniciada\.")).last).to_be_visible()


async def test_the_calendar_the_history_and_the_schedules_of_another_resource(stack: Stack, visit: Open) -> None:
    await stack.start_backend(SCHEDULE_ENABLED="true", PNCP_RESOURCES="contratacoes,atas")
    page = await visit("#/cobertura")
    await page.get_by_label("O quê").select_option("atas")
    await expect(page.get_by_text("Atas de registro de preços: o que o espelho tem de cada dia")).to_be_visible()
    await expect(page.get_by_label("Modalidade")).to_have_count(0)
    await page.locator("button.cell.today").click()
    await button(page.get_by_role("dialog"), "Carregar este dia").click()
    await expect(page.get_by_text("Execução 1 iniciada.")).to_be_visible()
    (execution,) = (await stack.api.get("/sync/history", params={"resource": "atas"})).json()["executions"]
    assert (execution["mode"], execution["criterio"]) == ("backfill", "atualizacao")

    await page.evaluate("location.hash = '#/historico?resource=contratos'")
    await expect(page.get_by_text("Nenhuma execução passa por estes filtros")).to_be_visible()
    await page.get_by_label("O quê").select_option("atas")
    await expect(page.get_by_role("link", name=re.compile("Carga de atas 1"))).to_be_visible()
    await assert_accessible(page)

    await page.evaluate("location.hash = '#/agenda'")
    await button(page, "Pausar: Varredura noturna de atas de registro de preços").click()
    await page.get_by_label("Por quê?").fill("portal em manutenção")
    await page.keyboard.press("Enter")
    await expect(button(page, "Retomar: Varredura noturna de atas de registro de preços")).to_be_visible()
    schedules = (await stack.api.get("/sync/schedules")).json()["schedules"]
    assert [one["name"] for one in schedules if one["paused"]] == ["atas.sweep"]


async def test_an_update_of_one_of_all_that_is_scheduled_or_of_what_is_chosen_of_it(stack: Stack, visit: Open) -> None:
    await stack.start_backend(PNCP_RESOURCES="contratacoes,contratos,atas")
    page = await visit(size=PHONE)
    await button(page, "Atualizar vários").click()
    dialog = page.get_by_role("dialog")
    choices = dialog.get_by_role("checkbox")
    await expect(choices).to_have_count(3)
    assert [await each.is_checked() for each in await choices.all()] == [True] * 3
    await assert_accessible(page)
    for name in ("Contratações", "Contratos e empenhos", "Atas de registro de preços"):
        await dialog.get_by_role("checkbox", name=name).focus()
        await page.keyboard.press("Space")
    await button(dialog, "Atualizar agora").click()
    await expect(dialog.get_by_role("alert")).to_have_text("Escolha ao menos um.")
    for name in ("Contratações", "Atas de registro de preços"):
        await dialog.get_by_role("checkbox", name=name).check()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Execuções 1 e 2 iniciadas.")).to_be_visible()
    await expect(dialog).to_have_count(0)
    executions = (await stack.api.get("/sync/history")).json()["executions"]
    assert [(one["resource"], one["mode"]) for one in executions] == [("atas", "update"), ("contratacoes", "update")]

    next_update = page.get_by_role("region", name="O que fazer")
    await button(next_update, "Atualizar agora").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    # two of them still wait, and are the same executions
    await expect(page.get_by_text("Execuções 1, 3 e 2 iniciadas.")).to_be_visible()
    assert (await stack.api.get("/sync/history")).json()["total_count"] == 3


async def test_an_update_that_is_accepted_in_part_starts_nothing_twice(stack: Stack, visit: Open) -> None:
    await stack.start_backend(PNCP_RESOURCES="contratacoes,contratos")
    page = await visit()
    problem = '{"detail": "O banco de dados está indisponível."}'

    async def refuse_contratos(route: Route) -> None:
        if "contratos" in (route.request.post_data or ""):
            await route.fulfill(status=503, content_type="application/problem+json", body=problem)
        else:
            await route.continue_()

    await page.route("**/sync/force", refuse_contratos)
    await button(page, "Atualizar vários").click()
    dialog = page.get_by_role("dialog")
    await button(dialog, "Atualizar agora").click()
    await expect(dialog.get_by_role("alert")).to_have_text("O banco de dados está indisponível.")
    await expect(page.get_by_text("Execução 1 iniciada.")).to_be_visible()
    await page.unroute_all()
    await button(dialog, "Atualizar agora").click()
    await expect(page.get_by_text("Execuções 1 e 2 iniciadas.")).to_be_visible()
    assert (await stack.api.get("/sync/history")).json()["total_count"] == 2


async def keep_complete_and_give_up(page: Page) -> None:
    """From the fields: set a goal, pause, resume and remove it."""
    await page.get_by_label("De", exact=True).fill("2026-01-01")
    await page.get_by_label("Até", exact=True).fill("2026-01-05")
    problem = '{"detail": "O banco de dados está indisponível."}'
    await page.route(
        "**/sync/goals/contratacoes/plan?*",
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=problem),
        times=1,
    )
    await page.get_by_role("button", name="Manter completo desde 01/01/2026").click()
    form = page.get_by_role("dialog", name="Manter completo")
    await expect(form.get_by_text("O custo não pôde ser calculado")).to_be_visible()
    await expect(form.get_by_text("Pedidos ao portal")).to_be_visible()  # asked again
    since = form.get_by_label("Desde")
    await since.fill("2020-01-01")
    await button(form, "Manter completo").click()
    await expect(since).to_be_focused()
    await expect(since).to_have_accessible_description("O PNCP começa em 2021.")
    await since.fill("2026-01-01")
    await expect(since).to_have_accessible_description("")
    await expect(form.get_by_text("Pedidos ao portal")).to_be_visible()
    await assert_accessible(page)
    await button(form, "Manter completo").click()
    goals = page.get_by_role("region", name="Manter completo")
    await expect(goals).to_contain_text("Contratações desde 01/01/2026")
    await button(goals, "Pausar: Contratações").click()
    await expect(page.get_by_label("Por quê?")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Por quê?")).to_have_accessible_description("Preencha este campo.")
    await page.get_by_label("Por quê?").fill("portal em manutenção")
    await page.keyboard.press("Enter")
    await expect(goals).to_contain_text("portal em manutenção")
    await assert_accessible(page)
    await button(goals, "Retomar: Contratações").click()
    await expect(goals).not_to_contain_text("em pausa")
    await button(goals, "Remover: Contratações").click()
    await button(page.get_by_role("dialog"), "Remover").click()
    await expect(goals).to_contain_text("Nada está pedido.")


async def test_days_are_chosen_by_mouse_and_keyboard_and_kept_complete(stack: Stack, visit: Open) -> None:
    await last_night_failed(stack)
    await stack.start_backend()
    page = await visit("#/cobertura")
    strips = page.get_by_role("slider", name=re.compile("^Dias"))
    await strips.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(strips).to_have_attribute("aria-valuetext", re.compile("com falha"))
    for _ in range(2):
        await page.keyboard.press("Shift+ArrowLeft")
    await expect(page.get_by_text(re.compile(r"\(3 dias\)"))).to_be_visible()
    await button(page, "Carregar este período").click()
    form = page.get_by_role("dialog", name="Carregar um período")
    first, last = [await form.get_by_label(name).input_value() for name in ("Primeiro dia", "Último dia")]
    assert date.fromisoformat(last) - date.fromisoformat(first) == timedelta(days=2)
    await page.keyboard.press("Escape")

    row = page.locator("[data-year='2023']")
    box = await row.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 5)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 5, steps=5)
    await page.mouse.up()
    await expect(page.get_by_label("De", exact=True)).to_have_value(re.compile("^2023-04-0[12]$"))
    await expect(page.get_by_label("Até", exact=True)).to_have_value(re.compile("^2023-07-0[123]$"))

    await keep_complete_and_give_up(page)
    (goal,) = [one for one in (await stack.api.get("/sync/goals")).json()["goals"] if one["resource"] == "contratacoes"]
    assert goal["from_day"] is None


LAG = """async (timeline) => {
    const { lagOf } = await import("/assets/timeline.js");
    return lagOf(timeline, Date.parse("2025-01-01T10:00:00Z"), Date.parse("2025-01-01T12:00:00Z"));
}"""


async def test_the_log_is_opened_at_its_first_warning_and_searched_and_lag_jumps_at_each_update(
    stack: Stack, visit: Open
) -> None:
    await last_night_failed(stack)
    async with stack.engine.begin() as db:
        await db.execute(
            text("""
                INSERT INTO execution_log (execution_id, logged_at, level, event, fields)
                SELECT 1, now(), CASE WHEN n = 260 THEN 'warning' ELSE 'info' END, 'line ' || n, '{}'
                  FROM generate_series(1, 300) n
            """)
        )
    await stack.start_backend()
    page = await visit("#/execucoes/1/registro")
    lines = page.get_by_role("list", name="Linhas do registro").get_by_role("listitem")
    await expect(lines.first).to_contain_text("line 260")
    await expect(page.get_by_text("Aberto no primeiro aviso.")).to_be_visible()
    await page.get_by_label("Procurar").fill("LINE 77")
    await expect(lines).to_have_count(1)
    await expect(lines.first).to_contain_text("line 77")
    assert page.url.endswith("?texto=LINE+77")
    await button(page, "Anteriores").click(force=True)
    await page.get_by_label("Procurar").fill("")
    await expect(lines).to_have_count(200)

    marks = [("2025-01-01T09:00:00Z", "2025-01-01T09:00:00Z"), ("2025-01-01T11:00:00Z", "2025-01-01T10:50:00Z")]
    lag = await page.evaluate(LAG, {"marks": [{"at": at, "updated_until": until} for at, until in marks]})
    assert [point["seconds"] for point in lag] == [3600, 7200, 600, 4200]


async def test_every_view_is_accessible_in_both_themes_on_a_desk_and_on_a_phone(stack: Stack, visit: Open) -> None:
    await last_night_failed(stack, running=True)
    await stack.start_backend(SCHEDULE_ENABLED="true")
    for size in (DESKTOP, PHONE):
        page = await visit(size=size)
        for view in (*VIEWS, "#/cobertura?dia=2025-03-10"):
            await page.emulate_media(color_scheme="light")
            await page.evaluate("(hash) => { location.hash = hash }", view)
            await expect(page.locator(".skeleton")).to_have_count(0)
            await assert_accessible(page)
            if size == DESKTOP or view == VIEWS[0]:
                await page.emulate_media(color_scheme="dark")
                await assert_accessible(page, only_colours=True)
            if size == PHONE:
                await page.set_viewport_size({"width": 360, "height": 640})
                await assert_fits(page)
                await page.set_viewport_size({"width": size[0], "height": size[1]})


async def test_without_the_database_the_page_keeps_what_it_knew_and_says_so(stack: Stack, visit: Open) -> None:
    await last_night_failed(stack)
    await stack.start_backend()
    page = await visit()
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await expect(page.get_by_text("1 carga falhou").first).to_be_visible()
    problem = (
        '{"code": "database_away",'
        ' "detail": "O banco de dados está indisponível. Consulte o histórico antes de repetir o pedido."}'
    )
    await page.route(
        "**/sync/**", lambda route: route.fulfill(status=503, content_type="application/problem+json", body=problem)
    )
    await button(page.get_by_role("region", name="O que fazer"), "Atualizar agora").click()
    await expect(page.get_by_role("status").filter(has_text="banco de dados está indisponível")).to_be_visible()
    await expect(page.get_by_text("O banco de dados está fora do ar. Tentando de novo…")).to_be_visible()
    await expect(page.get_by_text("1 carga falhou").first).to_be_visible()
    await assert_accessible(page)

    await page.unroute_all()
    await button(page, "Tentar agora").click()
    await expect(page.get_by_text("O banco de dados está fora do ar. Tentando de novo…")).to_be_hidden()


SAID: list[tuple[str, list[Any], str]] = [
    ("duration", [9.84], "9,8 s"),
    ("duration", [59.6], "1 min"),
    ("duration", [200], "3 min 20 s"),
    ("duration", [7500], "2 h 5 min"),
    ("duration", [273_600], "3 d 4 h"),
    ("duration", [None], "—"),
    ("roughly", [86_400 * 3], "3 dias"),
    ("integer", [1_234_567], "1.234.567"),
    ("exactly", ["2026-11-22T02:30:00Z"], "21/11/2026 23:30:00 (Brasília)"),
    ("windowOf", ["2026-11-20T00:00:00", "2026-11-20T23:59:59"], "20/11/2026"),
    ("windowOf", ["2026-11-20T00:00:00", "2026-11-21T23:59:59"], "20/11/2026 a 21/11/2026"),
    ("windowOf", ["2026-11-20T07:46:00", "2026-11-20T08:01:00"], "20/11 07:46–08:01"),  # noqa: RUF001
    ("addDays", ["2026-02-28", 1], "2026-03-01"),
    ("spokenDay", ["2026-11-20"], "sexta-feira, 20 de novembro de 2026"),
    (
        "meaningOf",
        [{"cause": "no_answer", "error_message": "x", "progress": {"slices_failed": 3, "slices_total": 19}}],
        "3 de 19 fatias falharam: o portal não respondeu como devia",
    ),
    ("meaningOf", [{"cause": "incomplete", "error_message": "x"}], "A listagem do portal não está completa"),
    ("meaningOf", [{"cause": "cancelled", "cancelled_by": "maria"}], "Cancelada por maria"),
    ("meaningOf", [{"cause": "cancelled", "cancelled_by": "an administrator"}], "Cancelada por um administrador"),
    ("meaningOf", [{"cause": "not_known_here", "error_message": "something new"}], "something new"),
    ("meaningOf", [{"cause": None, "error_message": None}], "Sem mensagem"),
    ("adviceFor", [{"cause": "no_worker"}], "Inicie um ingestor e peça de novo."),
    ("adviceFor", [{"cause": None}], ""),
]


async def test_words_are_brazilian_and_who_guesses_passwords_is_told_how_long_to_wait(
    stack: Stack, visit: Open
) -> None:
    await stack.start_backend(**PASSWORDS, LIMIT_FAILED_LOGINS_PER_MINUTE="2")
    page = await visit()
    said = await page.evaluate(
        """async (questions) => {
            const known = { ...(await import("/assets/format.js")), ...(await import("/assets/words.js")) };
            return questions.map(([name, given]) => known[name](...given));
        }""",
        [[name, given] for name, given, _ in SAID],
    )
    assert said == [expected for _, _, expected in SAID]
    unworded = """async (causes) => {
        const { meaningOf } = await import("/assets/words.js");
        return causes.filter((cause) => meaningOf({ cause }) === "Sem mensagem");
    }"""
    assert await page.evaluate(unworded, list(CAUSES)) == []

    for _ in range(3):
        await log_in(page, "admin", "wrong")
        await expect(page.get_by_role("alert")).not_to_be_empty()
    await expect(page.get_by_role("alert")).to_have_text(re.compile(r"Tente de novo em \d+ s\."))
    await expect(button(page, "Entrar")).to_have_attribute("aria-disabled", "true")
