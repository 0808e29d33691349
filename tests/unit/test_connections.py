"""Folders of connections: what is taken, and what is refused by file and line."""

import json
import os
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from common.connections.entities import SHIPPED_FOLDER
from common.connections.files import FILES, schema_of
from common.connections.guards import AS_REFERENCE
from common.connections.loading import FOLDERS, check_connections, load_connections
from common.connections.results import Rejection, ResultsRule
from common.connections.secrets import SecretMissing, SecretText
from common.connections.settings import Basic, Bearer, ClientCredentials, ConnectionsInvalid, Destination, HeaderKey
from tests.support import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "connections"
HTTP = "url: https://example.com/api\nstart: now\nstreams:\n  - entity: contratos\n"
RESULTS = "    results: {at: x, key: b, rejected_when: {e: present}}\n"
SLACK = """\
preset: slack
url: ${env:SLACK}
start: now
streams:
  - entity: contratacoes
    message: {line: "{objeto_compra}"}
"""
PRODUTOS = "key: codigo\ncolumns: {codigo: integer, nome: text, preco: number, mudou: moment, dia: day, ok: boolean}\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a folder: each file by its path, without its ending."""

    def make(**files: str) -> Path:
        for name, content in files.items():
            kind, _, stem = name.partition("__")
            path = (
                tmp_path
                / {"d": "destinations", "e": "entities", "c": "clients"}[kind]
                / f"{stem.replace('0', '-')}.yaml"
            )
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tmp_path

    return make


def only(folder: Path) -> Destination:
    (destination,) = load_connections(folder).destinations.values()
    return destination


def told(folder: Path) -> list[str]:
    return [str(fault) for fault in check_connections(folder)[1]]


def test_the_examples_are_valid_and_say_what_they_are_to_say() -> None:
    connections = load_connections(EXAMPLES)
    assert set(connections.destinations) == {
        *("slack-notebooks", "telegram-abertas", "webhook", "fila", "plusoft", "conciliacao")
    }
    plusoft = connections.destinations["plusoft"]
    assert [stream.name for stream in plusoft.streams] == ["filiais", "produtos", "clientes", "vendas"]
    assert [stream.wrap for stream in plusoft.streams] == ["registros"] * 4
    assert isinstance(plusoft.auth, ClientCredentials)
    slack = connections.destinations["slack-notebooks"]
    assert (slack.hold_above, slack.requests_per_second, slack.streams[0].batch_records) == (500, 1.0, 20)
    assert sum(path.read_text().count("given:") for path in EXAMPLES.glob("*/*.yaml")) >= 5


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_the_examples_fit_the_schemas_for_editors(path: Path) -> None:
    # editors know neither dates nor times: those are texts to them
    document = json.loads(json.dumps(yaml.safe_load(path.read_text()), default=lambda value: value.isoformat()))
    schema = schema_of(path.parent.name)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "strems": []}, schema)


def test_an_example_that_comes_out_otherwise_is_told_by_its_line(tmp_path: Path) -> None:
    for path in EXAMPLES.glob("*/*.yaml"):
        content = path.read_text()
        if path.stem == "plusoft":
            content = content.replace('VLPRECO: "5.90"', 'VLPRECO: "5.9"').replace("correspondência: X", "outra")
        target = tmp_path / path.parent.name / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(content)
    connections, faults = check_connections(tmp_path)
    lines = (EXAMPLES / "destinations" / "plusoft.yaml").read_text().splitlines()
    wrong = next(number for number, line in enumerate(lines, 1) if 'VLPRECO: "5.90"' in line)
    assert [(fault.file, fault.line) for fault in faults] == [
        ("destinations/plusoft.yaml", wrong),
        ("destinations/plusoft.yaml", wrong + 2),
    ]
    assert '`VLPRECO` é "5.90", o exemplo espera "5.9"' in faults[0].message
    assert "plusoft" not in connections.destinations
    assert "webhook" in connections.destinations  # others go on


def test_defaults_are_those_of_http(write: Write) -> None:
    made = only(write(d__crm=HTTP))
    assert (made.name, made.kind, made.preset, made.schedule, made.after) == (
        "crm",
        "http",
        "generic",
        "0 1 * * *",
        None,
    )
    assert (made.hold_above, made.concurrency, made.timeout, made.requests_per_second) == (10_000, 1, 30.0, None)
    (stream,) = made.streams
    assert (stream.name, stream.method, stream.path, stream.wrap) == ("contratos", "POST", "", "array")
    assert (stream.batch_records, stream.batch_bytes, stream.results) == (1000, 5 * 1024 * 1024, None)
    assert (stream.where.sql, stream.where.values) == ("", ())


@pytest.mark.parametrize("start", ["now", "all", "2026-01-31"])
def test_a_start_is_now_all_or_a_day(write: Write, start: str) -> None:
    made = only(write(d__crm=HTTP.replace("now", start)))
    assert made.start == (date(2026, 1, 31) if start.startswith("2") else start)


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (HTTP.replace("start: now\n", ""), 1, "falta `start`"),
        (HTTP.replace("now", "yesterday"), 2, "esperava now"),
        (HTTP.replace("url:", "ulr:"), 1, "chave desconhecida `ulr`; quis dizer `url`?"),
        (HTTP + "    bacth: {}\n", 5, "chave desconhecida `bacth`; quis dizer `batch`?"),
        (HTTP + "    batch: {record: 5}\n", 5, "chave desconhecida `record`; quis dizer `records`?"),
        (HTTP + "    fields: {a: {form: x}}\n", 5, "quis dizer `from`?"),
        (HTTP + "    batch:\n      records: 0\n", 6, "o mínimo é 1"),
        (HTTP + "    batch:\n      records: 10001\n", 6, "o máximo é 10000"),
        (HTTP + "    batch:\n      records: '5'\n", 6, "número inteiro"),
        (HTTP + "    batch: {wrap: none, records: 5}\n", 5, "1 registro"),
        (HTTP + "    path: produtos\n", 5, "esperava /caminho"),
        (HTTP + "    path: //outro.example.com/x\n", 5, "esperava /caminho"),
        (HTTP + "    method: GET\n", 5, "POST"),
        (HTTP.replace("contratos", "contratoss"), 4, "entidade desconhecida `contratoss`; quis dizer `contratos`?"),
        (HTTP + "  - entity: contratos\n", 5, "há outro fluxo de nome `contratos`"),
        (
            HTTP + "    fields: {a: objeto_contrat}\n",
            5,
            "quis dizer `objeto_contrato`?",
        ),
        (HTTP + "    fields:\n      a: {from: objeto_contrato, max: -1}\n", 6, "o mínimo é 1"),
        (HTTP + "    fields:\n      a: {const: 5, trim: true}\n", 6, "não combina"),
        (HTTP + "    fields:\n      a: {from: valor_global, upper: true}\n", 6, "não serve para `valor_global`"),
        (HTTP + "    fields:\n      a: {from: valor_global.x}\n", 6, "não é JSON"),
        (HTTP + "    fields:\n      a: {from: data_assinatura, date: '%H'}\n", 6, "sem hora"),
        (HTTP + "    fields:\n      a: {from: data_assinatura, date: '%B'}\n", 6, "desconhecido `%B`"),
        (HTTP + "    fields:\n      a: {from: objeto_contrato, decimal: 2, brl: true}\n", 6, "não combinam"),
        (HTTP + "    fields:\n      a: {from: objeto_contrato, else: keep}\n", 6, "só existe com `map`"),
        (HTTP + "    fields:\n      a: {template: '{objeto_contrato'}\n", 6, "sem par"),
        (HTTP + "    fields:\n      a: {template: '{objeto_contrato|maxx:3}'}\n", 6, "quis dizer `max`?"),
        (HTTP + "    fields:\n      a: {}\n", 6, "exatamente um"),
        (HTTP + "    where: {uf: RS}\n", 5, "coluna desconhecida `uf`"),
        (HTTP + "    where:\n      valor_global: {atleast: 5}\n", 6, "quis dizer `at_least`?"),
        (HTTP + "    where:\n      valor_global: {at_least: muito}\n", 6, "esperava número"),
        (HTTP + "    where:\n      objeto_contrato: {at_least: 5}\n", 6, "não serve"),
        (HTTP + "    where:\n      ano_contrato: {in: []}\n", 6, "lista de 1"),
        (HTTP + "    where:\n      ni_fornecedor: 12345\n", 6, "coloque entre aspas"),
        (HTTP + "    where:\n      ni_fornecedor: 00360305000104\n", 6, "aspas"),
        (HTTP + "    where:\n      payload: x\n", 6, "JSON"),
        (HTTP + "    where:\n      data_atualizacao: {to: 9999-12-31}\n", 6, "o último dia possível é 9999-12-30"),
        (HTTP + '    where:\n      objeto_contrato: {contains_any: ["a\\0b"]}\n', 6, "esperava um texto"),
        (HTTP + "    where:\n      any_item: {x: 1}\n", 6, "coluna desconhecida"),
        (HTTP + "    message: {line: x}\n", 5, "só existe com preset"),
        (HTTP + "    results: {at: x, rejected_when: {}}\n", 5, "vazio"),
        (
            HTTP + "    results: {at: x, key: b, rejected_when: {e: present}}\n    fields: {a: objeto_contrato}\n",
            6,
            "results.key",
        ),
        (HTTP + "    results: {at: x, rejected_when: {e: absent}}\n", 5, "esperava present"),
        (HTTP.replace("start:", "schedule: '* * *'\nstart:"), 2, "cron de cinco campos"),
        (HTTP.replace("start:", "schedule: 5\nstart:"), 2, "aspas"),
        (HTTP.replace("start:", "after: sweep\nstart:"), 2, "esperava 'update'"),
        (HTTP.replace("start:", "concurrency: 9\nstart:"), 2, "o máximo é 8"),
        (HTTP.replace("start:", "timeout: 301\nstart:"), 2, "o máximo é 300"),
        (HTTP.replace("start:", "queue: x\nstart:"), 2, "só existe com kind: amqp"),
        (HTTP.replace("start:", "chat_id: x\nstart:"), 2, "telegram"),
        (HTTP.replace("start:", "kind: amqp\nstart:"), 1, "amqp"),
        (HTTP.replace("start:", "auth: {kind: bearar, token: x}\nstart:"), 2, "kind"),
        (HTTP.replace("contratos", "orgaos").replace("start:", "after: update\nstart:"), 2, "nenhuma das entidades"),
        ("- a\n", 1, "esperava chaves e valores"),
        ("", 1, "vazio"),
    ],
)
def test_a_fault_is_told_by_file_and_line(write: Write, content: str, line: int, said: str) -> None:
    connections, faults = check_connections(write(d__crm=content))
    assert said in " ".join(fault.message for fault in faults)
    assert ("destinations/crm.yaml", line) in {(fault.file, fault.line) for fault in faults if said in fault.message}
    assert connections.destinations == {}


@pytest.mark.parametrize(
    "addition",
    [
        "auth: {kind: bearer, token: abc}",
        "auth: {kind: basic, username: me, password: abc}",
        "auth: {kind: header, name: X-Key, value: abc}",
        "auth: {kind: oauth2_client_credentials, token_url: https://x.example.com, client_id: me, client_secret: abc}",
        "sign: whsec_abc",
        "sign: ['${env:A}', whsec_abc]",
        "headers: {Authorization: Bearer abc}",
        "headers: {X-Api-Key: abc}",
        "headers: {X-Other: Bearer abc}",
        "headers: {X-Session: a=b}",
    ],
)
def test_a_secret_as_it_is_is_refused_and_not_repeated(write: Write, addition: str) -> None:
    (said,) = told(write(d__crm=HTTP.replace("start:", f"{addition}\nstart:")))
    assert said.startswith("destinations/crm.yaml:2: ")
    assert AS_REFERENCE in said
    assert "abc" not in said


@pytest.mark.parametrize(
    "addition",
    ["auth: {kind: bearer, token: 0123}", "sign: [0123]", "headers: {X-Key: 0123}", "auth: {kind: 0123}"],
)
def test_a_secret_that_yaml_reads_otherwise_is_not_repeated(write: Write, addition: str) -> None:
    said = told(write(d__crm=HTTP.replace("start:", f"{addition}\nstart:")))
    assert any("aspas" in each for each in said)
    assert "0123" not in "".join(said)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:abc@example.com",
        "https://abc@example.com",
        "https://me:abc@${env:HOST}/",
        "https://example.com/x?token=abc",
        "https://hooks.slack.com/services/T0/B0/abc",
        "https://api.telegram.org/bot123:abc/sendMessage",
        "https://discord.com/api/webhooks/1/abc",
    ],
)
def test_an_address_with_a_secret_is_refused(write: Write, url: str) -> None:
    (said,) = told(write(d__crm=HTTP.replace("https://example.com/api", url)))
    assert AS_REFERENCE in said
    assert "abc" not in said


def test_a_path_with_a_secret_is_refused(write: Write) -> None:
    (said,) = told(write(d__crm=HTTP + "    path: /x?tipo=1&token=abc\n"))
    assert said.startswith("destinations/crm.yaml:5: ")
    assert "é um segredo" in said
    assert "abc" not in said
    assert only(write(d__crm=HTTP + "    path: /x?tipo=1\n")).streams[0].path == "/x?tipo=1"


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "https://", "example.com", "https://e.com/#x", "https://e.com:0/"]
)
def test_an_address_that_is_none_is_refused(write: Write, url: str) -> None:
    (said,) = told(write(d__crm=HTTP.replace("https://example.com/api", f'"{url}"')))
    assert "destinations/crm.yaml:1: esperava um endereço" in said


def test_http_without_tls_is_only_taken_where_it_is_allowed(write: Write) -> None:
    plain = HTTP.replace("https://", "http://")
    assert told(write(d__crm=plain)) == ["destinations/crm.yaml:1: use https://, ou allow_http: true em uma rede sua"]
    assert only(write(d__crm=plain + "allow_http: true\n")).allow_http


def test_a_broker_without_tls_is_only_taken_where_it_is_allowed(write: Write) -> None:
    plain = HTTP.replace("https://example.com/api", "amqp://example.com/\nkind: amqp\nqueue: q")
    assert told(write(d__crm=plain)) == ["destinations/crm.yaml:1: use amqps://, ou allow_http: true em uma rede sua"]
    assert only(write(d__crm=plain + "allow_http: true\n")).allow_http


def test_the_address_of_a_chat_is_always_a_reference(write: Write) -> None:
    assert told(write(d__chat=SLACK.replace("${env:SLACK}", "https://example.com/hook"))) != []
    made = only(write(d__chat=SLACK))
    assert made.url.literal is None
    assert made.secrets == (made.url,)


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Idempotency-Key", "webhook-id", "Cookie"]
)
def test_headers_of_the_protocol_are_refused(write: Write, name: str) -> None:
    (said,) = told(write(d__crm=HTTP.replace("start:", f"headers: {{{name}: x}}\nstart:")))
    assert "do próprio envio" in said


@pytest.mark.parametrize("header", ['{"X Y": z}', '{"X:": z}', '{X: "a\\nb"}', '{X: "a\\rb"}', '{"X\\n": z}'])
def test_headers_cannot_hold_other_headers(write: Write, header: str) -> None:
    assert len(told(write(d__crm=HTTP.replace("start:", f"headers: {header}\nstart:")))) == 1


@pytest.mark.parametrize(
    ("auth", "kind"),
    [
        ('{kind: bearer, token: "${env:T}"}', Bearer),
        ('{kind: basic, username: me, password: "${file:/run/p}"}', Basic),
        ('{kind: header, name: X-Key, value: "${env:T}"}', HeaderKey),
    ],
)
def test_a_secret_by_reference_is_taken(write: Write, auth: str, kind: type) -> None:
    made = only(write(d__crm=HTTP.replace("start:", f"auth: {auth}\nstart:")))
    assert isinstance(made.auth, kind)
    assert len(made.secrets) == 1


def test_a_message_needs_its_line_and_nothing_of_fields(write: Write) -> None:
    assert told(write(d__chat=SLACK.replace('message: {line: "{objeto_compra}"}', "fields: {a: objeto_compra}"))) == [
        "destinations/chat.yaml:5: falta `message`, com `line`",
        "destinations/chat.yaml:6: `fields` não existe em mensagens: use `message`",
    ]
    assert told(write(d__chat=SLACK.replace("{objeto_compra}", "{count}"))) == [
        "destinations/chat.yaml:6: {count} só existe em `head`"
    ]
    assert "só existe {count}" in told(write(d__chat=SLACK.replace("{line:", "{head: '{objeto_compra}', line:")))[0]
    telegram = SLACK.replace("slack", "telegram")
    assert "chat_id" in told(write(d__chat=telegram))[0]
    assert told(write(d__chat=telegram + "chat_id: '-100'\n")) == []
    assert "aspas" in told(write(d__chat=telegram + "chat_id: -100\n"))[0]


def test_all_faults_of_all_files_are_told_at_once(write: Write) -> None:
    folder = write(
        d__a=HTTP.replace("now", "never").replace("https", "ftp") + "    where: {uf: x}\n",
        d__b=HTTP,
        d__c="a: 1.10\nb: no\n",
        e__produtos=PRODUTOS.replace("key: codigo", "key: codigoo"),
    )
    connections, faults = check_connections(folder)
    assert list(connections.destinations) == ["b"]
    assert {fault.file for fault in faults} == {
        "destinations/a.yaml",
        "destinations/c.yaml",
        "entities/produtos.yaml",
    }
    with pytest.raises(ConnectionsInvalid) as caught:
        load_connections(folder)
    assert caught.value.faults == faults


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sync", "endereço da API"),
        ("jobs", "endereço da API"),
        ("auth", "endereço da API"),
        ("contratacoes", "já é uma lista"),
        ("itens", "já é uma lista"),
        ("itens_contratacao", "já é uma lista"),
        ("documentos", "já é uma lista"),
        ("Produtos", "nome do arquivo"),
        ("a" * 42, "nome do arquivo"),
        ("1a", "nome do arquivo"),
    ],
)
def test_an_entity_cannot_take_a_name_that_something_else_has(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities" / f"{name}.yaml").write_text(PRODUTOS)
    assert said in told(tmp_path)[0]


@pytest.mark.parametrize("name", ["contratacoes", "dominios", "pcas"])
def test_a_destination_cannot_be_called_as_a_resource(tmp_path: Path, name: str) -> None:
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations" / f"{name}.yaml").write_text(HTTP)
    assert told(tmp_path) == [f"destinations/{name}.yaml:0: `{name}` já é um recurso do espelho"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PRODUTOS.replace("nome: text", "nome: texto"), "'text'"),
        (PRODUTOS.replace("key: codigo", "key: preco"), "uma chave é text, integer"),
        (PRODUTOS.replace("key: codigo", "key: [codigo, codigo]"), "repetida"),
        (PRODUTOS.replace("nome", "Nome"), "letras minúsculas"),
        (PRODUTOS.replace("nome", '"n; DROP"'), "letras minúsculas"),
        (PRODUTOS + "version: x\n", "só existe com `view`"),
        (PRODUTOS + "view: vw_x\n", "falta `version`"),
        (PRODUTOS + "version: x\nview: 'vw_x; DROP TABLE y'\n", "nome de uma visão"),
        (PRODUTOS.replace("nome: text", "chave: text"), "`chave` é um campo que todas as listas têm"),
    ],
)
def test_a_declaration_that_is_none_is_refused(write: Write, content: str, said: str) -> None:
    assert said in " ".join(told(write(e__produtos=content)))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("objeto: {type: text, label: Objeto, max: 5000}", "centro: text\n  objeto: text", None),
        ("  situacao: {type: text, label: Situação, max: 60}\n", "", "`situacao`, do tipo text"),
        ("ano: {type: integer", "ano: {type: text", "`ano`, do tipo integer"),
        ("key: numero", "key: [numero, orgao_cnpj]", "precisa da chave numero"),
        ("label: Compras próprias", "label: Compras\nview: vw_compras\nversion: mudou", "e não uma visão"),
    ],
)
def test_purchases_may_have_more_columns_and_stay_what_the_reconciliation_reads(
    write: Write, before: str, after: str, said: str | None
) -> None:
    shipped = (SHIPPED_FOLDER / "compras.yaml").read_text()
    assert before in shipped
    faults = told(write(e__compras=shipped.replace(before, after)))
    assert (faults == []) if said is None else (said in " ".join(faults))


def test_declared_entities_can_be_delivered(write: Write) -> None:
    folder = write(
        e__produtos=PRODUTOS,
        e__vw="view: dados.vw_x\nkey: [a, b]\nversion: quando\ncolumns: {a: text, b: integer}\n",
        d__crm=HTTP.replace("contratos", "produtos") + "  - entity: vw\n",
    )
    connections = load_connections(folder)
    produtos, view = connections.entities["produtos"], connections.entities["vw"]
    assert produtos.condition == "e.entity = 'produtos' AND e.removed_at IS NULL"
    assert (view.source, view.key, view.version) == ("dados.vw_x e", ("e.a", "e.b"), "e.quando")
    assert [stream.entity for stream in connections.destinations["crm"].streams] == [produtos, view]


def test_files_that_are_none_are_told_and_do_not_stop_the_others(write: Write, tmp_path: Path) -> None:
    folder = write(d__crm=HTTP)
    destinations = folder / "destinations"
    (destinations / "loop.yaml").symlink_to("loop.yaml")
    (destinations / "gone.yaml").symlink_to("nowhere.yaml")
    (destinations / "folder.yaml").mkdir()
    os.mkfifo(destinations / "pipe.yaml")
    (destinations / "other.yml").write_text(HTTP)
    (destinations / ".hidden.yaml").write_text("a: [")
    (destinations / "README.md").write_text("text")
    (folder / "stray.yaml").write_text(HTTP)
    (folder / "destination").mkdir()
    (folder / "destination" / "x.yaml").write_text(HTTP)
    connections, faults = check_connections(folder)
    assert list(connections.destinations) == ["crm"]
    assert {fault.file for fault in faults} == {
        "destination",
        "stray.yaml",
        *(f"destinations/{name}" for name in ("loop.yaml", "gone.yaml", "folder.yaml", "pipe.yaml", "other.yml")),
    }
    assert told(tmp_path / "nowhere")[0].endswith("nowhere:0: a pasta não existe ou não pode ser lida")


def test_the_files_behind_the_links_of_a_mounted_volume_are_read(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "crm.yaml").write_text(HTTP)
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations" / "crm.yaml").symlink_to("../..2026/crm.yaml")
    assert list(load_connections(tmp_path).destinations) == ["crm"]


def test_the_digest_changes_with_any_file_and_with_nothing_else(write: Write) -> None:
    folder = write(d__crm=HTTP, e__produtos=PRODUTOS)
    before = load_connections(folder)
    assert before.digest == load_connections(folder).digest
    write(d__crm=HTTP + "# a word\n")
    after = load_connections(folder)
    assert after.digest != before.digest
    assert after.destinations["crm"].digest != before.destinations["crm"].digest
    write(d__crm=HTTP, e__produtos=PRODUTOS + "# a word\n")
    again = load_connections(folder)
    assert again.destinations["crm"].digest == before.destinations["crm"].digest
    assert again.digest != before.digest


def where_of(write: Write, entity: str, where: str) -> tuple[str, tuple[Any, ...]]:
    (stream,) = only(write(d__crm=HTTP.replace("contratos", entity) + f"    where: {where}\n")).streams
    return stream.where.sql, stream.where.values


@pytest.mark.parametrize(
    ("where", "sql", "values"),
    [
        ("{modalidade_id: 6}", "e.modalidade_id = CAST({0} AS bigint)", (6,)),
        ("{modalidade_id: {in: [6, 8]}}", "e.modalidade_id = ANY(CAST({0} AS bigint[]))", ([6, 8],)),
        ("{srp: true}", "e.srp = CAST({0} AS boolean)", (True,)),
        ("{processo: {is_null: true}}", "e.processo IS NULL", ()),
        ("{processo: {is_null: false}}", "e.processo IS NOT NULL", ()),
        (
            "{valor_total_estimado: {at_least: 5, at_most: 7.25}}",
            "e.valor_total_estimado >= CAST({0} AS numeric) AND e.valor_total_estimado <= CAST({1} AS numeric)",
            (Decimal(5), Decimal("7.25")),
        ),
        (
            '{valor_total_estimado: {at_most: "7.10"}}',
            "e.valor_total_estimado <= CAST({0} AS numeric)",
            (Decimal("7.10"),),
        ),
        (
            "{data_publicacao_pncp: {from: 2026-01-01, to: 2026-01-31}}",
            "e.data_publicacao_pncp >= CAST({0} AS timestamp) AND e.data_publicacao_pncp < CAST({1} AS timestamp)",
            (datetime(2026, 1, 1), datetime(2026, 2, 1)),
        ),
        (
            "{data_publicacao_pncp: {to: 2026-01-31T10:00:00}}",
            "e.data_publicacao_pncp <= CAST({0} AS timestamp)",
            (datetime(2026, 1, 31, 10),),
        ),
    ],
)
def test_conditions_become_sql_with_parameters(write: Write, where: str, sql: str, values: tuple[Any, ...]) -> None:
    assert where_of(write, "contratacoes", where) == (sql, values)


def test_words_and_items_become_sql_with_parameters(write: Write) -> None:
    where = '{modalidade_id: 6, any_item: {descricao: {contains_any: ["50%", " a_b  c "]}, valor_total: {at_least: 1}}}'
    sql, values = where_of(write, "contratacoes", where)
    assert values == (6, ["%50\\%%", "%a\\_b c%"], Decimal(1))
    assert "EXISTS (SELECT FROM itens_contratacao i WHERE i.numero_controle_pncp = e.numero_controle_pncp AND" in sql
    assert sql.format("$1", "$2", "$3").count("$") == 3


def test_the_braces_of_a_column_s_sql_survive_the_numbering(write: Write) -> None:
    sql, _ = where_of(write, "contratacoes", '{link_pncp: "https://x"}')
    assert "[0-9A-Z]{14}" in sql.format("$1")


# --- secrets ----------------------------------------------------------------------------------------------------


def test_a_secret_is_resolved_where_it_is_used_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from-file\n")
    text = SecretText(f"Bearer ${{env:TOKEN}}-${{file:{path}}}")
    assert text.resolve({"TOKEN": "abc"}) == "Bearer abc-from-file"
    assert text.is_there({"TOKEN": "abc"})
    assert not text.is_there({"TOKEN": ""})
    assert repr(text) == f"SecretText(${{env:TOKEN}} ${{file:{path}}})"
    assert repr(SecretText("literal")) == "SecretText(***)"
    assert text == SecretText(f"Bearer ${{env:TOKEN}}-${{file:{path}}}")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff", b"x" * 70_000])
def test_a_secret_that_is_not_there_is_named_without_a_value(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretMissing, match=str(path)):
        SecretText(f"${{file:{path}}}").resolve({})
    with pytest.raises(SecretMissing, match="NOT_SET"):
        SecretText("${env:NOT_SET}").resolve({"OTHER": "abc"})


def test_what_a_secret_holds_is_not_taken_for_a_reference() -> None:
    assert SecretText("${env:A}").resolve({"A": "${env:B}", "B": "x"}) == "${env:B}"


@pytest.mark.parametrize("written", ["${TOKEN}", "${env:}", "${env:A", "${env:A-B}", "${file:relative}", "${vault:x}"])
def test_a_reference_that_is_none_is_refused(write: Write, written: str) -> None:
    (said,) = told(write(d__crm=HTTP.replace("https://example.com/api", f'"{written}"')))
    assert "${env:NOME}" in said or "${file:/caminho}" in said


# --- results ----------------------------------------------------------------------------------------------------

RULE = ResultsRule(
    "data.items", "id", (Rejection(("error",), "present"), Rejection(("status",), "in", frozenset({"9"}))), "error.text"
)


@pytest.mark.parametrize("document", [None, 5, [], {}, {"data": None}, {"data": {"items": {}}}, {"data": [1]}, "x"])
def test_an_answer_without_the_list_has_no_entries(document: Any) -> None:
    assert RULE.entries(document) is None


def test_entries_are_read_by_key_state_and_reason() -> None:
    assert RULE.entries({"data": {"items": [1, 2]}}) == [1, 2]
    assert ResultsRule("", None, (), None).entries([1]) == [1]
    assert RULE.key_of({"id": 7}) == RULE.key_of({"id": "7"}) == RULE.key_of({"id": 7.0}) == "7"
    assert RULE.key_of({"id": None}) is RULE.key_of({}) is RULE.key_of([]) is RULE.key_of({"id": {}}) is None
    for empty in (None, False, "", [], {}):
        assert not RULE.is_rejected({"error": empty})
    assert RULE.is_rejected({"error": {"text": "x"}})
    assert RULE.is_rejected({"status": 9})
    assert not RULE.is_rejected({"status": 1})
    assert RULE.reason_of({"error": {"text": "bad\n\x00thing" + "x" * 1000}})[:9] == "bad thing"
    assert len(RULE.reason_of({"error": {"text": "x" * 1000}})) == 500
    assert RULE.reason_of({}) == "recusado sem motivo"
    outside = ResultsRule("", None, (Rejection(("status",), "not_in", frozenset({"ok", "true"})),), None)
    assert [outside.is_rejected(each) for each in ({"status": "ok"}, {"status": True}, {"status": "no"}, {})] == [
        False,
        False,
        True,
        True,
    ]


def test_every_kind_of_file_has_a_schema() -> None:
    assert set(FILES) == set(FOLDERS)


SECRET_SHA256 = "0123456789abcdef" * 4
CLIENT = f"scopes: ['intake:produtos']\nsecret_sha256: '{SECRET_SHA256}'\n"


def test_a_client_is_its_scopes_networks_and_the_hash_of_its_secret(write: Write) -> None:
    written = f"""\
scopes: [read:*, intake:produtos, deliver:crm-1, read:termos_contrato]
networks: [10.1.0.0/16, 192.0.2.7, "2001:db8::/80"]
secret_sha256: "{SECRET_SHA256}"
"""
    (client,) = load_connections(write(e__produtos=PRODUTOS, d__crm01=HTTP, c__erp01=written)).clients.values()
    assert client.name == "erp-1"
    assert client.scopes == {"read:*", "intake:produtos", "deliver:crm-1", "read:termos_contrato"}
    assert client.secret_sha256.hex() == SECRET_SHA256
    assert SECRET_SHA256[:8] not in repr(client)
    inside = ["10.1.255.1", "192.0.2.7", "::ffff:10.1.0.1", "2001:db8::1"]
    assert [client.admits(each) for each in inside] == [True] * 4
    outside = ["10.2.0.1", "192.0.2.8", "2001:db8::1:0:0:1", "::1", "testclient", ""]
    assert [client.admits(each) for each in outside] == [False] * 6
    assert load_connections(write(e__produtos=PRODUTOS, c__erp01=CLIENT)).clients["erp-1"].admits("testclient")


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("intake:produtos", "admin", "1: um cliente não pode ter o escopo `admin`"),
        ("intake:produtos", "intake:produto", "1: entidade desconhecida `produto`; quis dizer `produtos`?"),
        ("intake:produtos", "read:contrato", "1: entidade desconhecida `contrato`; quis dizer `contratos`?"),
        ("intake:produtos", "deliver:cmr", "1: destino desconhecido `cmr`; quis dizer `crm`?"),
        ("intake:produtos", "x:produtos", "1: escopo desconhecido `x`"),
        ("intake:produtos", "reads:*", "1: escopo desconhecido `reads`; quis dizer `read`?"),
        ("intake:produtos", "intake", "1: `intake`: esperava `intake:*` ou `intake:nome`"),
        ("intake:produtos", "intake:?", "1: `intake:?`: esperava `intake:*` ou `intake:nome`"),
        ("intake:produtos", "intake:a b", "1: `intake:a b`: esperava `intake:*` ou `intake:nome`"),
        ("intake:produtos']", "intake:produtos', 'intake:produtos']", "1: um escopo está repetido"),
        ("['intake:produtos']", "[]", "1: não pode ser vazio"),
        ("'\n", "'\nnetworks: [10.1.0.1/16]\n", "3: `10.1.0.1/16`: esperava um endereço ou uma rede, como 10.1.0.0/16"),
        ("'\n", "'\nnetwork: []\n", "3: chave desconhecida `network`; quis dizer `networks`?"),
        (SECRET_SHA256, "correct horse battery", "2: esperava 64 dígitos hexadecimais, de make-client"),
        (f"'{SECRET_SHA256}'", "1" * 64, "2: coloque o valor entre aspas; sem elas, YAML lê outra coisa"),
    ],
)
def test_a_client_that_may_not_be_is_refused_by_line(write: Write, before: str, after: str, fault: str) -> None:
    folder = write(e__produtos=PRODUTOS, d__crm=HTTP, c__erp=CLIENT.replace(before, after))
    assert told(folder) == [f"clients/erp.yaml:{fault}"]
    assert check_connections(folder)[0].clients == {}


def test_a_fault_of_what_a_client_names_does_not_shut_the_client_out(write: Write) -> None:
    client = CLIENT.replace("'intake:produtos'", "'intake:produtos', 'deliver:crm'")
    folder = write(e__produtos="key: no\n", d__crm="url: [\n", c__erp=client)
    found, faults = check_connections(folder)
    assert found.clients.keys() == {"erp"}
    assert {fault.file.partition("/")[0] for fault in faults} == {"entities", "destinations"}
