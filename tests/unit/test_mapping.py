"""Mappings: fields and messages of records, exact, and refused where a value does not fit."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.entities.declared import ColumnType, Declaration, DeclaredColumn
from common.entities.delivered import DELIVERED, Delivered, of_declared
from common.mapping.fields import FieldsRendering, compile_fields
from common.mapping.messages import CHATS, MessageRendering, compile_message
from common.mapping.plan import FieldPlan
from common.mapping.problem import Problem
from common.mapping.rendering import CannotRender

COLUMNS: dict[str, ColumnType] = {
    "nome": "text",
    "numero": "integer",
    "preco": "number",
    "ativo": "boolean",
    "dia": "day",
    "quando": "moment",
    "dados": "json",
}
ENTITY = of_declared(
    Declaration(
        "coisas", "Coisas", ("numero",), {name: DeclaredColumn(name, kind, name) for name, kind in COLUMNS.items()}
    )
)
VERSION = datetime(2026, 3, 1, 10, 0, 0, 5, tzinfo=timezone(timedelta(hours=-3)))
EMPTY: dict[str, Any] = dict.fromkeys(COLUMNS)


def compiled(fields: Mapping[str, Any] | None, *, wrap: str = "array", echo: str | None = None) -> FieldsRendering:
    plans = None
    if fields is not None:
        plans = {
            name: FieldPlan.model_validate({"from": each} if isinstance(each, str) else each)
            for name, each in fields.items()
        }
    return compile_fields(plans, ENTITY, wrap=wrap, echo=echo, at=())


def row_of(rendering: FieldsRendering | MessageRendering, values: Mapping[str, Any]) -> Sequence[Any]:
    return [values.get(name) for name in rendering.columns]


def made(plan: Any, **values: Any) -> Any:
    """The JSON text of one field."""
    rendering = compiled({"x": plan})
    content = rendering.render(row_of(rendering, values), "7", VERSION).content.decode()
    assert content.startswith('{"x":')
    return content[5:-1]


@pytest.mark.parametrize(
    ("plan", "values", "expected"),
    [
        ("nome", {"nome": 'á "x" 🙂'}, '"á \\"x\\" 🙂"'),
        ("nome", {}, "null"),
        ("numero", {"numero": 2**63 - 1}, "9223372036854775807"),
        ("preco", {"preco": Decimal("5.90")}, "5.90"),
        ("preco", {"preco": Decimal(f"0.{'1234567890' * 4}")}, f"0.{'1234567890' * 4}"),
        ("preco", {"preco": Decimal("99999999999999999999.99")}, "99999999999999999999.99"),
        ("ativo", {"ativo": False}, "false"),
        ("dia", {"dia": date(2026, 1, 31)}, '"2026-01-31"'),
        ("quando", {"quando": datetime(2026, 1, 31, 10, 5)}, '"2026-01-31T10:05:00"'),
        ("dados", {"dados": '{"a": [1, 1.10]}'}, '{"a":[1,1.10]}'),
        ("dados.a.1", {"dados": '{"a": [1, 1.10]}'}, "1.10"),
        ("dados.a.5", {"dados": '{"a": [1, 1.10]}'}, "null"),
        ("dados.b.c", {"dados": '{"a": 1}'}, "null"),
        ("dados.a", {"dados": "null"}, "null"),
        ("dados.a", {}, "null"),
        ({"const": "X"}, {}, '"X"'),
        ({"const": None}, {}, "null"),
        ({"const": 1.5}, {}, "1.5"),
        ({"meta": "key"}, {}, '"7"'),
        ({"meta": "entity"}, {}, '"coisas"'),
        ({"meta": "version"}, {}, '"2026-03-01T13:00:00.000005Z"'),
        ({"from": "nome", "trim": True}, {"nome": "  a b "}, '"a b"'),
        ({"from": "nome", "trim": True, "default": "-"}, {"nome": "   "}, '"-"'),
        ({"from": "nome", "max": 3}, {"nome": "áéíóú"}, '"áéí"'),
        ({"from": "nome", "upper": True}, {"nome": "ação"}, '"AÇÃO"'),
        ({"from": "nome", "digits": True}, {"nome": "00.360.305/0001-04"}, '"00360305000104"'),
        ({"from": "dados.n", "digits": True}, {"dados": '{"n": 12}'}, '"12"'),
        ({"from": "dia", "date": "%d/%m/%Y"}, {"dia": date(987, 1, 3)}, '"03/01/0987"'),
        ({"from": "quando", "date": "%d/%m/%Y %H:%M:%S"}, {"quando": datetime(2026, 3, 1, 9)}, '"01/03/2026 09:00:00"'),
        ({"from": "dados.d", "date": "%d{%m}%%"}, {"dados": '{"d": "2026-03-01T10:00:00"}'}, '"01{03}%"'),
        ({"from": "dados.d", "date": "%d/%m"}, {"dados": '{"d": "2026-03-01"}'}, '"01/03"'),
        ({"from": "preco", "decimal": 2}, {"preco": Decimal("5.9")}, '"5.90"'),
        ({"from": "preco", "decimal": 2}, {"preco": Decimal("2.675")}, '"2.68"'),
        ({"from": "preco", "decimal": 0}, {"preco": Decimal("-0.5")}, '"-1"'),
        ({"from": "preco", "decimal": 2}, {"preco": Decimal("1e20")}, '"100000000000000000000.00"'),
        ({"from": "nome", "decimal": 2, "trim": True}, {"nome": " 5.9 "}, '"5.90"'),
        ({"from": "preco", "brl": True}, {"preco": Decimal("1234567.8")}, '"R$ 1.234.567,80"'),
        ({"from": "numero", "brl": True}, {"numero": -5}, '"-R$ 5,00"'),
        ({"from": "preco", "brl": True}, {"preco": Decimal("-0.004")}, '"R$ 0,00"'),
        ({"from": "nome", "map": {"A": "ATIVO"}}, {"nome": "A"}, '"ATIVO"'),
        ({"from": "nome", "map": {"A": None}}, {"nome": "A"}, "null"),
        ({"from": "numero", "map": {"1": True}}, {"numero": 1}, "true"),
        ({"from": "ativo", "map": {"true": "S", "false": "N"}}, {"ativo": False}, '"N"'),
        ({"from": "nome", "map": {"A": "x"}, "else": "keep"}, {"nome": "B"}, '"B"'),
        ({"from": "nome", "map": {"A": "x"}, "else": None}, {"nome": "B"}, "null"),
        ({"from": "nome", "map": {"A": "x"}, "else": 0}, {"nome": "B"}, "0"),
        ({"from": "nome", "map": {"A": "x"}}, {}, "null"),
        ({"from": "nome", "upper": True, "trim": True, "map": {"A": "x"}}, {"nome": " a"}, '"x"'),
        ({"from": "preco", "default": "0.00"}, {}, '"0.00"'),
        ({"from": "preco", "decimal": 2, "default": "0.00"}, {}, '"0.00"'),
        ({"from": "nome", "required": True, "default": ""}, {}, '""'),
        (
            {"template": "{{{nome}}} {preco|brl} {dia|date:%d/%m} {ativo}"},
            {"nome": "x", "preco": Decimal(1), "dia": date(2026, 1, 2), "ativo": True},
            '"{x} R$ 1,00 02/01 sim"',
        ),
        ({"template": "{nome|max:5}|{numero|default:sem}"}, {"nome": "abcdef"}, '"abcd…|sem"'),
        (
            {"template": "{dia} {quando} {preco}"},
            {"dia": date(2026, 1, 2), "quando": datetime(2026, 1, 2, 3, 4), "preco": Decimal("1.50")},
            '"02/01/2026 02/01/2026 03:04 1,50"',
        ),
        ({"template": "{nome}", "default": "-"}, {}, '"-"'),
        ({"template": "abcdef", "max": 3, "upper": True}, {}, '"ABC"'),
        (
            {"each": {"from": "dados.l", "fields": {"n": {"from": "a", "decimal": 1}, "v": "b.c", "z": {"const": 1}}}},
            {"dados": '{"l": [{"a": 1, "b": {"c": "x"}}, {"a": "2.25"}, null]}'},
            '[{"n":"1.0","v":"x","z":1},{"n":"2.3","v":null,"z":1},{"n":null,"v":null,"z":1}]',
        ),
        ({"each": {"from": "dados.l", "fields": {"n": "a"}}}, {"dados": "{}"}, "null"),
    ],
)
def test_a_field_is_made_as_its_plan_says(plan: Any, values: dict[str, Any], expected: str) -> None:
    assert made(plan, **values) == expected


@pytest.mark.parametrize(
    ("plan", "values", "reason"),
    [
        ({"from": "nome", "required": True}, {}, "x: falta o valor"),
        ({"from": "nome", "required": True, "trim": True}, {"nome": " "}, "x: falta o valor"),
        ({"from": "nome", "map": {"A": "B"}}, {"nome": "X"}, "x: valor sem correspondência: X"),
        ({"from": "preco", "decimal": 2}, {"preco": Decimal("NaN")}, "x: não é um número"),
        ("preco", {"preco": Decimal("Infinity")}, "x: não é um número"),
        ("preco", {"preco": Decimal("NaN")}, "x: não é um número"),
        ({"from": "nome", "decimal": 2}, {"nome": "5,9"}, "x: não é um número"),
        ({"from": "nome", "decimal": 2}, {"nome": "1e5"}, "x: não é um número"),
        ({"from": "preco", "decimal": 2}, {"preco": Decimal("1e200")}, "x: número grande demais"),
        ({"from": "dados.a", "trim": True}, {"dados": '{"a": true}'}, "x: não é um texto"),
        ({"from": "dados.a", "upper": True}, {"dados": '{"a": []}'}, "x: não é um texto"),
        ({"from": "dados.a", "date": "%d"}, {"dados": '{"a": "ontem"}'}, "x: não é uma data"),
        ({"from": "dados.a", "date": "%d"}, {"dados": '{"a": 5}'}, "x: não é uma data"),
        ({"template": "{dados.a}"}, {"dados": '{"a": {}}'}, "dados.a: não é um valor simples"),
        (
            {"each": {"from": "dados.l", "fields": {"n": {"from": "a", "required": True}}}},
            {"dados": '{"l": [{}]}'},
            "x: n: falta o valor",
        ),
        ({"each": {"from": "dados.l", "fields": {"n": {"from": "a"}}}}, {"dados": '{"l": 5}'}, "x: não é uma lista"),
        ("dados", {"dados": "[" * 100_000 + "]" * 100_000}, "o JSON do registro não pode ser lido"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_with_its_field(plan: Any, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(CannotRender) as caught:
        made(plan, **values)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "plan",
    [
        "nom",
        "nome.x",
        "dados..a",
        {},
        {"from": "nome", "const": 1},
        {"const": 1, "default": 2},
        {"meta": "key", "upper": True},
        {"from": "preco", "trim": True},
        {"from": "ativo", "decimal": 2},
        {"from": "dia", "date": "%H:%M"},
        {"from": "quando", "date": "%j"},
        {"from": "quando", "date": "no field"},
        {"from": "quando", "map": {"a": 1}},
        {"from": "nome", "brl": True, "decimal": 2},
        {"each": {"from": "nome", "fields": {"a": {"from": "b"}}}},
        {"each": {"from": "dados", "fields": {"a": {"meta": "key"}}}},
        {"template": "{nome"},
        {"template": "nome}"},
        {"template": "{}"},
        {"template": "{nome|max}"},
        {"template": "{nome|max:x}"},
        {"template": "{nome|max:0}"},
        {"template": "{nome|upper:1}"},
        {"template": "{nome|foo}"},
        {"template": "{preco|decimal:11}"},
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_any_record(plan: Any) -> None:
    with pytest.raises(Problem):
        compiled({"x": plan})


def test_without_fields_all_columns_stand_by_their_names() -> None:
    rendering = compiled(None)
    assert rendering.columns == tuple(name for name in COLUMNS if name != "dados")
    contratos = compile_fields(None, DELIVERED["contratos"], wrap="array", echo=None, at=())
    assert not {"payload", "link_pncp", "visto_em", "alterado_em", "termos_contrato"} & set(contratos.columns)
    assert {"numero_controle_pncp", "valor_global"} <= set(contratos.columns)


def test_the_echo_is_the_text_of_its_field_and_cannot_be_missing() -> None:
    rendering = compiled({"id": "numero", "n": "nome"}, echo="id")
    assert rendering.render([7, "x"], "7", VERSION).echo == "7"
    with pytest.raises(CannotRender, match="id: sem valor"):
        rendering.render([None, "x"], "7", VERSION)
    with pytest.raises(Problem, match="quis dizer `id`"):
        compiled({"id": "numero"}, echo="idd")


@pytest.mark.parametrize(
    ("wrap", "body", "content_type"),
    [
        ("array", b'[{"a":1},{"a":2}]', "application/json"),
        ("registros", b'{"registros":[{"a":1},{"a":2}]}', "application/json"),
        ('a"b', b'{"a\\"b":[{"a":1},{"a":2}]}', "application/json"),
        ("lines", b'{"a":1}\n{"a":2}\n', "application/x-ndjson"),
        ("none", b'{"a":1}\n{"a":2}', "application/json"),
    ],
)
def test_a_body_wraps_its_contents_and_its_overhead_is_known(wrap: str, body: bytes, content_type: str) -> None:
    rendering = compiled({"a": "numero"}, wrap=wrap)
    contents = [rendering.render([number], "", VERSION).content for number in (1, 2)]
    assert rendering.body(contents) == body
    assert rendering.content_type == content_type
    assert len(body) <= rendering.overhead + sum(len(each) + 1 for each in contents)


def test_the_digest_changes_with_whatever_changes_contents() -> None:
    plans: list[Any] = [
        {"a": "nome"},
        {"b": "nome"},
        {"a": "numero"},
        {"a": {"from": "nome", "trim": True}},
        {"a": {"from": "nome", "max": 5}},
        {"a": "nome", "b": "numero"},
        {"b": "numero", "a": "nome"},
        {"a": {"const": 1}},
        {"a": {"const": "1"}},
        {"a": {"from": "nome", "map": {"A": "B"}}},
        {"a": {"from": "nome", "map": {"A": "B"}, "else": None}},
    ]
    digests = [compiled(plan).digest for plan in plans]
    assert len(set(digests)) == len(plans)
    assert [compiled(plan).digest for plan in plans] == digests
    assert {len(each) for each in digests} == {16}
    # how a body holds contents does not change them
    assert compiled(plans[0], wrap="lines").digest == digests[0]


VALUES = {
    "nome": st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    "numero": st.none() | st.integers(-(2**63), 2**63 - 1),
    "preco": st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=4),
    "ativo": st.none() | st.booleans(),
    "dia": st.none() | st.dates(),
    "quando": st.none() | st.datetimes(),
    "dados": st.none()
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet='aá"\\'),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    ).map(json.dumps),
}
ROWS = st.fixed_dictionaries(VALUES)
PLAN = {
    "nome": {"from": "nome", "trim": True, "max": 10, "default": "-"},
    "numero": "numero",
    "preco": "preco",
    "texto": {"from": "preco", "decimal": 2},
    "ativo": {"from": "ativo", "map": {"true": "S"}, "else": "keep"},
    "dia": {"from": "dia", "date": "%d/%m/%Y"},
    "quando": "quando",
    "dados": "dados",
    "dentro": "dados.a.b",
    "texto_livre": {"template": "{nome|max:20} {preco|brl} {numero}"},
    "versao": {"meta": "version"},
    "chave": {"meta": "key"},
}
RENDERING = compiled(PLAN)


@settings(deadline=None)
@given(ROWS, st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)))
def test_a_rendering_is_a_function_of_record_and_plan(values: dict[str, Any], version: datetime) -> None:
    row = row_of(RENDERING, values)
    before = list(row)
    content = RENDERING.render(row, "k", version).content
    assert row == before  # what is handed over is left as it is
    again = compiled(PLAN)
    assert again.digest == RENDERING.digest
    assert again.render(tuple(row), "k", version).content == content
    parsed = json.loads(content, parse_float=Decimal)
    assert list(parsed) == list(PLAN)
    assert b"\n" not in content  # contents stand on lines
    if values["preco"] is not None:
        assert parsed["preco"] == values["preco"]
    assert parsed["dados"] == (None if values["dados"] is None else json.loads(values["dados"]))
    assert parsed["numero"] == values["numero"]


@settings(deadline=None)
@given(ROWS, ROWS)
def test_records_that_differ_in_what_is_mapped_have_other_contents(one: dict[str, Any], other: dict[str, Any]) -> None:
    rendering = compiled({name: name for name in ("nome", "numero", "ativo", "dia", "quando")})
    contents = [rendering.render(row_of(rendering, each), "", VERSION).content for each in (one, other)]
    same = row_of(rendering, one) == row_of(rendering, other)
    assert (contents[0] == contents[1]) is same


# --- messages ---------------------------------------------------------------------------------------------------


def message(chat: str, line: str, head: str = "", entity: Delivered = ENTITY) -> MessageRendering:
    return compile_message(chat, head, line, entity, chat_id="-100", at=())


def line_of(chat: str, line: str, **values: Any) -> str:
    rendering = message(chat, line)
    return rendering.render(row_of(rendering, values), "", VERSION).content.decode()


@pytest.mark.parametrize(
    ("chat", "value", "expected"),
    [
        ("slack", "<!channel> <https://evil|ok> & *x*", "&lt;!channel&gt; &lt;https://evil|ok&gt; &amp; *x*"),
        ("telegram", '<a href="x">&</a>', "&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;"),
        ("teams", "[ok](https://evil) *x* <at>", "\\[ok\\]\\(https://evil\\) \\*x\\* &lt;at&gt;"),
        ("teams", "https://pncp.gov.br/a_b/1?x=1", "https://pncp.gov.br/a_b/1?x=1"),
        ("slack", "a\n\nb\u2028c\x00d\u202ee\t", "a b c d e"),
    ],
)
def test_words_of_strangers_are_escaped_and_those_of_the_template_are_not(chat: str, value: str, expected: str) -> None:
    assert line_of(chat, "*<b>{nome}</b>*", nome=value) == f"*<b>{expected}</b>*"


def test_messages_have_the_form_of_their_chat() -> None:
    lines = [b"one", "dois á".encode()]
    slack = json.loads(message("slack", "{nome}", "{count} novas").body(lines))
    assert slack == {"text": "2 novas\none\ndois á"}
    telegram = json.loads(message("telegram", "{nome}", "<b>{count}</b>").body(lines))
    assert telegram["text"] == "<b>2</b>\none\ndois á"
    assert (telegram["chat_id"], telegram["parse_mode"]) == ("-100", "HTML")
    teams = json.loads(message("teams", "{nome}").body(lines))
    (card,) = teams["attachments"]
    assert card["content"]["type"] == "AdaptiveCard"
    assert card["content"]["body"][0]["text"] == "one\n\ndois á"


LIMITS = {"slack": 40_000, "telegram": 4_096, "teams": 28 * 1024}


@settings(deadline=None)
@given(st.sampled_from(sorted(CHATS)), st.lists(st.text(max_size=300), min_size=1, max_size=100), st.integers(1, 400))
def test_a_message_that_fits_its_batch_fits_its_chat(chat: str, texts: list[str], times: int) -> None:
    rendering = message(chat, "<b>{nome}</b> {preco|brl}", "{count} novas")
    texts = [text.replace("\0", "").encode("utf-8", "replace").decode() * times for text in texts]
    contents: list[bytes] = []
    size = rendering.overhead
    for text in texts:
        content = rendering.render([text, Decimal("1.5")], "", VERSION).content
        if size + len(content) + 1 > rendering.chat.max_bytes:
            break
        size += len(content) + 1
        contents.append(content)
    assert contents, "one record always fits"
    body = rendering.body(contents)
    text = json.loads(body).get("text", "")
    assert (len(body) if chat == "teams" else len(text)) <= LIMITS[chat]


def test_a_line_that_is_too_long_is_shortened_by_its_values_and_keeps_its_marks() -> None:
    rendering = message("telegram", "<b>{nome}</b> {dados.a}")
    content = rendering.render(["&" * 10_000, '{"a": "fim"}'], "", VERSION).content.decode()
    assert len(content.encode()) <= CHATS["telegram"].max_bytes
    assert content.startswith("<b>&amp;&amp;")
    assert content.endswith("…</b> fim")


@pytest.mark.parametrize(
    ("head", "line"), [("{nome}", "{nome}"), ("{", "{nome}"), ("x" * 3000, "{nome}"), ("", "{count}")]
)
def test_a_template_that_cannot_be_is_refused(head: str, line: str) -> None:
    with pytest.raises(Problem):
        message("telegram", line, head)


def test_the_head_does_not_change_the_digest_and_the_line_does() -> None:
    assert message("slack", "{nome}", "a").digest == message("slack", "{nome}", "b").digest
    assert message("slack", "{nome}").digest != message("slack", "{nome} ").digest
    assert message("slack", "{nome}").digest != message("telegram", "{nome}").digest
