"""The whole API against its own OpenAPI document: generated inputs, and a generated client."""

import asyncio
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Stack
from tests.rows import fill
from tests.support import ROOT

# Some rules cannot be said in a schema (a backfill has both dates, and they make a window), so that a request may be
# valid by the document and still be refused.
LEFT_OUT = "positive_data_acceptance"
CONFIGS = ["schemathesis.toml"] + ([] if os.environ.get("PNCP_SLOW_TESTS") else ["schemathesis-quick.toml"])


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("user", "asked", "examples"),
    [
        (None, "--exclude-tag", 10),
        ("admin", "--exclude-tag", 10),
        ("viewer", "--exclude-tag", 10),
        pytest.param(None, "--include-tag", 4, id="data"),
    ],
)
async def test_no_input_makes_the_api_break_its_own_document(
    stack: Stack, user: str | None, asked: str, examples: int
) -> None:
    """Open, and as each of the two roles; with authentication, schemathesis tries every call without it too.

    What the mirror holds is read open alone, and with fewer examples: its addresses are most of all and derived from
    descriptions by one code, and roles differ in what is masked there. The values at the edges of each parameter are
    most of that; without PNCP_SLOW_TESTS the lists alone are asked for them.
    """
    passwords = {f"{name.upper()}_PASSWORD": f"{name}-and-its-long-words" for name in ("admin", "viewer")}
    await fill(stack.engine, 10)
    await stack.start_backend(**(passwords if user else {}))
    config = stack.folder / "schemathesis.toml"
    config.write_text("\n".join((ROOT / "tests" / "data" / name).read_text() for name in CONFIGS))
    login = ["--auth", f"{user}:{user}-and-its-long-words"] if user else []

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{stack.api.base_url}/openapi.json", *login),
        *(
            "--checks",
            "all",
            "--exclude-checks",
            LEFT_OUT,
            "--max-examples",
            str(examples),
            "--seed",
            "1",
            "--no-color",
        ),
        *(asked, "dados"),
        cwd=stack.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 800)

    assert process.returncode == 0, output.decode()[-4000:]
    assert "Traceback" not in stack.processes[0].text


async def test_a_client_generated_from_the_document_pages_through_a_list_and_starts_a_synchronisation(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(stack.engine)
    await stack.start_backend()
    document = tmp_path / "openapi.json"
    document.write_bytes((await stack.api.get("/openapi.json")).content)
    generating = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", str(document), "--output-path", str(tmp_path / "generated")),
        *("--config", str(ROOT / "tests" / "data" / "client.yaml"), "--fail-on-warning"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(generating.communicate(), 200)
    assert generating.returncode == 0, output.decode()
    monkeypatch.syspath_prepend(tmp_path)

    def operation(name: str, tag: str = "dados") -> Any:
        return importlib.import_module(f"generated.api.{tag}.{name}").asyncio

    made = importlib.import_module("generated").Client(str(stack.api.base_url), raise_on_unexpected_status=True)
    keys: list[str] = []
    more: dict[str, str] = {}
    async with made as client:
        while True:
            page = await operation("list_contratos")(client=client, limite=7, **more)
            keys += [row.numero_controle_pncp for row in page.registros]
            if page.proximo is None:
                break
            more = {"cursor": page.proximo}
        cnpj, _, rest = keys[0].split("-")
        number, _, year = rest.partition("/")
        found = await operation("get_contratos")(client=client, cnpj=cnpj, ano=year, sequencial=number)
        request = importlib.import_module("generated.models").SyncRequest(
            mode="backfill", data_ini="2025-03-10T00:00:00", data_fim="2025-03-10T23:59:59"
        )
        accepted = await operation("create_sync", "sync")(client=client, body=request)
        listed = await operation("list_executions", "sync")(client=client, mode="backfill")
        execution = await operation("get_execution", "executions")(client=client, execution_id=int(accepted.request_id))
    assert len(keys) == len(set(keys)) == page.total == 40
    assert found.registro.numero_controle_pncp == keys[0]
    assert found.listas.documentos.situacao == "fora do escopo"
    assert [one.id for one in listed.executions] == [execution.id] == [int(accepted.request_id)]
    assert (execution.status, execution.phase, execution.trigger) == ("running", "queued", "api")
