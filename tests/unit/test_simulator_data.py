"""The simulator's records: generated, recorded, put by hand, changed."""

import asyncio
import json
import re
from collections import Counter
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator import Query, World, generate
from simulator.app import live
from simulator.generated import generate as generate_world
from simulator.invention import cnpj_digits
from simulator.recorded import NoRecordings, load_recorded
from simulator.records import decode_json
from simulator.resources import Criterio
from tests.support import eventually

NOW = datetime.fromisoformat("2026-03-01T12:00:00")
REAL = Path(__file__).parents[2].parent / "shared" / "pncp" / "real"


def make(seed: int = 1, per_day: float = 150, **over: Any) -> World:
    return generate(seed, date(2026, 1, 5), date(2026, 1, 16), per_day, **{"now": lambda: NOW} | over)


@pytest.fixture(scope="module")
def world() -> World:
    return make()


@pytest.fixture(scope="module")
def parsed(world: World) -> list[dict[str, Any]]:
    return [world.record(key) for key in world.keys]


def keys_of(world: World, criterio: Criterio, modalidade: int, first: date, last: date | None = None) -> list[str]:
    query = Query(criterio, modalidade, first, last or first)
    return [record.numero_controle_pncp for record in world.listing(query)]


def test_the_same_seed_gives_the_same_world() -> None:
    one, two, other = make(), make(), make(seed=2)
    assert [one.payload(each) for each in one.select("publicacao")] == [
        two.payload(each) for each in two.select("publicacao")
    ]
    assert [one.items(key) for key in one.keys[:50]] == [two.items(key) for key in two.keys[:50]]
    assert set(one.keys).isdisjoint(other.keys)


def test_every_control_number_is_unique_and_its_own_recomposition(parsed: list[dict[str, Any]]) -> None:
    for record in parsed:
        cnpj = record["orgaoEntidade"]["cnpj"]
        composed = f"{cnpj}-1-{record['sequencialCompra']:06d}/{record['anoCompra']}"
        assert record["numeroControlePNCP"] == composed
        assert cnpj == cnpj_digits(cnpj[:12])
    assert len({record["numeroControlePNCP"] for record in parsed}) == len(parsed)


def test_check_digits_are_those_of_the_rule() -> None:
    assert cnpj_digits("003944290001") == "00394429000100"
    assert cnpj_digits("12ABC34501DE") == "12ABC34501DE35"  # the tax office's own example of an alphanumeric CNPJ


def test_all_modalidades_to_13_occur_over_ten_days_and_some_days_lack_some() -> None:
    world = make(per_day=60)
    first = date(2026, 1, 5)
    by_day = [
        Counter(record.modalidade for record in world.select("publicacao", f"{day}T", f"{day}U"))
        for day in (first + timedelta(days=offset) for offset in range(10))
    ]
    assert set(range(1, 14)) <= set().union(*by_day)
    assert any(modalidade not in day for modalidade in (1, 2, 3) for day in by_day)
    total = sum(by_day, Counter())
    assert total[8] > total[6] > total[9] > total[4] > total[13]


def test_weekdays_have_about_per_day_and_weekends_few(world: World) -> None:
    days = Counter(record.publicacao[:10] for record in world.select("publicacao"))
    assert all(110 < days[f"2026-01-{day:02d}"] < 190 for day in (5, 6, 7, 8, 9, 12, 13, 14, 15, 16))
    assert all(days[day] < 40 for day in ("2026-01-10", "2026-01-11"))
    assert all("07" <= record.publicacao[11:13] < "19" for record in world.select("publicacao"))


def test_stamps_follow_publication_and_stay_before_until(world: World, parsed: list[dict[str, Any]]) -> None:
    earlier = 0
    for record in parsed:
        published, header = record["dataPublicacaoPncp"], record["dataAtualizacao"]
        dependants = record["dataAtualizacaoGlobal"]
        assert record["dataInclusao"] == published <= header <= "2026-01-16T23:59:59"
        assert published <= dependants <= "2026-01-16T23:59:59"
        earlier += dependants < header
    later = sum(each["dataAtualizacaoGlobal"] > each["dataAtualizacao"] for each in parsed)
    assert later > 0.7 * len(parsed)
    assert earlier < 0.02 * len(parsed)
    moved = Counter(record.atualizacao_global[:10] != record.publicacao[:10] for record in world.select("atualizacao"))
    assert moved[True] > 100


def test_a_few_globals_lie_before_the_header() -> None:
    world = make(per_day=2000)
    assert any(record.atualizacao_global < record.atualizacao for record in world.select("publicacao"))


def test_nothing_lies_in_the_future() -> None:
    noon = datetime.fromisoformat("2026-01-16T12:00:00")
    world = make(now=lambda: noon)
    stamps = [record.stamp(criterio) for criterio in ("publicacao", "atualizacao") for record in world.select(criterio)]
    assert max(stamps) <= noon.isoformat()
    assert len(world) < len(make())


def test_types_nulls_and_empty_texts_are_as_recorded(parsed: list[dict[str, Any]]) -> None:
    count = len(parsed)
    share = {key: sum(record[key] is None for record in parsed) / count for key in parsed[0]}
    assert 0.25 < share["valorTotalHomologado"] < 0.45
    assert share["linkProcessoEletronico"] > 0.95
    assert share["orgaoSubRogado"] > 0.97
    assert any(record["orgaoSubRogado"] for record in parsed)
    assert any(record["informacaoComplementar"] == "" for record in parsed)
    assert any(record["valorTotalEstimado"] == 0 for record in parsed)
    assert any("\r\n" in record["objetoCompra"] for record in parsed)
    assert any(record["fontesOrcamentarias"] for record in parsed)
    assert any(re.search("[A-Z]", record["orgaoEntidade"]["cnpj"]) for record in parsed)
    assert any(record["unidadeOrgao"]["codigoUnidade"].startswith("0") for record in parsed)
    assert all(type(record["situacaoCompraId"]) is int and type(record["srp"]) is bool for record in parsed)
    for record in parsed:
        without_dates = record["dataAberturaProposta"] is None
        assert without_dates == (record["tipoInstrumentoConvocatorioCodigo"] == 3)


def test_emenda_parlamentar_comes_with_2026(parsed: list[dict[str, Any]]) -> None:
    assert all("emendaParlamentar" in record for record in parsed)
    before = generate(1, date(2025, 6, 2), date(2025, 6, 2), 20, now=lambda: NOW)
    assert not any("emendaParlamentar" in before.record(key) for key in before.keys)


def test_item_counts_are_spread_as_a_client_must_expect() -> None:
    world = make(per_day=1000)
    counts = Counter(record.item_count for record in world.select("publicacao"))
    assert 6 < world.item_count / len(world) < 11
    assert counts[0]
    assert counts[1] > counts[10] > 0
    assert counts[20]
    assert any(count > 100 for count in counts)
    large = max(world.select("publicacao"), key=lambda record: record.item_count)
    numbers = [json.loads(item)["numeroItem"] for item in world.items(large.numero_controle_pncp)]
    assert numbers == list(range(1, large.item_count + 1))


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="lies before"):
        generate(1, date(2026, 1, 2), date(2026, 1, 1), 1)


def test_the_package_gives_out_the_function_not_the_module() -> None:
    assert generate is generate_world


# Changes


def test_published_records_are_stamped_now_and_listed_at_once() -> None:
    clock = [NOW]
    world = make(per_day=5, now=lambda: clock[0])
    keys = world.publish(3, modalidade=6)
    assert keys_of(world, "publicacao", 6, NOW.date()) == sorted(keys)
    record = world.record(keys[0])
    assert record["dataPublicacaoPncp"] == record["dataAtualizacaoGlobal"] == NOW.isoformat()
    assert set(world.publish(40, at="2026-01-07", modalidade=3)) <= set(
        keys_of(world, "publicacao", 3, date(2026, 1, 7))
    )


def test_a_touched_record_moves_to_now_and_changes() -> None:
    world = make(per_day=20)
    key = world.put(data_publicacao="2026-01-06T10:00:00", items=3)
    before, items = world.record(key), world.items(key)
    assert world.touch([key]) == [key]
    after = world.record(key)
    assert after["dataAtualizacaoGlobal"] == NOW.isoformat()
    assert after["valorTotalHomologado"] != before["valorTotalHomologado"]
    assert (after["situacaoCompraId"] != 1) or world.items(key) != items
    assert key in keys_of(world, "atualizacao", 6, NOW.date())
    assert key not in keys_of(world, "atualizacao", 6, date(2026, 1, 6))
    assert key in keys_of(world, "publicacao", 6, date(2026, 1, 6))
    assert len(world.touch(5)) == 5


def test_a_removed_record_leaves_every_listing() -> None:
    world = make(per_day=20)
    key = world.put(data_publicacao="2026-01-06T10:00:00")
    world.remove([key])
    assert key not in world
    assert key not in keys_of(world, "publicacao", 6, date(2026, 1, 6))
    with pytest.raises(KeyError):
        world.remove([key])


def test_a_hand_made_record_is_laid_over_an_invented_one() -> None:
    world = make(per_day=0)
    key = world.put(
        data_publicacao="2026-01-10T12:00:00",
        modalidade=9,
        orgaoEntidade={"cnpj": "00394429000100"},
        sequencialCompra=7,
        anoCompra=2026,
        valorTotalEstimado=Decimal("320.00"),
        items=[{"descricao": "Giz"}, {"numeroItem": "dois"}],
        delete=["processo"],
    )
    assert key == "00394429000100-1-000007/2026"
    record = world.record(key)
    assert record["modalidadeNome"] == "Inexigibilidade"
    assert record["orgaoEntidade"]["razaoSocial"]
    assert "processo" not in record
    assert b'"valorTotalEstimado":320.00' in world.payload(world.select("publicacao")[0])
    assert [json.loads(item)["numeroItem"] for item in world.items(key)] == [1, "dois"]


def test_a_record_put_again_is_the_same_one_changed() -> None:
    world = make(per_day=0)
    key = world.put(data_publicacao="2026-01-10T12:00:00", items=4, processo="um")
    again = world.put(numeroControlePNCP=key, data_atualizacao_global="2026-01-11T08:00:00", objetoCompra="outro")
    assert again == key
    assert len(world) == 1
    record = world.record(key)
    assert (record["processo"], record["objetoCompra"]) == ("um", "outro")
    assert record["dataPublicacaoPncp"] == "2026-01-10T12:00:00"
    assert len(world.items(key)) == 4


def test_a_bad_record_is_listed_where_its_stamps_say() -> None:
    world = make(per_day=0)
    key = world.put(
        data_publicacao="2026-01-10T12:00:00",
        dataPublicacaoPncp=None,
        dataAtualizacaoGlobal=12,
        objetoCompra="a\0b\ud800",
        valorTotalEstimado=float("nan"),
        anoCompra=10**30,
        delete=["numeroControlePNCP"],
        modalidadeId="6",
    )
    assert keys_of(world, "publicacao", 6, date(2026, 1, 10)) == [key]
    assert keys_of(world, "atualizacao", 6, date(2026, 1, 10)) == [key]
    payload = world.payload(world.select("publicacao")[0])
    assert b"\\u0000b\\ud800" in payload
    assert b'"valorTotalEstimado":NaN' in payload
    assert b'"anoCompra":1000000000000000000000000000000' in payload
    assert b"numeroControlePNCP" not in payload


# Contratos


@pytest.fixture(scope="module")
def contratos(world: World) -> list[dict[str, Any]]:
    return [world.record(key) for key in world.contratos.records]


def contratos_of(world: World, criterio: Criterio, day: date) -> list[str]:
    query = Query(criterio, None, day, day, resource="contratos")
    return [record.numero_controle_pncp for record in world.listing(query)]


def test_contratos_follow_from_the_seed_whenever_they_are_asked_for() -> None:
    early, late, other = make(per_day=30), make(per_day=30), make(seed=2, per_day=30)
    asked = [early.payload(each) for each in early.contratos.select("publicacao")]
    late.publish(3)
    late.touch(20)
    late.remove(20)
    added = {*late.publish(20, resource="contratos"), late.put(resource="contratos")}
    assert len(added) == 21
    found = [each for each in late.contratos.select("publicacao") if each.numero_controle_pncp not in added]
    assert asked == [late.payload(each) for each in found] != []
    assert set(early.contratos.records).isdisjoint(other.contratos.records)


def test_contratacoes_are_the_same_with_contratos_and_without() -> None:
    plain, both = make(per_day=30), make(per_day=30)
    both.publish(5, resource="contratos")
    both.publish(5, at="2026-01-07", resource="contratos")
    both.touch(5, resource="contratos")
    both.remove(5, resource="contratos")
    both.put(resource="contratos")
    for world in (plain, both):
        world.publish(5)
        world.touch(20)
        world.lose_item(5)
        world.put()
    assert plain.keys == both.keys
    for one, two in zip(plain.select("atualizacao"), both.select("atualizacao"), strict=True):
        assert plain.payload(one) == both.payload(two)
        assert plain.items(one.numero_controle_pncp) == both.items(two.numero_controle_pncp)


def test_every_contrato_has_a_number_of_its_own_that_recomposes(contratos: list[dict[str, Any]]) -> None:
    for record in contratos:
        composed = f"{record['orgaoEntidade']['cnpj']}-2-{record['sequencialContrato']:06d}/{record['anoContrato']}"
        assert record["numeroControlePNCP"] == composed
    assert len({record["numeroControlePNCP"] for record in contratos}) == len(contratos) > 0


def test_contratos_are_fewer_than_contratacoes_and_lie_within_the_days(world: World) -> None:
    assert 0.5 < len(world.contratos.records) / len(world) < 0.7
    stamps = [record.stamp(each) for each in ("publicacao", "atualizacao") for record in world.contratos.select(each)]
    assert "2026-01-05" < min(stamps) < max(stamps) <= "2026-01-16T23:59:59"
    assert any(stamp[11:13] == "00" for stamp in stamps)  # midnight is where windows go wrong
    records = world.contratos.records.values()
    assert all(record.publicacao <= record.atualizacao <= record.atualizacao_global for record in records)
    assert any(record.atualizacao_global[:10] > record.publicacao[:10] for record in records)


def test_nothing_of_a_contrato_lies_in_the_future() -> None:
    noon = datetime.fromisoformat("2026-01-16T12:00:00")
    world = make(now=lambda: noon)
    assert max(record.atualizacao_global for record in world.contratos.records.values()) <= noon.isoformat()


def test_a_contrato_names_a_contratacao_of_its_orgao_of_another_or_of_none_that_is_there(
    world: World, contratos: list[dict[str, Any]]
) -> None:
    listed = [record for record in contratos if record["numeroControlePncpCompra"] in world]
    own = sum(record["numeroControlePncpCompra"][:14] == record["orgaoEntidade"]["cnpj"] for record in listed)
    assert min(own, len(listed) - own, len(contratos) - len(listed)) > 100
    for record in contratos:
        compra = world.contratacoes.records.get(record["numeroControlePncpCompra"])
        assert compra is None or compra.publicacao < record["dataPublicacaoPncp"]


def test_suppliers_are_companies_people_and_foreigners(contratos: list[dict[str, Any]]) -> None:
    by_kind: dict[str, set[str]] = {"PJ": set(), "PF": set(), "PE": set()}
    for record in contratos:
        by_kind[record["tipoPessoa"]].add(record["niFornecedor"])
    assert len(by_kind["PJ"]) > 100
    assert all(ni == cnpj_digits(ni[:12]) for ni in by_kind["PJ"])
    assert by_kind["PE"]
    assert by_kind["PF"]
    assert not any(is_cpf(ni) for ni in by_kind["PF"])  # no living person's number
    assert all(re.fullmatch(r"[0-9]{11}", ni) for ni in by_kind["PF"])


def is_cpf(text: str) -> bool:
    """The tax office's rule: each check digit is ten times the weighted sum, modulo 11, modulo 10."""
    digits = [int(char) for char in text]
    return all(
        sum(digit * (end + 1 - place) for place, digit in enumerate(digits[:end])) * 10 % 11 % 10 == digits[end]
        for end in (9, 10)
    )


def test_the_rule_for_a_cpf_is_that_of_the_tax_office() -> None:
    assert is_cpf("11144477735")
    assert not is_cpf("11144477736")


def test_the_keys_of_2026_are_missing_or_null_before(contratos: list[dict[str, Any]]) -> None:
    keys = {"numeroControlePncpAta", "emendaParlamentar", "frutoAdesao", "temRemanejamento"}
    assert all(keys <= set(record) for record in contratos)
    assert any(record["numeroControlePncpAta"] for record in contratos)
    before = generate(1, date(2024, 1, 8), date(2024, 1, 9), 60, now=lambda: NOW)
    held = Counter(len(keys & set(before.record(key))) for key in before.contratos.records)
    assert set(held) == {0, 4}
    older = [before.record(key) for key in before.contratos.records]
    assert all(record.get(key) is None for record in older for key in keys)


def shape_of(value: Any, path: str = "") -> set[tuple[str, str]]:
    """The keys of a JSON object, also of those within it, each with its JSON type."""
    if not isinstance(value, dict):
        kinds = {bool: "bool", int: "number", float: "number", Decimal: "number", str: "string", type(None): "null"}
        return {(path, kinds[type(value)])}
    return {(path, "object")}.union(*(shape_of(inner, f"{path}.{key}") for key, inner in value.items()))


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings of the portal lie outside the project and are not here")
def test_generated_contratos_have_the_keys_and_types_of_recorded_ones(world: World) -> None:
    real = load_recorded(REAL)
    recorded = [real.record(key) for key in real.contratos.records]
    assert len(recorded) > 1000
    older = generate(1, date(2024, 1, 8), date(2024, 1, 12), 200, now=lambda: NOW)
    generated = [each.record(key) for each in (world, older) for key in each.contratos.records]
    assert {frozenset(record) for record in generated} == {frozenset(record) for record in recorded}
    shapes = set().union(*map(shape_of, generated))
    assert shapes <= set().union(*map(shape_of, recorded))
    rare = {(".urlCipi", "string")}  # once on record, and empty
    assert set().union(*map(shape_of, recorded)) - shapes <= rare


def test_contratos_are_published_touched_and_removed_like_contratacoes() -> None:
    clock = [NOW]
    world = make(per_day=5, now=lambda: clock[0])
    keys = world.publish(3, resource="contratos")
    assert contratos_of(world, "publicacao", NOW.date()) == sorted(keys)
    assert all(world.record(key)["dataPublicacaoPncp"] == NOW.isoformat() for key in keys)
    clock[0] += timedelta(days=1)
    before = {key: world.record(key) for key in keys}
    assert world.touch(keys) == keys
    assert contratos_of(world, "atualizacao", clock[0].date()) == sorted(keys)
    assert contratos_of(world, "atualizacao", NOW.date()) == []
    for key in keys:
        after = world.record(key)
        assert after["dataAtualizacaoGlobal"] == clock[0].isoformat()
        corrected = after["dataAtualizacao"] == clock[0].isoformat()
        assert corrected == (after["numeroRetificacao"] == before[key]["numeroRetificacao"] + 1)
        assert corrected == (after["valorGlobal"] != before[key]["valorGlobal"])
    assert world.remove(keys[:1]) == keys[:1]
    assert keys[0] not in world
    assert contratos_of(world, "publicacao", NOW.date()) == sorted(keys[1:])
    known = set(world.contratos.records)
    assert set(world.touch(4, resource="contratos")) <= known
    removed = world.remove(2, resource="contratos")
    assert known - set(world.contratos.records) == set(removed)
    assert len(removed) == 2


def test_a_touched_contrato_is_corrected_or_has_a_new_document() -> None:
    world = make(per_day=20)
    touched = [world.record(key) for key in world.touch(40, resource="contratos")]
    assert {record["dataAtualizacao"] == record["dataAtualizacaoGlobal"] for record in touched} == {True, False}


def test_a_hand_made_contrato_is_laid_over_an_invented_one() -> None:
    world = make(per_day=0)
    key = world.put(
        resource="contratos",
        data_publicacao="2026-01-10T12:00:00",
        orgaoEntidade={"cnpj": "00394429000100"},
        sequencialContrato=7,
        anoContrato=2026,
        valorGlobal=Decimal("1.0050"),
        delete=["frutoAdesao"],
    )
    assert key == "00394429000100-2-000007/2026"
    record = world.record(key)
    assert record["valorGlobal"] == Decimal("1.0050")
    assert record["objetoContrato"]
    assert "frutoAdesao" not in record
    assert not {"dataInclusao", "modalidadeId"} & set(record)
    again = world.put(
        resource="contratos", numeroControlePNCP=key, data_atualizacao_global="2026-01-11T08:00:00", processo="dois"
    )
    assert again == key
    assert len(world.contratos.records) == 1
    assert world.record(key)["valorGlobal"] == Decimal("1.0050")
    assert contratos_of(world, "atualizacao", date(2026, 1, 11)) == [key]
    assert contratos_of(world, "publicacao", date(2026, 1, 10)) == [key]
    assert len(world) == 0


@pytest.mark.parametrize("over", [{"modalidade": 6}, {"items": 1}, {"resource": "editais"}])
def test_what_a_contrato_does_not_have_is_refused(over: dict[str, Any]) -> None:
    world = make(per_day=0)
    with pytest.raises(ValueError, match="contratos"):
        world.put(**{"resource": "contratos"} | over)
    assert not world.contratos.records
    with pytest.raises(ValueError, match="modalidade"):
        world.publish(1, modalidade=6, resource="contratos")


# Recordings


def record_of(key: str, stamp: str, **over: Any) -> dict[str, Any]:
    return {
        "numeroControlePNCP": key,
        "dataPublicacaoPncp": "2025-07-10T09:00:00",
        "dataAtualizacao": stamp,
        "dataAtualizacaoGlobal": stamp,
        "modalidadeId": 6,
    } | over


def keep(folder: Path, name: str, value: Any) -> None:
    file = folder / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


def test_recordings_of_every_shape_are_loaded_and_the_newest_version_stays(tmp_path: Path) -> None:
    a, b, c = (f"0039442900010{digit}-1-000001/2025" for digit in (0, 1, 2))
    keep(tmp_path, "contratacoes-publicacao/list_snap20250712.json", [record_of(a, "2025-07-12T10:00:00", v="new")])
    keep(tmp_path, "contratacoes-publicacao/x_snap_2025-07-11.json", [record_of(a, "2025-07-12T10:00:00", v="old")])
    keep(tmp_path, "contratacoes-publicacao/z.json", {"data": [record_of(b, "2025-07-10T10:00:00")], "empty": False})
    keep(tmp_path, "contratacoes-atualizacao/one.json", record_of(c, "2025-07-13T10:00:00"))
    later = record_of(b, "2025-07-10T09:30:00", dataAtualizacaoGlobal="2025-07-14T10:00:00")
    keep(tmp_path, "contratacoes-atualizacao/nested.json", {"answer": {"page": [later]}})
    keep(tmp_path, "itens/any_00394429000100_2025_1_page1.json", [{"numeroItem": 2}, {"numeroItem": 1}])
    world = load_recorded(tmp_path)
    assert set(world.keys) == {a, b, c}
    assert world.record(a)["v"] == "new"
    assert world.record(b)["dataAtualizacaoGlobal"] == "2025-07-14T10:00:00"
    assert [json.loads(item)["numeroItem"] for item in world.items(a)] == [1, 2]
    assert world.items(b) == []
    assert (world.first_day, world.last_day) == (date(2025, 7, 10), date(2025, 7, 10))


def test_recorded_numbers_keep_their_digits(tmp_path: Path) -> None:
    record = json.dumps(record_of("00394429000100-1-000001/2025", "2025-07-12T10:00:00"))
    keep(tmp_path, "contratacoes-publicacao/a.json", record[:-1] + ', "valorTotalEstimado": 320.00, "n": 0.1000000001}')
    world = load_recorded(tmp_path)
    payload = world.payload(world.select("publicacao")[0])
    assert payload.endswith(b'"valorTotalEstimado":320.00,"n":0.1000000001}')


@pytest.mark.parametrize("content", [None, "[]", '{"data": []}'])
def test_a_folder_without_contratacoes_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        keep(tmp_path, "contratacoes-publicacao/a.json", content)
    with pytest.raises(NoRecordings, match="no contratação is recorded") as refused:
        load_recorded(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_broken_recording_is_named(tmp_path: Path) -> None:
    keep(tmp_path, "contratacoes-publicacao/broken.json", "{")
    with pytest.raises(NoRecordings, match=r"broken\.json is not JSON"):
        load_recorded(tmp_path)


def test_recorded_contratos_are_served_beside_contratacoes(tmp_path: Path) -> None:
    compra, key = "00394429000100-1-000001/2025", "00394429000100-2-000001/2025"
    keep(tmp_path, "contratacoes-publicacao/a.json", [record_of(compra, "2025-07-10T10:00:00")])
    older = record_of(key, "2025-07-10T10:00:00", numeroControlePncpCompra=compra)
    keep(tmp_path, "contratos/page1.json", {"data": [older, older]})
    keep(tmp_path, "contratos-atualizacao/later.json", [older | {"dataAtualizacaoGlobal": "2025-07-12T10:00:00"}])
    world = load_recorded(tmp_path)
    assert world.keys == [compra]
    assert list(world.contratos.records) == [key]
    assert world.record(key)["dataAtualizacaoGlobal"] == "2025-07-12T10:00:00"
    assert world.contratos.records[key].compra == compra
    assert contratos_of(world, "publicacao", date(2025, 7, 10)) == [key]


def test_a_broken_recording_of_contratos_never_looks_like_none(tmp_path: Path) -> None:
    keep(tmp_path, "contratacoes-publicacao/a.json", [record_of("00394429000100-1-000001/2025", "2025-07-10T10:00:00")])
    keep(tmp_path, "contratos/broken.json", "{")
    world = load_recorded(tmp_path)
    for _ in range(2):
        with pytest.raises(NoRecordings, match=r"broken\.json is not JSON"):
            contratos_of(world, "publicacao", date(2025, 7, 10))


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings of the portal lie outside the project and are not here")
def test_the_portals_own_contratos_are_served_value_for_value() -> None:
    world = load_recorded(REAL)
    text = (REAL / "contratos" / "inteligenciapncp_20240101_20240102_p1_500.json").read_text()
    recorded = json.loads(text, parse_float=Decimal)["data"]
    page = world.page(Query("publicacao", None, date(2024, 1, 1), date(2024, 1, 2), resource="contratos"), 1, 500)
    by_key = {record["numeroControlePNCP"]: record for record in map(decode_json, page)}
    assert len(page) == len(recorded) == 500
    assert sum(by_key[record["numeroControlePNCP"]] == record for record in recorded) == 500


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings of the portal lie outside the project and are not here")
def test_the_portals_own_recordings_recordings_are_served_value_for_value() -> None:
    world = load_recorded(REAL)
    assert len(world) > 600
    file = REAL / "contratacoes-publicacao" / "radarpncp_mod8_SP_20260917_p1_10.json"
    recorded = json.loads(file.read_text(), parse_float=Decimal)["data"]
    day = date(2026, 9, 17)
    page = [json.loads(payload, parse_float=Decimal) for payload in world.page(Query("publicacao", 8, day, day), 1, 50)]
    assert page == recorded


async def test_what_a_living_portal_publishes_and_changes_follows_from_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lived(seed: int) -> list[str]:
        """The control numbers of the first records that came or changed, in their order."""
        world, moved = generate(seed, date(2026, 3, 2), date(2026, 3, 3), 20), list[str]()

        def note(name: str) -> None:
            move = getattr(world, name)
            monkeypatch.setattr(world, name, lambda *given, **named: moved.extend(move(*given, **named)))

        note("publish")
        note("touch")
        living = asyncio.create_task(live(world, 600_000))
        await eventually(lambda: len(moved) >= 20)
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living
        assert any(record.atualizacao_global > record.publicacao for record in world.contratacoes.records.values())
        return moved[:20]

    assert await lived(1) == await lived(1) != await lived(2)
