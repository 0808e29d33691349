"""OCDS releases of a generated portal: valid, complete in their sums, without CPFs; pages, and files of years."""

import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from jsonschema import Draft4Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from backend.services.exports import yearly
from common.resources.atas import ATAS
from common.resources.contratacoes import ARQUIVOS, CONTRATACOES
from common.resources.contratos import ARQUIVOS as ARQUIVOS_CONTRATO
from common.resources.contratos import CONTRATOS
from common.resources.derive import to_sql
from common.resources.description import Child, Resource
from common.resources.instrumentos_cobranca import INSTRUMENTOS_COBRANCA
from common.resources.itens import ITENS
from common.resources.resultados import RESULTADOS
from common.resources.termos import TERMOS
from simulator import World, generate
from simulator.children import find_children
from simulator.records import ChildKey
from tests.integration.conftest import Database, OpenApi
from tests.integration.test_yearly import files_in, made, names_of
from tests.mirror import key_of, loads
from tests.rows import PERSON, Filler

PREFIX = "ocds-abc123"
SCHEMAS = Path(__file__).parents[1] / "vendor" / "ocds"
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}-03:00")
NOW = datetime(2025, 1, 20, 12)


def validator() -> Draft4Validator:
    package = json.loads((SCHEMAS / "release-package-schema.json").read_text())
    release = DRAFT4.create_resource(json.loads((SCHEMAS / "release-schema.json").read_text()))
    uri = package["properties"]["releases"]["items"]["$ref"]
    registry: Registry[Any] = Registry().with_resource(uri, release)
    return Draft4Validator(package, registry=registry)


def check(package: dict[str, Any]) -> None:
    """Validate a package by the standard's schema, and what the schema does not say."""
    faults = [f"{list(each.path)}: {each.message[:200]}" for each in validator().iter_errors(package)]
    assert faults == []
    for release in package["releases"]:
        for path, value in leaves(release):
            assert value not in ("", None, [], {}), path
            name = path.rsplit(".", 1)[-1]
            if name == "date" or name.endswith("Date") or name in ("dateSigned", "datePublished"):
                assert MOMENT.fullmatch(value), (path, value)
        parts = release.get("tender", {})
        arrays = [release.get(name, []) for name in ("parties", "awards", "contracts")]
        arrays += [parts.get(name, []) for name in ("items", "lots", "documents")]
        for rows in arrays:
            assert [key for key, count in Counter(each["id"] for each in rows).items() if count > 1] == []
        awards = {each["id"] for each in release.get("awards", [])}
        assert all(each["awardID"] in awards for each in release.get("contracts", []))
        lots = {each["id"] for each in parts.get("lots", [])}
        assert all(lot in lots for award in release.get("awards", []) for lot in award.get("relatedLots", []))
        parties = {each["id"] for each in release.get("parties", [])}
        assert all(each["id"] in parties for award in release.get("awards", []) for each in award.get("suppliers", []))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list) and value:
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, value


class Store:
    """Writes the records of a portal and what hangs on them, as the mirror would hold them."""

    def __init__(self, filler: Filler, world: World) -> None:
        self._filler = filler
        self._world = world

    async def insert(self, table: Resource | Child, payload: Any, **more: Any) -> None:
        row = json.loads(json.dumps(payload, default=float))
        await self._filler.insert(table.name, to_sql(table.columns), row, 1, **more)

    async def records(self, resource: Resource) -> None:
        for record in self._world.store(resource.name).records.values():
            payload = loads(self._world.payload(record))
            own = {resource.key: key_of(resource, payload)} if resource.key_columns else {}
            await self.insert(resource, payload, **own)

    async def children(self, resource: Resource, child: Child, kind: str) -> None:
        for key in self._world.store(resource.name).records:
            for entry in find_children(self._world, ChildKey(kind, key, None)):
                await self.insert(child, loads(entry), **{resource.key: key})

    async def itens(self) -> None:
        for key in self._world.contratacoes.records:
            for entry in map(loads, self._world.items(key)):
                await self.insert(ITENS, entry, **{CONTRATACOES.key: key})
                if entry["temResultado"]:
                    for result in find_children(self._world, ChildKey("resultados", key, entry["numeroItem"])):
                        await self.insert(RESULTADOS, loads(result), **{CONTRATACOES.key: key})


async def store(database: Database, world: World) -> None:
    async with database.engine.begin() as db:
        to = Store(Filler(db, {}, random.Random(1)), world)
        for resource in (CONTRATACOES, CONTRATOS, ATAS, INSTRUMENTOS_COBRANCA):
            await to.records(resource)
        await to.itens()
        await to.children(CONTRATACOES, ARQUIVOS, "arquivos")
        await to.children(CONTRATOS, ARQUIVOS_CONTRATO, "arquivos")
        await to.children(CONTRATOS, TERMOS, "termos")


@pytest.fixture
async def portal(database: Database) -> World:
    """A generated portal whose contratos come from its contratações, stored."""
    world = generate(1, date(2025, 1, 6), date(2025, 1, 17), 14, now=lambda: NOW)
    await store(database, world)
    return world


async def all_pages(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found, address = [], f"http://api{path}"
    while address:
        answer = await client.get(address)
        assert answer.status_code == 200, answer.text
        found.append(loads(answer.content))
        address = found[-1].get("links", {}).get("next", "")
    return found


def total(rows: Iterable[dict[str, Any]]) -> Decimal:
    return sum((Decimal(each["value"]["amount"]) for each in rows if "value" in each), Decimal())


async def test_the_releases_of_a_portal_are_valid_and_their_sums_are_those_of_the_tables(
    open_api: OpenApi, database: Database, portal: World
) -> None:
    client = await open_api(ocds_prefix=PREFIX, ocds_license="https://example.org/licence")
    packages = await all_pages(client, "/ocds/releases?limite=50")
    for package in packages:
        check(package)
    releases = [release for package in packages for release in package["releases"]]
    keys = [row[0] for row in await database.rows("SELECT numero_controle_pncp FROM contratacoes")]
    assert sorted(each["tender"]["id"] for each in releases) == sorted(keys)
    assert len({each["ocid"] for each in releases}) == len(keys) == len(portal.contratacoes.records)

    won = "SELECT coalesce(sum(valor_total_homologado), 0) FROM resultados WHERE situacao_compra_item_resultado_id = 1"
    assert total(award for each in releases for award in each.get("awards", [])) == await database.value(won) > 0
    signed = """SELECT sum(k.valor_global), count(*) FROM contratos k
                 WHERE k.numero_controle_pncp_compra IN (SELECT numero_controle_pncp FROM contratacoes)"""
    all_contracts = [contract for each in releases for contract in each.get("contracts", [])]
    contracts = [each for each in all_contracts if "-2-" in each["id"]]  # the others are atas
    of_compras = "numero_controle_pncp_compra IN (SELECT numero_controle_pncp FROM contratacoes)"
    assert len(all_contracts) - len(contracts) == await database.value(f"SELECT count(*) FROM atas WHERE {of_compras}")
    assert (total(contracts), len(contracts)) == tuple(await database.row(signed))
    assert len(contracts) > 0
    quantities = "SELECT sum(quantidade), count(*) FROM itens_contratacao"
    items = [each for release in releases for each in release["tender"].get("items", [])]
    counted = sum((Decimal(each["quantity"]) for each in items if "quantity" in each), Decimal())
    assert (counted, len(items)) == tuple(await database.row(quantities))
    amended = sum(len(each.get("amendments", [])) for each in contracts)
    assert amended == await database.value(
        """SELECT count(*) FROM termos_contrato JOIN contratos k USING (numero_controle_pncp)
            WHERE k.numero_controle_pncp_compra IN (SELECT numero_controle_pncp FROM contratacoes)"""
    )


async def test_a_page_says_who_publishes_and_which_extensions_it_uses(open_api: OpenApi, portal: World) -> None:
    client = await open_api(
        ocds_prefix=PREFIX,
        ocds_publisher="Município de Exemplo",
        ocds_publication_policy="https://example.org/policy",
        public_url="https://pncp.example.org/base",
    )
    answer = await client.get("/ocds/releases?limite=5&uf=SP,MG,RJ,SC,PR,RS,BA")
    package = answer.json()
    assert package["uri"] == "https://pncp.example.org/base/ocds/releases?limite=5&uf=SP,MG,RJ,SC,PR,RS,BA"
    assert (package["version"], package["publisher"]) == ("1.1", {"name": "Município de Exemplo"})
    assert package["publicationPolicy"] == "https://example.org/policy"
    assert "license" not in package
    assert package["publishedDate"] == max(each["date"] for each in package["releases"])
    assert package["links"]["next"].startswith("https://pncp.example.org/base/ocds/releases?")
    assert [each.split("/")[4] for each in package["extensions"]] == [
        "ocds_lots_extension",
        "ocds_pagination_extension",
    ]
    assert "Espelho incompleto" in answer.headers["X-Espelho"]
    again = await client.get(
        "/ocds/releases?limite=5&uf=SP,MG,RJ,SC,PR,RS,BA", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304


async def test_one_release_is_the_same_as_in_its_page(open_api: OpenApi, portal: World) -> None:
    client = await open_api(ocds_prefix=PREFIX)
    page = loads((await client.get("/ocds/releases?limite=3")).content)
    for release in page["releases"]:
        package = loads((await client.get(f"/ocds/{release['ocid']}")).content)
        check(package)
        assert package["releases"] == [release]
    for ocid in (f"{PREFIX}-00000000000191-1-000001-2025", "ocds-zzz999-00000000000191-1-000001-2025"):
        assert (await client.get(f"/ocds/{ocid}")).status_code == 404


async def test_filters_are_those_of_the_list(open_api: OpenApi, portal: World) -> None:
    client = await open_api(ocds_prefix=PREFIX)
    query = "modalidade=6&ordem=valor:asc"
    listed = loads((await client.get(f"/contratacoes?{query}")).content)["registros"]
    released = loads((await client.get(f"/ocds/releases?{query}")).content)["releases"]
    assert [each["tender"]["id"] for each in released] == [each["numero_controle_pncp"] for each in listed] != []
    for wrong in ("modalidades=6", "campos=payload", "dados_pessoais=true", "contagem=exata", "limite=101"):
        assert (await client.get(f"/ocds/releases?{wrong}")).status_code == 422, wrong


async def test_without_a_prefix_there_are_no_releases(api: httpx.AsyncClient) -> None:
    for path in ("/ocds/releases", f"/ocds/{PREFIX}-00000000000191-1-000001-2025"):
        answer = await api.get(path)
        assert (answer.status_code, "OCDS_PREFIX" in answer.json()["detail"]) == (404, True)


async def test_values_that_bite_are_valid_and_show_no_cpf(open_api: OpenApi, filled: Database) -> None:
    client = await open_api(ocds_prefix=PREFIX)
    answer = await client.get("/ocds/releases")
    package = loads(answer.content)
    check(package)
    assert len(package["releases"]) == 40
    # texts that the portal does not call personal stay as they are, as in lists
    numbers = [
        value for _, value in leaves([each.get("parties") for each in package["releases"]]) if PERSON[1] in str(value)
    ]
    assert numbers == []
    people = {each["id"] for release in package["releases"] for each in release.get("parties", [])}
    assert any(each.startswith("fornecedor-") for each in people)


async def test_a_page_needs_a_query_for_each_table_whatever_its_size(open_api: OpenApi, portal: World) -> None:
    client = await open_api(ocds_prefix=PREFIX)
    counts = []
    for limit in (20, 100):
        seen = await statements(client, f"/ocds/releases?limite={limit}")
        counts.append(seen)
    assert max(counts) <= 11


async def statements(client: httpx.AsyncClient, path: str) -> int:
    """How many queries the driver sends for a page and what belongs to it."""
    seen = 0
    fetch = asyncpg.Connection.fetch

    async def counting(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        return await fetch(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetch", counting)
        assert (await client.get(path)).status_code == 200
    return seen


async def test_a_file_holds_the_releases_of_a_year_and_is_made_anew_only_when_they_change(
    open_api: OpenApi, database: Database, portal: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yearly, "LOOK_SECONDS", 0.1)
    client = await open_api(ocds_prefix=PREFIX, files_dir=tmp_path, files_entities="pcas", files_formats="csv.gz")
    told = await made(client)
    assert (names_of(told), told["geracao"]["erro"]) == (["ocds-2025.jsonl.gz"], None)
    assert files_in(tmp_path) == ["ocds-2025.jsonl.gz"]
    (file,) = told["arquivos"]
    assert (file["entidade"], file["ano"], file["formato"]) == ("ocds", 2025, "jsonl.gz")
    assert (file["registros"], file["espelho"]["completo"]) == (len(portal.contratacoes.records), False)
    answer = await client.get("/arquivos/ocds-2025.jsonl.gz")
    lines = [loads(line) for line in gzip.decompress(answer.content).splitlines()]
    pages = await all_pages(client, "/ocds/releases")
    assert lines == [release for package in pages for release in package["releases"]]

    again = await made(client)
    assert (again["geracao"]["arquivos_feitos"], again["geracao"]["arquivos_iguais"]) == (0, 1)
    await database.rows("UPDATE contratos SET valor_global = valor_global + 1")
    changed = await made(client)
    assert changed["geracao"]["arquivos_feitos"] == 1
    assert changed["arquivos"][0]["sha256"] != file["sha256"]
