"""The simulator's records: generated, recorded, put by hand, changed."""

import json
import re
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator import Query, World, generate
from simulator.generated import generate as generate_world
from simulator.invention import cnpj_digits
from simulator.recorded import NoRecordings, load_recorded
from simulator.records import Criterio

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


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings of the portal lie outside the project and are not here")
def test_the_portals_own_recordings_are_served_value_for_value() -> None:
    world = load_recorded(REAL)
    assert len(world) > 600
    file = REAL / "contratacoes-publicacao" / "radarpncp_mod8_SP_20260917_p1_10.json"
    recorded = json.loads(file.read_text(), parse_float=Decimal)["data"]
    day = date(2026, 9, 17)
    page = [json.loads(payload, parse_float=Decimal) for payload in world.page(Query("publicacao", 8, day, day), 1, 50)]
    assert page == recorded
