"""Which scope each route asks for, and programs that call the API: their tokens, and what these allow."""

import asyncio
import base64
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import yaml
from starlette.routing import Route

from backend.access import access_of, leaves
from backend.bodies import body_of
from backend.config import BackendSettings
from backend.main import create_app
from backend.middleware import PUBLIC
from backend.services.deliveries import files
from common.connections.files import MOST_SCOPES
from common.logs import configure_logging
from tests.integration.conftest import ADMIN, ADMIN_PASSWORD, KEY, VIEWER, Database, Open

SECRET = "Zk3sTnUQpJmYQ0m2o2WlMmu0mQx1nQxYw0b5cJ8lWqE"
ENTITY = "key: codigo\ncolumns: {codigo: text}\n"
DESTINATION = "url: https://{name}.example/api\nstart: now\nstreams:\n  - entity: contratos\n"
ROUTES = """\
DELETE /buscas/{search_id} read:* write 16384
DELETE /entities/{entidade}/records/{chave:path} intake:{entidade} write 16384
DELETE /exportacoes/{export_id} read:* write 16384
DELETE /sync/goals/{resource} admin write 16384
DELETE /sync/troubles/{trouble_id}/acknowledge admin write 16384
GET /about read:* read 16384
GET /armazenamento read:* read 16384
GET /arquivos read:* read 16384
GET /arquivos/{nome} read:* read 16384
GET /atas read:atas read 16384
GET /atas.{formato} read:atas read 16384
GET /atas/facetas read:* read 16384
GET /atas/resumo read:* read 16384
GET /atas/{cnpj}/{ano}/{sequencial}/{numero} read:atas read 16384
GET /auth/me read:* read 16384
GET /buscas read:* read 16384
GET /buscas/{search_id} read:* read 16384
GET /buscas/{search_id}/previa read:* read 16384
GET /compras read:compras read 16384
GET /compras.{formato} read:compras read 16384
GET /compras/facetas read:compras read 16384
GET /conciliacao read:conciliacao read 16384
GET /conciliacao.{formato} read:conciliacao read 16384
GET /conciliacao/facetas read:conciliacao read 16384
GET /conciliacao/resumo read:conciliacao read 16384
GET /contratacoes read:contratacoes read 16384
GET /contratacoes.{formato} read:contratacoes read 16384
GET /contratacoes/facetas read:* read 16384
GET /contratacoes/resumo read:* read 16384
GET /contratacoes/{cnpj}/{ano}/{sequencial} read:contratacoes read 16384
GET /contratos read:contratos read 16384
GET /contratos.{formato} read:contratos read 16384
GET /contratos/facetas read:* read 16384
GET /contratos/resumo read:* read 16384
GET /contratos/{cnpj}/{ano}/{sequencial} read:contratos read 16384
GET /controle/{numero:path} read:* read 16384
GET /deliveries/{entidade}/{chave:path} read:* read 16384
GET /destinations read:* read 16384
GET /destinations/{destination} read:* read 16384
GET /destinations/{destination}/rejeitados read:* read 16384
GET /docs read:* read 16384
GET /docs/assets/{name} read:* read 16384
GET /documentos read:documentos read 16384
GET /documentos.{formato} read:documentos read 16384
GET /documentos/facetas read:* read 16384
GET /dominios read:* read 16384
GET /dominios/{tabela} read:* read 16384
GET /entidades/{entidade} read:* read 16384
GET /entities read:* read 16384 also intake:?
GET /entities/{entidade} read:* read 16384 also intake:?
GET /entities/{entidade}/modelo.xlsx read:* read 16384 also intake:?
GET /entities/{entidade}/records/{chave:path} read:{entidade} read 16384
GET /exportacoes read:* read 16384
GET /exportacoes/{export_id} read:* read 16384
GET /exportacoes/{export_id}/arquivo read:* read 16384
GET /fornecedores read:fornecedores read 16384
GET /fornecedores-proprios read:fornecedores_proprios read 16384
GET /fornecedores-proprios.{formato} read:fornecedores_proprios read 16384
GET /fornecedores-proprios/facetas read:fornecedores_proprios read 16384
GET /fornecedores.{formato} read:fornecedores read 16384
GET /fornecedores/facetas read:* read 16384
GET /fornecedores/{id} read:fornecedores read 16384
GET /fornecedores/{tipo_pessoa}/{ni:path} read:fornecedores read 16384
GET /historico read:historico read 16384
GET /historico.{formato} read:historico read 16384
GET /historico/facetas read:* read 16384
GET /imports read:* read 16384 also intake:?
GET /imports/resumo read:* read 16384 also intake:?
GET /imports/{import_id} read:* read 16384 also intake:?
GET /imports/{import_id}/erros.csv read:* read 16384 also intake:?
GET /imports/{import_id}/rows read:* read 16384 also intake:?
GET /instrumentos-cobranca read:instrumentos_cobranca read 16384
GET /instrumentos-cobranca.{formato} read:instrumentos_cobranca read 16384
GET /instrumentos-cobranca/facetas read:* read 16384
GET /instrumentos-cobranca/resumo read:* read 16384
GET /instrumentos-cobranca/{cnpj}/{ano}/{sequencial}/{numero} read:instrumentos_cobranca read 16384
GET /itens read:itens read 16384
GET /itens-compra read:itens_compra read 16384
GET /itens-compra.{formato} read:itens_compra read 16384
GET /itens-compra/facetas read:itens_compra read 16384
GET /itens-pca read:itens_pca read 16384
GET /itens-pca.{formato} read:itens_pca read 16384
GET /itens-pca/facetas read:* read 16384
GET /itens.{formato} read:itens read 16384
GET /itens/facetas read:* read 16384
GET /jobs read:* read 16384
GET /jobs/{job_id} read:* read 16384 also deliver:?
GET /jobs/{job_id}/log read:* read 16384 also deliver:?
GET /layouts read:* read 16384 also intake:?
GET /layouts/{layout}/modelo.xlsx read:* read 16384 also intake:?
GET /metrics read:* read 16384
GET /mudancas read:* read 16384
GET /ocds/releases read:* read 16384
GET /ocds/{ocid} read:* read 16384
GET /openapi.json read:* read 16384
GET /orgaos read:orgaos read 16384
GET /orgaos.{formato} read:orgaos read 16384
GET /orgaos/facetas read:* read 16384
GET /orgaos/{cnpj:path} read:orgaos read 16384
GET /pcas read:pcas read 16384
GET /pcas.{formato} read:pcas read 16384
GET /pcas/facetas read:* read 16384
GET /pcas/resumo read:* read 16384
GET /pcas/{cnpj}/{ano}/{sequencial} read:pcas read 16384
GET /precos read:* read 16384
GET /precos.{formato} read:* read 16384
GET /produtos read:produtos read 16384
GET /produtos.{formato} read:produtos read 16384
GET /produtos/facetas read:produtos read 16384
GET /redoc read:* read 16384
GET /resultados read:resultados read 16384
GET /resultados.{formato} read:resultados read 16384
GET /resultados/facetas read:* read 16384
GET /sources read:* read 16384
GET /sources/{nome} read:* read 16384
GET /sync/alerts read:* read 16384
GET /sync/coverage read:* read 16384
GET /sync/coverage/spans read:* read 16384
GET /sync/dashboard read:* read 16384
GET /sync/executions/{execution_id} read:* read 16384
GET /sync/executions/{execution_id}/log read:* read 16384
GET /sync/executions/{execution_id}/matrix read:* read 16384
GET /sync/executions/{execution_id}/slices read:* read 16384
GET /sync/goals read:* read 16384
GET /sync/goals/{resource}/plan read:* read 16384
GET /sync/history read:* read 16384
GET /sync/rejected read:* read 16384
GET /sync/resources read:* read 16384
GET /sync/schedules read:* read 16384
GET /sync/status read:* read 16384
GET /sync/timeline read:* read 16384
GET /sync/verdict read:* read 16384
GET /termos-contrato read:termos_contrato read 16384
GET /termos-contrato.{formato} read:termos_contrato read 16384
GET /termos-contrato/facetas read:* read 16384
GET /unidades read:unidades read 16384
GET /unidades.{formato} read:unidades read 16384
GET /unidades/facetas read:* read 16384
GET /unidades/{cnpj}/{codigo_unidade:path} read:unidades read 16384
GET /{entidade} read:{entidade} read 16384
GET /{entidade}.{formato} read:{entidade} read 16384
GET /{entidade}/facetas read:{entidade} read 16384
PATCH /buscas/{search_id} read:* write 16384
POST /arquivos admin write 16384
POST /buscas read:* write 16384
POST /destinations/{destination}/pause admin write 16384
POST /destinations/{destination}/preview admin write 16384
POST /destinations/{destination}/rejeitados/repetir deliver:{destination} write 262144
POST /destinations/{destination}/resume admin write 16384
POST /destinations/{destination}/test deliver:{destination} write 16384
POST /exportacoes read:* write 16384
POST /imports/{import_id}/confirm intake:? write 16384
POST /imports/{import_id}/discard intake:? write 16384
POST /intake/{entidade} intake:{entidade} write 1048576
POST /jobs/{job_id}/cancel admin write 16384
POST /jobs/{job_id}/confirm admin write 16384
POST /sources/{nome}/ler admin write 16384
POST /sources/{nome}/pause admin write 16384
POST /sources/{nome}/resume admin write 16384
POST /sync/alerts/test admin write 16384
POST /sync/cancel admin write 16384
POST /sync/executions/{execution_id}/cancel admin write 16384
POST /sync/executions/{execution_id}/retry admin write 16384
POST /sync/force admin write 16384
POST /sync/goals/{resource}/pause admin write 16384
POST /sync/goals/{resource}/resume admin write 16384
POST /sync/lists read:* write 16384
POST /sync/lists/plan read:* read 16384
POST /sync/plan read:* read 16384
POST /sync/retry-failed admin write 16384
POST /sync/schedules/{name}/pause admin write 16384
POST /sync/schedules/{name}/resume admin write 16384
POST /sync/troubles/{trouble_id}/acknowledge admin write 16384
POST /{entidade}/sincronizar deliver:? write 262144
PUT /entities/{entidade}/records/{chave:path} intake:{entidade} write 16384
PUT /intake/{entidade}/arquivo intake:{entidade} write 0
PUT /sync/goals/{resource} admin write 16384
PUT /sync/schedules/{name} admin write 16384
"""
"""Method, path, scope, what a call counts as, the longest body in bytes (0: a setting), and what else lets in.

Nothing else is open.
"""


def test_every_route_declares_its_scope_its_cost_and_the_length_of_its_body() -> None:
    app = create_app(BackendSettings(database_url="postgresql://x@127.0.0.1/x", rabbitmq_url=None))  # type: ignore[arg-type]
    found = []
    for route in leaves(app.router.routes):
        if isinstance(route, Route) and route.path not in PUBLIC:
            declared = access_of(route)
            also = f" also {declared.also}" if declared.also else ""
            said = f"{route.path} {declared.scope} {declared.cost} {body_of(route).most}{also}"
            found += [f"{method} {said}" for method in route.methods or ()]
            for name in re.findall(r"{(\w+)}", declared.scope):
                assert f"{{{name}}}" in route.path, "the scope is of a parameter that the path does not have"
    assert sorted(found) == sorted(ROUTES.splitlines())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of connections, which is looked at on every request."""
    monkeypatch.setattr(files, "LOOK_SECONDS", 0.0)
    for name, content in (("entities/pedidos", ENTITY), ("entities/itens_pedido", ENTITY)):
        write(tmp_path, name, content)
    for name in ("crm", "erp-2"):
        write(tmp_path, f"destinations/{name}", DESTINATION.format(name=name))
    return tmp_path


def write(folder: Path, name: str, content: str) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)


def allow(folder: Path, *scopes: str, name: str = "erp", secret: str = SECRET, **more: Any) -> None:
    """Write the file of a client."""
    content = {"scopes": list(scopes), "secret_sha256": hashlib.sha256(secret.encode()).hexdigest(), **more}
    write(folder, f"clients/{name}", yaml.safe_dump(content, default_style='"'))


async def ask_token(api: httpx.AsyncClient, secret: str = SECRET, **form: str) -> httpx.Response:
    given = {"grant_type": "client_credentials", "client_id": "erp", "client_secret": secret, **form}
    return await api.post("/auth/token", data=given)


async def bearer(api: httpx.AsyncClient, **form: str) -> dict[str, str]:
    answer = await ask_token(api, **form)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def assert_oauth_error(answer: httpx.Response, status: int, error: str) -> None:
    assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (status, error, error)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"


def assert_missing(answer: httpx.Response, scope: str) -> None:
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == ("forbidden" if scope == "admin" else "insufficient_scope")
    assert scope in answer.json()["detail"]
    asked = f'Bearer realm="PNCP Sync", error="insufficient_scope", scope="{scope}"'
    assert answer.headers["www-authenticate"] == asked


async def test_a_client_that_reads_one_list_reads_it_its_files_and_its_records_and_nothing_else(
    start: Open, folder: Path, filled: Database
) -> None:
    allow(folder, "read:contratos")
    key = await filled.value("SELECT numero_controle_pncp FROM contratos LIMIT 1")
    clients = await start(connections_dir=folder)
    async with clients() as api:
        api.headers.update(await bearer(api))
        record = await api.get("/contratos", params={"limite": 1})
        assert record.status_code == 200
        assert (await api.get("/contratos.csv")).status_code == 200
        address = (await api.get(f"/controle/{key}", auth=VIEWER)).headers["location"]
        api.headers.update(await bearer(api))
        assert (await api.get(address)).status_code == 200
        for row in ROUTES.splitlines():
            method, path, scope, *_ = row.split()
            if scope == "read:contratos":
                continue
            asked = path.replace("{entidade}", "pedidos").replace("{formato}", "csv")
            answer = await api.request(method, re.sub(r"{[^}]+}", "1", asked))
            assert answer.status_code == 403, row
            missing = scope.replace("{entidade}", "pedidos").replace("{destination}", "*").replace("?", "*")
            assert_missing(answer, missing)


async def test_a_client_that_reads_all_reads_what_a_viewer_reads_with_cpfs_masked(
    start: Open, folder: Path, filled: Database
) -> None:
    allow(folder, "read:*")
    async with (await start(connections_dir=folder))() as api:
        token = await bearer(api)
        assert (await api.get("/auth/me", headers=token)).json() == {
            "authentication": True,
            "username": "client:erp",
            "role": "viewer",
            "scopes": ["read:*"],
        }
        assert (await api.get("/fornecedores", headers=token)).status_code == 200
        assert (await api.get("/fornecedores?dados_pessoais=true", headers=token)).status_code == 422
        assert_missing(await api.post("/sync/force", json={}, headers=token), "admin")


async def test_what_a_client_may_hand_in_follows_from_the_address(start: Open, folder: Path) -> None:
    allow(folder, "intake:pedidos", "intake:itens_pedido")
    clients = await start(connections_dir=folder)
    async with clients() as api:
        token = await bearer(api)
        for name in ("pedidos", "itens_pedido", "itens-pedido"):
            answer = await api.post(f"/intake/{name}", json={"codigo": name}, headers=token)
            assert answer.status_code == 202, answer.text
        assert_missing(await api.post("/intake/vendas", headers=token), "intake:vendas")
        # what is nobody's name is neither taken for a sign of ours nor repeated in a header
        for name in ("%3F", "*", "Pedidos", "pedidos%0D%0ASet-Cookie:%20a=b", "pedidos%22", "%C3%A7"):
            assert_missing(await api.post(f"/intake/{name}", headers=token), "intake:*")
        assert (await api.post("/intake/vendas", json={}, auth=ADMIN)).status_code == 404
        file = await api.put("/intake/pedidos/arquivo?nome=a.csv", content=b"codigo\n1\n", headers=token)
        assert file.status_code == 202, file.text
        assert_missing(await api.put("/intake/vendas/arquivo?nome=a.csv", content=b"x", headers=token), "intake:vendas")
        record = "/entities/pedidos/records/1"
        assert (await api.put(record, json={"codigo": "1"}, headers=token)).status_code == 202
        assert_missing(await api.get(record, headers=token), "read:pedidos")
        assert_missing(await api.delete("/entities/vendas/records/1", headers=token), "intake:vendas")
        answer = await api.post("/intake/pedidos", auth=VIEWER)
        assert (answer.status_code, answer.json()["detail"]) == (403, "Falta o escopo intake:pedidos.")
        assert "www-authenticate" not in answer.headers, "Basic has no scopes"


async def test_an_entity_that_is_declared_behind_the_gate_is_given_to_no_one(start: Open, folder: Path) -> None:
    class Late:
        """Connections that know of entities when they are asked again."""

        def __init__(self, files: files.ConnectionFiles) -> None:
            self._files = files
            self._is_asked = False

        @property
        def known(self) -> files.Known:
            is_first, self._is_asked = not self._is_asked, True
            return files.Known() if is_first else self._files.known

        async def load(self) -> files.Known:
            return await self._files.load()

    clients = await start(connections_dir=folder)
    connections = clients.state["connections"]
    await connections.load()
    for path in ("/pedidos", "/pedidos.csv", "/pedidos/facetas"):
        clients.state["connections"] = Late(connections)
        async with clients() as api:
            assert (await api.get(path)).status_code == 404, path
    clients.state["connections"] = connections
    async with clients() as api:
        assert (await api.get("/pedidos")).status_code == 401


async def test_a_client_starts_deliveries_to_its_destination_alone(start: Open, folder: Path) -> None:
    allow(folder, "deliver:crm")
    async with (await start(connections_dir=folder))() as api:
        token = await bearer(api)
        started = await api.post("/contratos/sincronizar", json={"destino": "crm"}, headers=token)
        assert started.status_code == 202, started.text
        seen = await api.get(started.headers["location"], headers=token)
        assert (seen.status_code, seen.json()["subject"]) == (200, "crm")
        assert (await api.get(f"{started.headers['location']}/log", headers=token)).status_code == 200
        assert_missing(await api.get("/jobs", headers=token), "read:*")
        assert_missing(
            await api.post("/contratos/sincronizar", json={"destino": "erp-2"}, headers=token), "deliver:erp-2"
        )
        injected = {"destino": 'x"\r\nSet-Cookie: a=b'}
        assert_missing(await api.post("/contratos/sincronizar", json=injected, headers=token), "deliver:*")
        assert (await api.post("/destinations/crm/test", headers=token)).status_code == 409, "it is delivering"
        assert_missing(await api.post("/destinations/erp-2/test", headers=token), "deliver:erp-2")
        assert_missing(await api.post("/destinations/crm/pause", json={"reason": "x"}, headers=token), "admin")
    allow(folder, "deliver:erp-2")
    async with (await start(connections_dir=folder))() as api:
        token = await bearer(api)
        for path in (started.headers["location"], f"{started.headers['location']}/log", "/jobs/99999"):
            answer = await api.get(path, headers=token)
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job"), path
    allow(folder, "intake:pedidos")
    async with (await start(connections_dir=folder))() as api:
        assert_missing(await api.get(started.headers["location"], headers=await bearer(api)), "read:*")
        answer = await api.post("/contratos/sincronizar", json={"destino": "crm"}, headers=await bearer(api))
        assert_missing(answer, "deliver:*")


# Tokens


async def test_a_token_of_a_client_says_what_it_is_for_and_lives_half_an_hour_at_most(
    start: Open, folder: Path
) -> None:
    allow(folder, "read:*", "intake:pedidos")
    async with (await start(connections_dir=folder, token_minutes=60))() as api:
        answer = await ask_token(api)
        assert answer.json()["scope"] == "intake:pedidos read:*"
        assert answer.json()["expires_in"] == 1800
        claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
        assert (claims["sub"], claims["client"], claims["scope"]) == ("client:erp", "erp", "intake:pedidos read:*")
        assert claims["exp"] - claims["iat"] == 1800
        narrow = await ask_token(api, scope="read:contratos  intake:pedidos")
        assert narrow.json()["scope"] == "intake:pedidos read:contratos"
        token = {"Authorization": f"Bearer {narrow.json()['access_token']}"}
        assert (await api.get("/contratos", headers=token)).status_code == 200
        assert_missing(await api.get("/atas", headers=token), "read:atas")
        form = {"username": "admin", "password": ADMIN_PASSWORD}
        assert (await api.post("/auth/token", data=form)).json()["scope"] == "admin"
        reading = await api.post("/auth/token", data={**form, "scope": "read:*"})
        token = {"Authorization": f"Bearer {reading.json()['access_token']}"}
        assert (await api.get("/sync/status", headers=token)).status_code == 200
        assert_missing(await api.post("/sync/force", json={}, headers=token), "admin")


async def test_a_client_may_name_itself_in_the_header(start: Open, folder: Path) -> None:
    allow(folder, "read:*")
    clients = await start(connections_dir=folder)
    grant = {"grant_type": "client_credentials"}
    async with clients() as api:
        assert (await api.post("/auth/token", data=grant, auth=("erp", SECRET))).status_code == 200
        encoded = base64.b64encode(b"%65rp:" + SECRET.encode()).decode()
        headers = {"Authorization": f"Basic {encoded}"}
        assert (await api.post("/auth/token", data=grant, headers=headers)).status_code == 200, "written as in a form"
        same = {**grant, "client_id": "erp"}
        assert (await api.post("/auth/token", data=same, auth=("erp", SECRET))).status_code == 200
        for twice in ({"client_secret": SECRET}, {"client_id": "other"}):
            answer = await api.post("/auth/token", data={**grant, **twice}, auth=("erp", SECRET))
            assert_oauth_error(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_secret": SECRET + "\0"}, 401, "invalid_client"),
        ({"client_secret": "x" * 10_000}, 401, "invalid_client"),
        ({"client_id": "stranger"}, 401, "invalid_client"),
        ({"client_id": "client:erp"}, 401, "invalid_client"),
        ({"client_id": "../clients/erp"}, 401, "invalid_client"),
        ({"client_id": "admin", "client_secret": ADMIN_PASSWORD}, 401, "invalid_client"),
        ({"client_id": "a" * 10_000}, 401, "invalid_client"),
        ({"scope": "admin"}, 400, "invalid_scope"),
        ({"scope": "read:contratos intake:pedidos"}, 400, "invalid_scope"),
        ({"scope": "read:?"}, 400, "invalid_scope"),
        ({"scope": "rubbish"}, 400, "invalid_scope"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
    ],
)
async def test_what_is_no_client_gets_no_token(
    start: Open, folder: Path, form: dict[str, str], status: int, error: str
) -> None:
    allow(folder, "read:*")
    async with (await start(connections_dir=folder))() as api:
        answer = await ask_token(api, **{"secret": SECRET, **form})
        assert_oauth_error(answer, status, error)
        schemes = [one.split()[0] for one in answer.headers.get_list("www-authenticate")]
        assert schemes == (["Basic"] if status == 401 else [])


async def test_the_secret_of_a_client_opens_nothing_but_the_token_endpoint(start: Open, folder: Path) -> None:
    allow(folder, "read:*")
    async with (await start(connections_dir=folder))() as api:
        for name in ("erp", "client:erp"):
            assert (await api.get("/sync/status", auth=(name, SECRET))).status_code == 401
            form = {"username": name, "password": SECRET}
            assert (await api.post("/auth/token", data=form)).status_code == 401


async def test_a_token_ends_with_the_secret_and_with_the_file_and_shrinks_with_its_scopes(
    start: Open, folder: Path
) -> None:
    allow(folder, "read:*", "intake:pedidos")
    clients = await start(connections_dir=folder)
    async with clients() as api:
        token = await bearer(api)

        async def seen() -> list[int]:
            paths = ("/atas", "/contratos")
            answers = [await api.get(path, headers=token) for path in paths]
            answers.append(await api.post("/intake/pedidos", json={"codigo": "1"}, headers=token))
            return [answer.status_code for answer in answers]

        assert await seen() == [200, 200, 202]
        allow(folder, "read:contratos", "intake:*")
        assert await seen() == [403, 200, 202]
        allow(folder, "read:contratos")
        assert await seen() == [403, 200, 403]
        allow(folder, "read:*", "intake:*")
        assert await seen() == [200, 200, 202]
        assert_missing(await api.post("/intake/itens_pedido", headers=token), "intake:itens_pedido")
        allow(folder, "read:*", "intake:pedidos", secret="another one of 32 random bytes")
        assert await seen() == [401, 401, 401]
        allow(folder, "read:*", "intake:pedidos")
        assert await seen() == [200, 200, 202]
        write(folder, "clients/erp", "scopes: [")
        assert await seen() == [401, 401, 401], "a file with faults is no client"
        allow(folder, "read:*", "intake:pedidos")
        (folder / "clients" / "erp.yaml").rename(folder / "clients" / "other.yaml")
        assert await seen() == [401, 401, 401]


async def test_a_client_asks_from_its_networks_alone(start: Open, folder: Path) -> None:
    allow(folder, "read:*", networks=["192.0.2.0/28", "2001:db8::/64"])
    clients = await start(connections_dir=folder)
    async with clients("192.0.2.1") as inside, clients("192.0.2.17") as outside, clients("2001:db8::7") as six:
        token = await bearer(inside)
        await bearer(six)
        assert (await inside.get("/atas", headers=token)).status_code == 200
        forged = {**token, "X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        assert (await outside.get("/atas", headers=forged)).status_code == 401
        assert_oauth_error(await ask_token(outside), 401, "invalid_client")


async def test_clients_have_limits_of_their_own(start: Open, folder: Path) -> None:
    allow(folder, "read:*", "deliver:*")
    settings = {"limit_tokens_per_minute": 1, "limit_reads_per_minute": 1, "limit_writes_per_minute": 1}
    own = {"limit_client_tokens_per_minute": 3, "limit_client_requests_per_minute": 4}
    async with (await start(connections_dir=folder, **settings, **own))() as api:
        token = await bearer(api)
        assert [(await ask_token(api)).status_code for _ in range(3)] == [200, 200, 429]
        form = {"username": "admin", "password": ADMIN_PASSWORD}
        assert (await api.post("/auth/token", data=form)).status_code == 200, "people are counted apart"
        codes = [(await api.get("/atas", headers=token)).status_code for _ in range(3)]
        codes += [(await api.post("/destinations/no/test", headers=token)).status_code for _ in range(2)]
        assert codes == [200, 200, 200, 404, 429]
        assert (await api.get("/atas", auth=ADMIN)).status_code == 200


async def test_a_wrong_secret_counts_as_a_failed_login_and_is_logged_without_it(start: Open, folder: Path) -> None:
    allow(folder, "read:*")
    clients = await start(connections_dir=folder, limit_failed_logins_per_minute=3)
    written = io.StringIO()
    configure_logging("INFO", "json", written)
    async with clients("192.0.2.1") as api, clients("192.0.2.2") as other:
        await bearer(api)
        codes = [(await ask_token(api, "marker-of-mine")).status_code for _ in range(4)]
        assert codes == [401, 401, 401, 429]
        assert (await ask_token(api)).status_code == 429, "the right secret waits too"
        assert (await api.get("/sync/status", auth=ADMIN)).status_code == 429, "and so does a password"
        assert (await ask_token(other)).status_code == 200, "strangers do not lock a client out"
        token = await bearer(other)
        await other.post("/auth/token", data={"grant_type": "client_credentials", "client_id": "marker-of-mine"})
        await other.post("/sync/force", json={}, headers=token)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    seen = [(line["event"], line.get("user")) for line in lines if line["event"] in ("logged in", "login failed")]
    assert seen[:4] == [("logged in", "client:erp"), *[("login failed", "client:erp")] * 3]
    assert ("login failed", "(unknown)") in seen
    (refused,) = [line for line in lines if line["event"] == "forbidden"]
    assert (refused["user"], refused["scope"]) == ("client:erp", "admin")
    assert "marker-of-mine" not in written.getvalue()
    assert SECRET not in written.getvalue()


async def test_the_largest_file_makes_a_token_that_fits_into_a_header(start: Open, folder: Path) -> None:
    names = [f"{'n' * 38}{number:02}" for number in range(MOST_SCOPES)]
    for name in names:
        write(folder, f"destinations/{name}", DESTINATION.format(name="x"))
    longest = "e" * 41
    allow(folder, *(f"deliver:{name}" for name in names), name=longest)
    async with (await start(connections_dir=folder))() as api:
        token = await bearer(api, client_id=longest)
        assert (await api.post(f"/destinations/{names[0]}/test", headers=token)).status_code == 202


async def test_the_files_are_looked_at_every_two_seconds_at_most_and_not_for_people(
    start: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(folder, "read:*")
    looks = 0
    stamp_of = files.stamp_of

    def count(path: Path) -> Any:
        nonlocal looks
        looks += 1
        return stamp_of(path)

    monkeypatch.setattr(files, "stamp_of", count)
    monkeypatch.setattr(files, "LOOK_SECONDS", 3600.0)
    async with (await start(connections_dir=folder))() as api:
        people = await api.post("/auth/token", data={"username": "admin", "password": ADMIN_PASSWORD})
        api.headers["Authorization"] = f"Bearer {people.json()['access_token']}"
        looks = 0
        assert (await api.get("/atas")).status_code == 200
        assert looks == 0
        api.headers.update(await bearer(api))
        answers = await asyncio.gather(*(api.get("/atas") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert looks <= 1


async def test_a_token_of_a_client_needs_our_key(start: Open, folder: Path) -> None:
    allow(folder, "read:contratos")
    async with (await start(connections_dir=folder))() as api:
        token = (await ask_token(api)).json()["access_token"]
        head, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})

        async def status(key: str = KEY, **changes: Any) -> int:
            forged = jwt.encode({**claims, **changes}, key, algorithm="HS256", headers={"kid": head["kid"]})
            return (await api.get("/contratos", headers={"Authorization": f"Bearer {forged}"})).status_code

        assert await status() == 200
        assert await status(key="f" * 40) == 401
        for changes in ({"client": "other"}, {"sub": "admin"}, {"sub": "erp"}, {"client": None}, {"pwd": "0" * 32}):
            assert await status(**changes) == 401, changes
        assert await status(scope="admin") == 200, "what a token says never exceeds the file"
        wide = jwt.encode({**claims, "scope": "admin"}, KEY, algorithm="HS256", headers={"kid": head["kid"]})
        assert_missing(await api.get("/atas", headers={"Authorization": f"Bearer {wide}"}), "read:atas")
