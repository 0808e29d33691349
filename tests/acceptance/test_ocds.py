"""Releases of the simulated portal before the checker that publishers of OCDS use, libcoveocds."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.resources import LATER
from tests.acceptance.conftest import Stack
from tests.acceptance.test_other_clients import make_environment, run
from tests.support import eventually

pytestmark = pytest.mark.slow

SCHEMAS = Path(__file__).parents[1] / "vendor" / "ocds"
# It looks for the standard's repository in an archive: schemas, and codelists, of which the schema has the closed ones.
# The versioned schema belongs to records, which are not published. Extensions are out of reach without the internet.
CHECK = """
import io, json, pathlib, sys, zipfile
from libcoveocds.api import ocds_json_output
from libcoveocds.config import LibCoveOCDSConfig

schemas, packages = map(pathlib.Path, sys.argv[1:])

def codelists_of(schema):
    if isinstance(schema, dict):
        codes = schema.get("enum") or schema.get("items", {}).get("enum") if "codelist" in schema else None
        if codes:
            yield schema["codelist"], [code for code in codes if code]
        for inner in schema.values():
            yield from codelists_of(inner)

archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as standard:
    standard.writestr("standard/", "")
    for path in schemas.glob("*.json"):
        standard.writestr(f"standard/schema/{path.name}", path.read_text())
    versioned = {"$schema": "http://json-schema.org/draft-04/schema#"}
    standard.writestr("standard/schema/versioned-release-validation-schema.json", json.dumps(versioned))
    for name, codes in dict(codelists_of(json.loads((schemas / "release-schema.json").read_text()))).items():
        standard.writestr(f"standard/schema/codelists/{name}", chr(10).join(["Code", *codes]))
config = LibCoveOCDSConfig({"standard_zip": archive.getvalue(), "context": "api"})
said = []
for path in sorted(packages.glob("*.json")):
    package = json.loads(path.read_text())
    package.pop("extensions", None)
    found = ocds_json_output(json_data=package, lib_cove_ocds_config=config)
    names = ("version_used", "validation_errors", "conformance_errors", "additional_checks", "json_deref_error",
             "count", "unique_ocids_count", "additional_closed_codelist_values")
    said.append({name: found[name] for name in names if name in found})
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def python_with_libcoveocds(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_environment(tmp_path_factory.mktemp("libcoveocds"), "libcoveocds==0.17.0")


async def packages_of(stack: Stack) -> list[dict[str, Any]]:
    """All pages of releases of a mirror of some days, with their results, documents and termos."""
    await stack.start_simulator("--days", "7", "--per-day", "20")
    await stack.start_backend(OCDS_PREFIX="ocds-abc123")
    await stack.start_ingestor(
        PNCP_RESULTADOS="tudo", PNCP_ARQUIVOS="tudo", PNCP_TERMOS="tudo", PNCP_LISTS_PER_SECOND="1000"
    )
    start, end = await stack.span()
    for resource in ("contratacoes", "contratos", "atas", "instrumentos_cobranca"):
        execution = await stack.force(resource=resource, mode="backfill", data_ini=start, data_fim=end)
        assert (await stack.finished(execution))["status"] == "success"

    async def nothing_is_unread() -> bool:
        lists = " UNION ALL ".join(f"SELECT reason FROM {child.debts}" for _, child in LATER)
        async with stack.engine.connect() as db:
            unread = await db.execute(text(f"SELECT count(*) FROM ({lists}) debts WHERE reason = 'unread'"))
            return unread.scalar_one() == 0

    await eventually(nothing_is_unread, seconds=120, every=0.5)
    packages, address = [], "/ocds/releases?limite=50"
    while address:
        packages.append((await stack.api.get(address)).json())
        address = packages[-1].get("links", {}).get("next", "")
    return packages


async def test_libcoveocds_finds_nothing_in_the_releases_of_a_portal_and_what_is_wrong_in_others(
    stack: Stack, python_with_libcoveocds: str, tmp_path: Path
) -> None:
    packages = await packages_of(stack)
    wrong = {"ocid": "0001", "date": "2025-01-10", "title": "", "tag": ["award!"]}
    packages.append(packages[0] | {"releases": [packages[0]["releases"][0] | wrong]})
    for n, package in enumerate(packages):
        (tmp_path / f"{n:03}.json").write_text(json.dumps(package))

    said = json.loads(await run(python_with_libcoveocds, "-c", CHECK, str(SCHEMAS), str(tmp_path)))

    *of_ours, of_wrong = said
    assert sum(each["count"] for each in of_ours) == sum(each["unique_ocids_count"] for each in of_ours) >= 50
    faults = ("conformance_errors", "additional_checks", "additional_closed_codelist_values")
    for each in of_ours:
        assert each["validation_errors"] == []
        assert [each[name] for name in (*faults, "json_deref_error") if each.get(name)] == []
    assert of_wrong["validation_errors"]
    assert all(of_wrong[name] for name in faults)
