"""The portal's JSON becomes typed records; what is malformed is no page, what cannot be stored is rejected alone."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.resources.contratacoes import CONTRATACOES, ITENS
from ingestor.sources.pncp.envelope import MANY_SEPARATORS, NotAPageError, parse_page
from ingestor.sources.pncp.mending import mend
from ingestor.sources.pncp.records import MOST_REFUSED_ENTRIES, list_path, parse_entry, parse_list, parse_record
from ingestor.sources.pncp.sight import Seen, newest_first, see
from ingestor.sources.values import Drift, Entry, Itens, Record, Rejected, Stamps, compare_versions
from tests.records import CONTRATACAO, ITEM, KEY, raw

DAY = datetime.fromisoformat("2026-03-10T00:00:00")


def raw_with(fragment: bytes | str, key: str, record: dict[str, Any] | None = None) -> bytes:
    """As above, but one value is these very bytes."""
    written = fragment.encode() if isinstance(fragment, str) else fragment
    return raw(record, **{key: "@@"}).replace(b'"@@"', written)


def envelope(*records: bytes, **over: Any) -> bytes:
    tail = {"totalRegistros": len(records), "totalPaginas": 1, "numeroPagina": 1} | over
    return b'{"data": [' + b", ".join(records) + b"], " + json.dumps(tail).encode()[1:]


def stored(record: bytes) -> Record:
    parsed = parse_record(CONTRATACOES, record)
    assert isinstance(parsed, Record), parsed
    return parsed


def stored_item(record: bytes) -> Entry:
    parsed = parse_entry(ITENS, record)
    assert isinstance(parsed, Entry), parsed
    return parsed


def rejected(record: bytes) -> Rejected:
    parsed = parse_record(CONTRATACOES, record)
    assert isinstance(parsed, Rejected), parsed
    return parsed


def through_a_page(record: bytes) -> Record | Rejected:
    """As it would come in: a page is read first, and may be mended on the way."""
    (only,) = parse_page(envelope(record), 1).records
    return parse_record(CONTRATACOES, only)


# Pages


def test_a_page_holds_its_records_as_they_came() -> None:
    first, second = raw(), b'{ "unknown" : [1.50, "\\u00e7"] }'
    page = parse_page(envelope(first, second, totalRegistros=102, totalPaginas=3, numeroPagina=2), 2)
    assert (page.number, page.total_registros, page.total_paginas) == (2, 102, 3)
    assert [bytes(record) for record in page.records] == [first, second]


def test_a_page_may_say_that_there_is_nothing() -> None:
    page = parse_page(envelope(totalRegistros=0, totalPaginas=0), 1)
    assert (page.number, page.total_registros, page.total_paginas, page.records) == (1, 0, 0, [])


def test_what_else_an_envelope_says_does_not_matter() -> None:
    (record,) = parse_page(envelope(raw(), paginasRestantes="?", empty=None, novidade={}), 1).records
    assert bytes(record) == raw()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b"<html><head><title>Limite</title></head></html>",
        "Erro na comunicação com o banco de dados.".encode(),
        envelope(raw())[:-1],
        envelope(raw())[:200],
        envelope(raw()) + b"}",
        envelope(raw()) + envelope(raw()),
        b"\x1f\x8b\x08\x00",
        b"\xff\xfe" + envelope(raw()),
        b'{"timestamp":"2026","status":400,"error":"Bad Request"}',
    ],
    ids=str,
)
def test_a_body_that_is_no_envelope_is_no_page(body: bytes) -> None:
    with pytest.raises(NotAPageError):
        parse_page(body, 1)


@pytest.mark.parametrize("missing", ["data", "totalRegistros", "totalPaginas", "numeroPagina"])
def test_an_envelope_without_one_of_its_keys_is_no_page(missing: str) -> None:
    fields = json.loads(envelope(raw()))
    del fields[missing]
    with pytest.raises(NotAPageError, match=missing):
        parse_page(json.dumps(fields).encode(), 1)


@pytest.mark.parametrize("came", [1, 3, 0, -2, 2**40, 10**30, "2", None, 2.5, True])
def test_a_page_of_another_number_is_not_an_answer(came: object) -> None:
    with pytest.raises(NotAPageError):
        parse_page(envelope(raw(), totalRegistros=150, totalPaginas=3, numeroPagina=came), 2)


@pytest.mark.parametrize("name", ["totalRegistros", "totalPaginas"])
@pytest.mark.parametrize("value", ["1", "muitos", -1, None, 1.5, True, [1], {}, 10**30, 2**62])
def test_totals_that_are_no_counts_are_no_page(name: str, value: object) -> None:
    with pytest.raises(NotAPageError):
        parse_page(envelope(raw(), **{name: value}), 1)


@pytest.mark.parametrize("data", [None, {}, "[]", 1])
def test_data_that_is_no_list_is_no_page(data: object) -> None:
    body = json.dumps({"data": data, "totalRegistros": 0, "totalPaginas": 0, "numeroPagina": 1}).encode()
    with pytest.raises(NotAPageError):
        parse_page(body, 1)


@pytest.mark.parametrize(
    ("records", "totals"),
    [
        (1, {"totalRegistros": 2, "totalPaginas": 1}),
        (1, {"totalRegistros": 2, "totalPaginas": 0}),
        (0, {"totalRegistros": 1, "totalPaginas": 1}),
        (0, {"totalRegistros": 120, "totalPaginas": 3}),
        (1, {"totalRegistros": 30, "totalPaginas": 1_000_000_000}),
        (1, {"totalRegistros": 1, "totalPaginas": 2}),
        (0, {"totalRegistros": 0, "totalPaginas": 2}),
    ],
)
def test_totals_that_contradict_each_other_are_no_page(records: int, totals: dict[str, int]) -> None:
    with pytest.raises(NotAPageError, match="promised"):
        parse_page(envelope(*[raw()] * records, **totals), 1)


def test_a_later_page_may_be_short_or_empty_for_the_client_to_judge() -> None:
    page = parse_page(envelope(totalRegistros=120, totalPaginas=3, numeroPagina=3), 3)
    assert page.records == []


@pytest.mark.parametrize("depth", [5_000, 1_000_000])
def test_a_body_nested_without_end_is_refused_and_nothing_breaks(depth: int) -> None:
    nest = b"[" * depth + b"]" * depth
    with pytest.raises(NotAPageError, match="nested"):
        parse_page(envelope(nest), 1)
    with pytest.raises(NotAPageError, match="nested"):
        parse_list(ITENS, nest, KEY)


def test_a_body_nested_without_end_that_is_broken_as_well_is_refused() -> None:
    with pytest.raises(NotAPageError):
        parse_page(envelope(b"[" * 100_000 + b"NaN" + b"]" * 100_000), 1)


# Arrays


def test_an_array_holds_its_records_as_they_came() -> None:
    itens = parse_list(ITENS, b'[{"numeroItem": 1, "quantidade": 1.0}, 7 ,null]', KEY)
    assert [bytes(payload) for payload in itens.payloads.values()] == [b'{"numeroItem": 1, "quantidade": 1.0}']
    assert [rejected.payload for rejected in itens.rejected] == ["7", "null"]
    assert parse_list(ITENS, b" [] ", KEY) == Itens()


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b'{"data": []}', b'"[]"', b"[1", b"[1,]", b"[1] [2]", b"<html></html>"]
)
def test_a_body_that_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(NotAPageError):
        parse_list(ITENS, body, KEY)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_to_be_no_page(body: bytes) -> None:
    for parse in (lambda: parse_page(body, 1), lambda: parse_list(ITENS, body, KEY)):
        try:
            parse()
        except NotAPageError:
            continue


# Texts and sizes that no parser should meet


@pytest.mark.parametrize("bad", [b"Constru\xe7\xe3o", b"a\xff", b"\xed\xa0\x80", b"\xc3"], ids=repr)
def test_what_is_not_utf8_is_not_an_answer(bad: bytes) -> None:
    for parse in (
        lambda: parse_page(envelope(raw_with(b'"%s"' % bad, "objetoCompra")), 1),
        lambda: parse_list(ITENS, b'[{"numeroItem": 1, "chaveNova": "%s"}]' % bad, KEY),
        lambda: parse_list(ITENS, b'["%s"]' % bad, KEY),
    ):
        with pytest.raises(NotAPageError, match="not UTF-8"):
            parse()


MIB = 1 << 20


def peak_of(call: Callable[[], object]) -> tuple[int, object]:
    """The most memory that a call has used, in bytes, and what it answered or raised."""
    tracemalloc.start()
    try:
        try:
            answer = call()
        except NotAPageError as error:
            answer = error
        return tracemalloc.get_traced_memory()[1], answer
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "entry",
    [
        b"0",
        b"{}",
        b"[]",
        b'""',
        b"0.5",
        b'{"numeroItem":1}',
        b"[[0],[0]]",
        b'{"a":NaN}',
        b'{"a":"\\u0000"}',
        b"[NaN,0]",
    ],
    ids=repr,
)
def test_no_body_becomes_many_times_its_size_in_objects(entry: bytes) -> None:
    body = b"[" + b",".join([entry] * (8 * MIB // (len(entry) + 1))) + b"]"
    page = b'{"data": %s, "totalRegistros": 1, "totalPaginas": 1, "numeroPagina": 1}' % body
    for parse in (lambda: parse_list(ITENS, body, KEY), lambda: parse_page(page, 1)):
        peak, answer = peak_of(parse)
        assert isinstance(answer, NotAPageError)
        assert peak < 32 * MIB


@pytest.mark.parametrize("key", ["numeroControlePNCP", "numeroItem", "catalogo", "chaveNova"])
@pytest.mark.parametrize("ending", [b"0", b"NaN", rb'"\u0000"'], ids=repr)
def test_a_record_of_many_small_values_is_stored_or_rejected_within_bounds(key: str, ending: bytes) -> None:
    value = b"[" + b"[]," * (2 * MIB) + ending + b"]"
    for record in (raw_with(value, key), raw_with(value, key, ITEM)):
        peak, _ = peak_of(lambda record=record: parse_record(CONTRATACOES, record))  # type: ignore[misc]
        assert peak < 48 * MIB
        peak, _ = peak_of(lambda record=record: parse_entry(ITENS, record))  # type: ignore[misc]
        assert peak < 48 * MIB


def test_a_long_list_of_real_items_is_read_whole() -> None:
    several = array(*(raw(ITEM, numeroItem=number) for number in range(1, 10_001)))
    assert len(parse_list(ITENS, several, KEY).payloads) == 10_000
    assert several.count(b",") > MANY_SEPARATORS


def test_a_list_of_entries_that_cannot_be_stored_is_refused_whole() -> None:
    some = array(raw(ITEM), *[b"7"] * MOST_REFUSED_ENTRIES)
    assert len(parse_list(ITENS, some, KEY).rejected) == MOST_REFUSED_ENTRIES
    with pytest.raises(NotAPageError, match="cannot be stored"):
        parse_list(ITENS, array(raw(ITEM), *[b"7"] * (MOST_REFUSED_ENTRIES + 1)), KEY)


# What is mended


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb'"a\u0000b"', "ab"),
        (b'"a\x00b"', "ab"),
        (rb'"a\ud800b"', "ab"),
        (rb'"a\uDFFFb"', "ab"),
        (rb'"\ude00\ud83d"', ""),
        (rb'"a\ud83d\ude00b"', "a\N{GRINNING FACE}b"),  # a pair is a character
        ('"a\N{GRINNING FACE}b"', "a\N{GRINNING FACE}b"),
        (rb'"a\\u0000b"', r"a\u0000b"),  # a backslash and five characters
        (rb'"a\\\u0000b"', "a\\b"),
        (b'"a\nb\tc\x01d"', "a\nb\tc\x01d"),
        (rb'"a\nb\u0001d"', "a\nb\x01d"),
        (b'"a\xffb"', None),  # what is not UTF-8 is not an answer
        (b'"S\xe3o Paulo"', None),  # latin-1
        (b'"a\xed\xa0\x80b"', None),  # a surrogate as bytes
        (b'"a\xc3', None),
    ],
    ids=str,
)
def test_a_text_that_postgresql_refuses_is_stored_without_what_it_refuses(written: bytes | str, read: str) -> None:
    if read is None:
        with pytest.raises(NotAPageError):
            through_a_page(raw_with(written, "objetoCompra"))
        return
    record = through_a_page(raw_with(written, "objetoCompra"))
    assert isinstance(record, Record)
    assert record.typed.objeto_compra == read
    assert json.loads(record.payload)["objetoCompra"] == read
    assert json.loads(record.payload) == CONTRATACAO | {"objetoCompra": read}
    assert record.payload.encode()


def test_what_one_record_holds_does_not_touch_its_neighbours() -> None:
    good = raw_with("0.10000000000000000000000001", "valorTotalEstimado")
    for bad in (rb'"\u0000"', b"NaN", b'"\x00"', b"1" * 5000):
        page = parse_page(envelope(raw_with(bad, "unknown"), good, raw(numeroControlePNCP=None)), 1)
        neighbour = stored(page.records[1])
        assert neighbour.typed.valor_total_estimado == Decimal("0.10000000000000000000000001")
        assert neighbour.typed.objeto_compra == "Água e luz"
        assert isinstance(parse_record(CONTRATACOES, page.records[2]), Rejected)


def test_refused_characters_leave_keys_and_inner_texts_too() -> None:
    record = through_a_page(raw_with(rb'{"a\u0000\ud800": ["\u0000x", {"b": "\udc00"}]}', "fontesOrcamentarias"))
    assert isinstance(record, Record)
    assert json.loads(record.payload)["fontesOrcamentarias"] == {"a": ["x", {"b": ""}]}


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_know_costs_its_column_and_nothing_else(literal: str) -> None:
    empty = through_a_page(raw_with(literal, "valorTotalEstimado"))
    assert isinstance(empty, Record)
    assert empty.typed.valor_total_estimado is None
    assert json.loads(empty.payload)["valorTotalEstimado"] == literal
    assert empty.drift == (Drift("valorTotalEstimado", "string", f'"{literal}"'),)
    kept = through_a_page(raw_with(literal, "chaveNova"))
    assert isinstance(kept, Record)
    assert json.loads(kept.payload)["chaveNova"] == literal


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=40), st.booleans())
def test_any_text_at_all_is_stored_in_a_form_that_postgresql_takes(text: str, as_escapes: bool) -> None:
    has_surrogates = any(0xD800 <= ord(character) <= 0xDFFF for character in text)
    written = json.dumps(text, ensure_ascii=as_escapes).encode("utf-8", "surrogatepass")
    if has_surrogates and not as_escapes:
        with pytest.raises(NotAPageError, match="not UTF-8"):
            through_a_page(raw_with(written, "objetoCompra"))
        return
    record = through_a_page(raw_with(written, "objetoCompra"))
    assert isinstance(record, Record)
    for value in (record.typed.objeto_compra, record.payload, json.loads(record.payload)["objetoCompra"]):
        assert value is not None
        assert "\x00" not in value
        value.encode()  # no lone surrogate
    if not has_surrogates:
        assert record.typed.objeto_compra == text.replace("\x00", "")


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_whatever_stands_in_place_of_a_value_the_record_is_stored_or_rejected(fragment: bytes) -> None:
    try:
        page = parse_page(envelope(raw_with(fragment, "objetoCompra"), raw(numeroControlePNCP="x")), 1)
    except NotAPageError:
        return
    for record in page.records:
        parsed = parse_record(CONTRATACOES, record)
        texts = [parsed.payload]
        if isinstance(parsed, Rejected):
            texts += [parsed.reason, parsed.natural_key or "", parsed.hash]
        for text in texts:
            assert "\x00" not in text
            text.encode()


# What is rejected


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("numeroControlePNCP", None, "numeroControlePNCP"),
        ("numeroControlePNCP", 7, "numeroControlePNCP"),
        ("numeroControlePNCP", "", "numeroControlePNCP"),
        ("numeroControlePNCP", "46675997000180-2-000350/2026", "numeroControlePNCP"),  # a contrato's
        ("numeroControlePNCP", "46675997000180-1-000350/2026-000001", "numeroControlePNCP"),  # an ata's
        ("numeroControlePNCP", "46675997000180-1-350/2026", "numeroControlePNCP"),
        ("numeroControlePNCP", KEY + "\n", "numeroControlePNCP"),
        ("numeroControlePNCP", "../../etc/passwd-1-000350/2026", "numeroControlePNCP"),
        ("dataPublicacaoPncp", None, "dataPublicacaoPncp"),
        ("dataAtualizacao", None, "dataAtualizacao"),
        ("dataAtualizacaoGlobal", None, "dataAtualizacaoGlobal"),
        ("dataAtualizacaoGlobal", "", "dataAtualizacaoGlobal"),
        ("dataAtualizacaoGlobal", "2026-02-30T00:00:00", "dataAtualizacaoGlobal"),
        ("dataAtualizacaoGlobal", "2026-01-01", "dataAtualizacaoGlobal"),
        ("dataAtualizacaoGlobal", 1767225600, "dataAtualizacaoGlobal"),
        ("dataAtualizacaoGlobal", "0001-01-01T00:00:00Z", "year"),  # before year 1 in Brasília
        ("dataAtualizacao", "9999-12-31T23:59:59-12:00", "year"),
        ("dataPublicacaoPncp", "0001-01-01T00:00:00Z", "year"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_record_that_no_row_can_hold_is_rejected_with_its_reason(key: str, value: object, reason: str) -> None:
    record = raw(**{key: value})
    refused = rejected(record)
    assert reason in refused.reason
    assert len(refused.reason) < 500
    assert refused.payload == record.decode()
    if key != "numeroControlePNCP":
        assert refused.natural_key == KEY


@pytest.mark.parametrize(
    "key", ["numeroControlePNCP", "dataPublicacaoPncp", "dataAtualizacao", "dataAtualizacaoGlobal"]
)
def test_a_record_without_what_makes_it_one_is_rejected(key: str) -> None:
    fields = CONTRATACAO.copy()
    del fields[key]
    refused = rejected(raw(fields))
    assert key in refused.reason
    assert refused.natural_key == (None if key == "numeroControlePNCP" else KEY)


@pytest.mark.parametrize("record", [b"null", b"[]", b'"text"', b"7", b"{}", b'[{"numeroControlePNCP": "x"}]'])
def test_what_is_no_record_at_all_is_rejected(record: bytes) -> None:
    refused = rejected(record)
    assert refused.natural_key is None
    assert refused.payload == record.decode()
    assert isinstance(parse_entry(ITENS, record), Rejected)


def test_a_record_nested_too_deeply_is_rejected_and_nothing_breaks() -> None:
    nest = b"[" * 100_000 + b"]" * 100_000
    assert "recursion" in rejected(raw_with(nest, "unknown")).reason
    assert "recursion" in rejected(raw_with(b'["\\u0000", ' + nest + b"]", "unknown")).reason


def test_a_rejected_key_of_any_length_is_kept_short() -> None:
    assert rejected(raw(numeroControlePNCP="9" * 1_000_000)).natural_key == "9" * 100


def test_the_hash_tells_rejected_records_apart() -> None:
    first, again, other = (rejected(raw(numeroControlePNCP=key)) for key in ("x", "x", "y"))
    assert first.hash == again.hash != other.hash
    assert len(first.hash) == 64


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("numeroItem", None, "numeroItem"),
        ("numeroItem", "1", "numeroItem"),
        ("numeroItem", 2**31, "numeroItem"),
    ],
)
def test_an_item_that_no_row_can_hold_is_rejected_with_its_reason(key: str, value: object, reason: str) -> None:
    refused = parse_entry(ITENS, raw(ITEM, **{key: value}))
    assert isinstance(refused, Rejected)
    assert reason in refused.reason
    assert refused.natural_key == (None if value is None else str(value) if key == "numeroItem" else "7")


# What does not fit its column: the column is null, the payload is as it came

MISFITS = [
    ("dataInclusao", "0001-01-01T00:00:00Z", "unfit"),  # before year 1 in Brasília
    ("dataAberturaProposta", "0001-01-01T00:00:00Z", "unfit"),
    ("dataAberturaProposta", "amanhã", "unfit"),
    ("dataEncerramentoProposta", 1767225600, "number"),
    ("anoCompra", 2**31, "unfit"),
    ("anoCompra", "2026", "string"),
    ("anoCompra", True, "boolean"),
    ("sequencialCompra", 1.5, "unfit"),
    ("processo", {"numero": "x"}, "object"),
    ("objetoCompra", ["x"], "array"),
    ("srp", "sim", "string"),
    ("srp", 1, "number"),
    ("valorTotalEstimado", {"valor": 1}, "object"),
    ("valorTotalEstimado", True, "boolean"),
    ("valorTotalEstimado", "muito", "string"),
    ("valorTotalEstimado", "-Infinity", "string"),
    ("valorTotalHomologado", "sNaN", "string"),
    ("valorTotalHomologado", 10**61, "unfit"),
    ("modalidadeId", "seis", "unfit"),
    ("modalidadeId", "6.0", "unfit"),
    ("modalidadeId", " 6", "unfit"),
    ("modalidadeId", "\u0666", "unfit"),
    ("modalidadeId", "1" * 10, "unfit"),
    ("modalidadeId", "x" * 1_000_000, "unfit"),
    ("modalidadeId", 2**31, "unfit"),
    ("situacaoCompraId", True, "boolean"),
    ("amparoLegal", "Art. 75", "string"),
    ("orgaoEntidade", [], "array"),
]
ITEM_MISFITS = [
    ("quantidade", "dez", "string"),
    ("quantidade", 10**61, "unfit"),
    ("valorUnitarioEstimado", "NaN", "string"),
    ("valorTotal", "Infinity", "string"),
    ("itemCategoriaId", "C", "unfit"),
    ("criterioJulgamentoId", {"id": 1}, "object"),
    ("situacaoCompraItem", [1], "array"),
    ("tipoBeneficio", False, "boolean"),
    ("descricao", ["x"], "array"),
    ("temResultado", "sim", "string"),
    ("imagem", 1.5, "unfit"),
    ("dataAtualizacao", "ontem", "unfit"),
    ("dataInclusao", "0001-01-01T00:00:00Z", "unfit"),
]


@pytest.mark.parametrize(("key", "value", "kind"), MISFITS, ids=lambda value: str(value)[:40])
def test_an_optional_field_that_does_not_fit_costs_its_column_alone(key: str, value: object, kind: str) -> None:
    record = raw(**{key: value})
    read = stored(record)
    assert read.payload == record.decode()
    assert read.columns is not None
    assert json.loads(read.columns) == {**CONTRATACAO, key: None}
    assert read.drift == (Drift(key, kind, json.dumps(value, ensure_ascii=False)[:200]),)
    assert read.typed == stored(raw(**{key: None})).typed


@pytest.mark.parametrize(("key", "value", "kind"), ITEM_MISFITS)
def test_a_field_of_an_item_that_does_not_fit_costs_its_column_alone(key: str, value: object, kind: str) -> None:
    record = raw(ITEM, **{key: value})
    read = stored_item(record)
    assert (read.payload, read.drift) == (record.decode(), (Drift(key, kind, json.dumps(value)),))
    assert read.columns is not None
    assert json.loads(read.columns) == {**ITEM, key: None}
    itens = parse_list(ITENS, b"[%s, %s]" % (record, raw(ITEM, numeroItem=8)), KEY)
    assert (list(itens.payloads), itens.rejected) == ([7, 8], [])
    assert itens.drifted == {7: (read.columns.encode(), read.drift)}
    assert list(map(bytes, itens.columns())) == [read.columns.encode(), raw(ITEM, numeroItem=8)]


def test_within_an_object_only_the_value_that_does_not_fit_is_left_out() -> None:
    read = stored(raw(amparoLegal={"codigo": "Art. 75", "nome": "Lei"}, orgaoEntidade={"cnpj": ["1"], "novo": 1}))
    assert read.columns is not None
    columns = json.loads(read.columns)
    assert columns["amparoLegal"] == {"codigo": None, "nome": "Lei"}
    assert columns["orgaoEntidade"] == {"cnpj": None}
    assert json.loads(read.payload)["orgaoEntidade"] == {"cnpj": ["1"], "novo": 1}
    assert set(read.drift) == {
        Drift("amparoLegal.codigo", "unfit", '"Art. 75"'),
        Drift("orgaoEntidade.cnpj", "array", '["1"]'),
    }


@pytest.mark.parametrize("value", [90001, 1.50, True])
def test_a_text_column_takes_numbers_and_booleans(value: object) -> None:
    record = raw(numeroCompra=value, orgaoEntidade={"cnpj": value}, unidadeOrgao={"codigoUnidade": value})
    read = stored(record)
    assert (read.payload, read.columns, read.drift) == (record.decode(), None, ())
    item = stored_item(raw(ITEM, descricao=value))
    assert (item.columns, item.drift) == (None, ())


def test_a_key_that_no_index_can_hold_costs_its_column_alone() -> None:
    read = stored(raw(orgaoEntidade={"cnpj": "9" * 1_000_000}))
    assert [(drift.path, drift.kind, len(drift.example)) for drift in read.drift] == [
        ("orgaoEntidade.cnpj", "unfit", 200)
    ]


@pytest.mark.parametrize("number", ["1e61", "-1e61", "1e-61", "0.0" + "0" * 60 + "1", "1" * 62, "0E+100", "1e9999"])
def test_a_number_beyond_any_column_stays_in_the_payload(number: str) -> None:
    record = raw_with(number, "valorTotalEstimado")
    read = stored(record)
    assert (read.payload, read.typed.valor_total_estimado) == (record.decode(), None)
    assert read.drift == (Drift("valorTotalEstimado", "unfit", number),)


@pytest.mark.parametrize("number", ["1E+999999", "1e999999999", "-1e200000", "1" * 20_000])
def test_a_number_that_jsonb_does_not_take_becomes_a_text(number: str) -> None:
    for key in ("valorTotalEstimado", "objetoCompra"):
        read = stored(raw_with(number, key))
        assert json.loads(read.payload) == {**CONTRATACAO, key: number}
        assert read.columns is not None
        kept = None if key == "valorTotalEstimado" else number
        assert json.loads(read.columns) == {**CONTRATACAO, key: kept}


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([key for key in CONTRATACAO if not key.startswith(("numeroControle", "data"))]), st.data())
def test_whatever_an_optional_field_holds_its_record_is_not_rejected(key: str, data: st.DataObject) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
    value = data.draw(values)
    read = through_a_page(raw_with(json.dumps(value).encode(), key))
    assert isinstance(read, Record), read


# What is kept


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("320.00", "320.00"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("12345678901234567890123456789012.10", "12345678901234567890123456789012.10"),
        ("9007199254740993", "9007199254740993"),
        ("-0.01", "-0.01"),
        ("1e30", "1E+30"),
        ("1" + "0" * 30, "1" + "0" * 30),
        ('"12.50"', "12.50"),
        ("0", "0"),
    ],
)
def test_a_number_keeps_every_digit(number: str, value: str) -> None:
    plain = raw_with(number, "valorTotalEstimado")
    mended = plain.replace(b'"processo": "P-1"', rb'"processo": "P-1\u0000"')
    for record in (stored(plain), stored(mended)):
        assert str(record.typed.valor_total_estimado) == value
        inside = json.loads(record.payload, parse_float=Decimal)["valorTotalEstimado"]
        assert Decimal(inside) == Decimal(value)
    assert stored(plain).payload == plain.decode()  # to the byte, spaces and all


def test_integers_of_any_length_survive_mending() -> None:
    long = "123456789012345678901234567890"
    record = stored(raw_with(b'["\\u0000", %s, -%s, 999999999999999999]' % (long.encode(), long.encode()), "unknown"))
    assert json.loads(record.payload)["unknown"] == ["", int(long), -int(long), 999999999999999999]
    endless = b"7" * 5000  # more than Python itself turns into an integer
    assert endless.decode() in stored(raw_with(b'["\\u0000", %s]' % endless, "unknown")).payload


def test_an_unknown_key_stays_in_the_payload() -> None:
    record = raw(chaveNova={"a": [1.50, None, {"b": "ç"}]}, outra=None)
    assert json.loads(stored(record).payload) == json.loads(record)
    assert json.loads(stored_item(raw(ITEM, chaveNova=[1])).payload)["chaveNova"] == [1]


@pytest.mark.parametrize(
    ("written", "wall_clock"),
    [
        ("2026-01-01T02:00:00Z", "2025-12-31T23:00:00"),
        ("2026-01-01T02:00:00+00:00", "2025-12-31T23:00:00"),
        ("2026-01-01T02:00:00-03:00", "2026-01-01T02:00:00"),
        ("2026-01-01T02:00:00.5", "2026-01-01T02:00:00.500000"),
        ("2026-01-01 02:00:00", "2026-01-01T02:00:00"),
    ],
)
def test_a_stamp_with_an_offset_becomes_brasilia_s(written: str, wall_clock: str) -> None:
    expected = datetime.fromisoformat(wall_clock)
    record = stored(raw(dataAtualizacao=written, dataAtualizacaoGlobal=written, dataAberturaProposta=written))
    assert record.version == (expected, expected)


# What tells whether a record has to be written


@pytest.mark.parametrize("criterio", ["publicacao", "atualizacao"])
def test_what_is_seen_of_a_record_is_what_the_whole_of_it_says(criterio: str) -> None:
    record = raw()
    whole = stored(record).typed
    at = whole.data_publicacao_pncp if criterio == "publicacao" else whole.data_atualizacao_global
    assert see(CONTRATACOES, record, criterio) == Seen(KEY, stored(record).version, at, record)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("numeroControlePNCP", "x"),
        ("numeroControlePNCP", None),
        ("dataAtualizacao", "ontem"),
        ("dataAtualizacaoGlobal", "0001-01-01T00:00:00Z"),
        ("dataPublicacaoPncp", None),
    ],
)
def test_a_record_that_does_not_even_say_which_it_is_is_rejected_at_sight(key: str, value: object) -> None:
    record = raw(**{key: value})
    assert see(CONTRATACOES, record, "publicacao") == rejected(record)


def test_a_key_with_what_postgresql_refuses_is_seen_without_it() -> None:
    seen = see(CONTRATACOES, raw_with('"' + KEY + r'\u0000"', "numeroControlePNCP"), "publicacao")
    assert isinstance(seen, Seen)
    assert seen.key == KEY
    assert stored(seen.raw).typed.numero_controle_pncp == KEY


# Items


def array(*itens: bytes) -> bytes:
    return b"[" + b" , ".join(itens) + b"]"


def one_by_one(body: bytes) -> Itens:
    """What `parse_itens` answers, made of what `parse_item` says of each."""
    decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
    try:
        entries = decode(body)
    except msgspec.DecodeError:
        entries = decode(mend(body))
    expected = Itens(told=len(entries))
    for each in entries:
        item = parse_entry(ITENS, bytes(each))
        if isinstance(item, Entry):
            number = item.typed.numero_item
            expected.payloads[number] = item.payload.encode()
            if item.columns is not None:
                expected.drifted[number] = item.columns.encode(), item.drift
        else:
            expected.rejected.append(Rejected(KEY, item.reason, item.payload, "itens_contratacao"))
    return expected


def as_bytes(itens: Itens) -> Itens:
    return replace(itens, payloads={number: bytes(payload) for number, payload in itens.payloads.items()})


ODD = [None, "", "x", 0, 7, -1.5, 2**31, True, [1], {"a": 1}, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "12.50"]
ODD_NUMBERS = ["1e29", "1e30", "1e61", "1e400", "NaN", "-0.01", "9007199254740993", "0.10"]
ODD_TEXTS = [rb'"a\u0000b"', rb'"a\ud800b"', rb'"\u00e7"', '"ç"'.encode(), rb'"a\\u0000"', b'"a\nb"']


@pytest.mark.parametrize("key", [*ITEM, "chaveNova"])
@pytest.mark.parametrize(
    "value", [*(json.dumps(value).encode() for value in ODD), *(number.encode() for number in ODD_NUMBERS), *ODD_TEXTS]
)
def test_a_list_of_items_is_read_as_its_items_are_one_by_one(key: str, value: bytes) -> None:
    plain = raw(ITEM, itemCategoriaId=3)
    body = array(plain, raw_with(value, key, ITEM | {"numeroItem": 8, "itemCategoriaId": 3}))
    assert as_bytes(parse_list(ITENS, body, KEY)) == one_by_one(body)


def test_of_two_items_with_one_number_the_later_stands() -> None:
    old, other, new = (
        raw(ITEM, itemCategoriaId=3, numeroItem=n, descricao=d) for n, d in ((1, "a"), (2, "b"), (1, "c"))
    )
    itens = as_bytes(parse_list(ITENS, array(old, other, new), KEY))
    assert (itens.payloads, itens.rejected, itens.told) == ({1: new, 2: other}, [], 3)


def test_a_rejected_item_is_told_by_its_contratacao_and_leaves_the_rest() -> None:
    bad = (b'{"numeroItem": "dois", "quantidade": 10}', b'{"numeroItem": null}', b"7")
    itens = parse_list(ITENS, array(raw(ITEM, numeroItem=1), *bad, raw(ITEM, numeroItem=3)), KEY)
    assert list(itens.payloads) == [1, 3]
    assert itens.told == 5
    assert [each.payload for each in itens.rejected] == [each.decode() for each in bad]
    assert all(each.reason and each.resource == "itens_contratacao" for each in itens.rejected)
    assert {each.natural_key for each in itens.rejected} == {KEY}
    assert len({each.hash for each in itens.rejected}) == 3


def test_a_page_of_items_that_brings_nothing_new_says_so() -> None:
    first = parse_list(ITENS, array(raw(ITEM, numeroItem=1), b"7"), KEY)
    itens = Itens()
    assert itens.add(first)
    assert not itens.add(first)
    assert itens.add(parse_list(ITENS, array(raw(ITEM, numeroItem=1, descricao="new")), KEY))
    assert itens.add(parse_list(ITENS, array(b"8"), KEY))
    assert (list(itens.payloads), [each.payload for each in itens.rejected], itens.told) == ([1], ["7", "8"], 6)
    assert not itens.add(parse_list(ITENS, b"[]", KEY))


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"[1", b"<html></html>", b"[" * 5000 + b"]" * 5000])
def test_what_is_no_list_holds_no_items(body: bytes) -> None:
    with pytest.raises(NotAPageError):
        parse_list(ITENS, body, KEY)


# Control numbers


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (KEY, "46675997000180/compras/2026/350"),
        ("00000000000191-1-000001/2022", "00000000000191/compras/2022/1"),  # leading zeros belong to the CNPJ
        ("12ABC34501DE35-1-019941/2026", "12ABC34501DE35/compras/2026/19941"),  # letters since July 2026
        ("46675997000180-1-1234567/2026", "46675997000180/compras/2026/1234567"),
    ],
)
def test_a_control_number_leads_to_its_items(key: str, path: str) -> None:
    assert list_path(CONTRATACOES, ITENS, key) == f"/pncp/v1/orgaos/{path}/itens"
    assert stored(raw(numeroControlePNCP=key)).typed.numero_controle_pncp == key


@pytest.mark.parametrize(
    "key", ["", "x", KEY.replace("-1-", "-2-"), KEY + "-000001", KEY.lower().replace("4", "a"), KEY + "\n", "../" + KEY]
)
def test_another_number_leads_nowhere(key: str) -> None:
    with pytest.raises(ValueError, match="is not of the form"):
        list_path(CONTRATACOES, ITENS, key)


# Versions

EARLIER, SAME, LATER = -1, 0, 1


def version(header: int, whole: int) -> Stamps:
    return DAY + timedelta(seconds=header), DAY + timedelta(seconds=whole)


@pytest.mark.parametrize(
    ("header", "whole", "judged"),
    [
        (EARLIER, EARLIER, "older"),
        (EARLIER, SAME, "older"),
        (EARLIER, LATER, "newer"),
        (SAME, EARLIER, "older"),
        (SAME, SAME, "unchanged"),
        (SAME, LATER, "newer"),
        (LATER, EARLIER, "newer"),  # recorded: a header six days after its Global
        (LATER, SAME, "newer"),
        (LATER, LATER, "newer"),
    ],
)
def test_a_version_is_judged_by_both_of_its_stamps(header: int, whole: int, judged: str) -> None:
    assert compare_versions(version(header, whole), version(SAME, SAME)) == judged


VERSIONS = st.builds(version, st.integers(-3, 3), st.integers(-3, 3))


@settings(deadline=None)
@given(VERSIONS, VERSIONS)
def test_two_versions_are_each_newer_than_the_other_only_where_their_stamps_cross(one: Stamps, two: Stamps) -> None:
    both_ways = {compare_versions(one, two), compare_versions(two, one)}
    crossed = (one[0] < two[0] and one[1] > two[1]) or (one[0] > two[0] and one[1] < two[1])
    if crossed:
        assert both_ways == {"newer"}
    elif one == two:
        assert both_ways == {"unchanged"}
    else:
        assert both_ways == {"newer", "older"}


def of_version(header: int, whole: int, *, key: str = KEY) -> Seen:
    first, second = version(header, whole)
    record = raw(numeroControlePNCP=key, dataAtualizacao=first.isoformat(), dataAtualizacaoGlobal=second.isoformat())
    seen = see(CONTRATACOES, record, "publicacao")
    assert isinstance(seen, Seen), seen
    return seen


@pytest.mark.parametrize("turned", [False, True])
def test_of_a_record_that_stands_twice_on_a_page_the_newest_version_is_taken(turned: bool) -> None:
    old, new = of_version(0, 0), of_version(0, 1)
    other = of_version(-1, -1, key="46675997000180-1-000351/2026")
    order = [new, other, old] if turned else [old, other, new]
    chosen = newest_first(order)
    assert chosen == {KEY: [new, old], "46675997000180-1-000351/2026": [other]}


def test_of_two_equal_versions_the_first_is_taken() -> None:
    first, again = of_version(0, 0), of_version(0, 0)
    (only,) = newest_first([first, again])[KEY]
    assert only is first


def test_of_no_records_none_is_the_newest() -> None:
    assert newest_first([]) == {}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Versions of one record, each later than the one before it, in any order of their coming."""
    steps = draw(st.lists(st.sampled_from([(0, 1), (1, 1), (1, 0)]), min_size=1, max_size=5))
    versions = [(sum(step[0] for step in steps[:n]), sum(step[1] for step in steps[:n])) for n in range(len(steps) + 1)]
    return draw(st.permutations(versions))


@settings(deadline=None, max_examples=50)
@given(histories())
def test_in_whatever_order_versions_come_the_last_of_them_is_taken(versions: list[tuple[int, int]]) -> None:
    chosen = newest_first(of_version(*each) for each in versions)[KEY]
    assert [seen.version for seen in chosen] == [version(*each) for each in sorted(set(versions), reverse=True)]
