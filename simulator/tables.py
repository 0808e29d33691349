"""The portal's domain tables, each under a path of its own, and how their entries change.

Names and codes are the portal's. The shapes of modalidades, modos-disputas and amparos-legais were recorded; those of
the others, and which combinations are allowed, follow the portal's description of its interface.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from simulator import amparos, domains
from simulator.records import merged

JsonObject = dict[str, Any]

_PATH: Final = re.compile(r"/api/pncp/v1/([A-Za-z-]+)((?:/\d+)*)")
_SINCE: Final = "2021-07-28T09:11:47"
_ACTIVE: Final = {"statusAtivo": ("statusAtivo",)}
_LEILOES: Final = (1, 13)
SPOILED: Final = {
    "text": "nome",
    "nan": "id",
    "huge_number": "id",
    "wrong_type": "id",
    "drifted_field": "descricao",
    "missing_key": "id",
}


@dataclass(frozen=True, slots=True)
class Table:
    """One domain table.

    `codes` has where the codes of an entry stand, in the order of the path to one entry: ('id',), or of a table of
    combinations the objects combined. `filters` has the optional parameters, each with where in an entry its value
    stands.
    """

    codes: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]]
    make: Callable[[], Iterator[JsonObject]]

    def code_of(self, entry: Mapping[str, Any]) -> tuple[int, ...]:
        """The codes of an entry; ValueError where it lacks any."""
        found = [entry.get(name) for name in self.codes]
        codes = [each.get("id") if isinstance(each, Mapping) else each for each in found]
        whole = tuple(code for code in codes if isinstance(code, int))
        if len(whole) != len(self.codes):
            raise ValueError(f"an entry says its code under {', '.join(self.codes)}")
        return whole


class TablePath(NamedTuple):
    """What a path asks for: a whole table, or the entry with these codes."""

    name: str
    codes: tuple[int, ...]


class Tables:
    """All domain tables, made when the first is asked for; `recorded` gives the entries of those that were recorded."""

    def __init__(
        self,
        now: Callable[[], datetime],
        recorded: Callable[[], Mapping[str, Sequence[JsonObject]]] = dict,
    ) -> None:
        self._now = now
        self._recorded = recorded
        self._made: dict[str, dict[tuple[int, ...], JsonObject]] | None = None

    def entries(self, name: str) -> dict[tuple[int, ...], JsonObject]:
        """The entries of a table by their codes, in the table's order; ValueError where there is no such table."""
        if name not in TABLES:
            raise ValueError(f"a table is one of {', '.join(TABLES)}, not {name!r}")
        if self._made is None:
            recorded = self._recorded()
            self._made = {
                each: {table.code_of(entry): entry for entry in recorded.get(each) or table.make()}
                for each, table in TABLES.items()
            }
        return self._made[name]

    def put(self, name: str, entry: Mapping[str, Any]) -> None:
        """Change the entry with the codes that `entry` says, key by key, or add one.

        dataAtualizacao becomes now unless `entry` says it. What is added and not said is as in the table's first entry.
        """
        entries, table = self.entries(name), TABLES[name]
        code = table.code_of(entry)
        stamp = self._now().isoformat()
        base = entries.get(code) or dict(next(iter(entries.values()), {})) | {"dataInclusao": stamp}
        changed = base | ({"dataAtualizacao": stamp} if "dataAtualizacao" in base else {})
        entries[code] = merged(changed, entry)

    def remove(self, name: str, code: int | Sequence[int]) -> None:
        """Take an entry out; ValueError where there is none."""
        codes = (code,) if isinstance(code, int) else tuple(code)
        if self.entries(name).pop(codes, None) is None:
            raise ValueError(f"{name} has no entry {code}")


def read_path(path: str) -> TablePath | None:
    """What a path asks for; None where it asks for no domain table."""
    found = _PATH.fullmatch(path)
    if found is None or found[1] not in TABLES:
        return None
    codes = tuple(int(code) for code in found[2].split("/")[1:])
    return TablePath(found[1], codes) if len(codes) in {0, len(TABLES[found[1]].codes)} else None


def value_at(entry: Mapping[str, Any], place: Sequence[str]) -> Any:
    """What stands in an entry at a place; None where nothing does."""
    value: Any = entry
    for name in place:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


# How tables are made


def _brief(codigo: int, nome: str, descricao: str | None = None) -> JsonObject:
    return {"id": codigo, "nome": nome, "descricao": descricao, "statusAtivo": True}


def _entries(names: Mapping[int, str], since: str = _SINCE) -> Iterator[JsonObject]:
    for codigo, nome in names.items():
        entry = {"id": codigo, "nome": nome, "descricao": None}
        yield entry | {"dataInclusao": since, "dataAtualizacao": _SINCE, "statusAtivo": True}


def _simple(names: Mapping[int, str], since: str = _SINCE) -> Table:
    return Table(("id",), _ACTIVE, lambda: _entries(names, since))


def _combined(*objects: tuple[str, str], pairs: Callable[[], Iterator[tuple[JsonObject, ...]]]) -> Table:
    """A table of combinations: each of `objects` is the key of an object, and the parameter that asks for its code."""
    keys = tuple(key for key, _ in objects)
    return Table(
        keys,
        {parameter: (key, "id") for key, parameter in objects},
        lambda: ({**dict(zip(keys, pair, strict=True)), "dataInclusao": _SINCE} for pair in pairs()),
    )


def _amparos_legais() -> Iterator[JsonObject]:
    for entry in _entries(amparos.AMPAROS_LEGAIS):
        known = domains.AMPAROS.get(entry["id"])
        tipo = amparos.TIPOS.get(entry["id"], 1)
        entry |= {
            "descricao": known[1] if known else f"Fundamento: {entry['nome']}",
            "tipoAmparoLegal": _brief(tipo, *domains.TIPOS_AMPARO[tipo]),
        }
        yield entry


def _tipos_documento() -> Iterator[JsonObject]:
    for entry in _entries(domains.TIPOS_DOCUMENTO):
        of_contrato = 12 <= entry["id"] <= 18 and entry["id"] != 16  # noqa: PLR2004
        informacao = {"codigo": 3, "nome": "Contrato"} if of_contrato else {"codigo": 1, "nome": "Contratação"}
        yield entry | {"tipoInformacao": informacao}


def _instrumentos() -> Iterator[JsonObject]:
    for entry in _entries(domains.INSTRUMENTOS):
        needed = "Não se aplica" if entry["id"] == 3 else "Obrigatório"  # noqa: PLR2004
        yield entry | {
            "obrigatoriedadeDataAberturaPropostaNome": needed,
            "obrigatoriedadeDataEncerramentoPropostaNome": needed,
        }


def _partes() -> Iterator[JsonObject]:
    for codigo, nome in domains.TIPOS_PARTE_ENVOLVIDA.items():
        yield {"id": codigo, "nome": nome, "descricao": None}


def _instrumento_modo() -> Iterator[tuple[JsonObject, ...]]:
    pairs = {pair for rules in domains.RULES.values() for pair in itertools.product(rules.instrumentos, rules.modos)}
    for instrumento, modo in sorted(pairs):
        yield _brief(instrumento, domains.INSTRUMENTOS[instrumento]), _brief(modo, domains.MODOS_DISPUTA[modo])


def _amparo_modalidade_instrumento() -> Iterator[tuple[JsonObject, ...]]:
    for modalidade, rules in domains.RULES.items():
        for amparo, instrumento in sorted(set(itertools.product(rules.amparos, rules.instrumentos))):
            yield (
                _brief(amparo, amparos.AMPAROS_LEGAIS[amparo]),
                _brief(modalidade, domains.MODALIDADES[modalidade]),
                _brief(instrumento, domains.INSTRUMENTOS[instrumento]),
            )


def _modalidade_criterio() -> Iterator[tuple[JsonObject, ...]]:
    for (modalidade, nome), criterio in itertools.product(domains.MODALIDADES.items(), domains.CRITERIOS_JULGAMENTO):
        if (criterio == 5) == (modalidade in _LEILOES):  # noqa: PLR2004 - the highest bid wins at auctions alone
            yield _brief(modalidade, nome), _brief(criterio, domains.CRITERIOS_JULGAMENTO[criterio])


def _modalidade_fonte() -> Iterator[tuple[JsonObject, ...]]:
    for modalidade, fonte in itertools.product(domains.MODALIDADES.items(), domains.FONTES.items()):
        yield _brief(*modalidade), _brief(*fonte)


TABLES: Final = {
    "modalidades": _simple(domains.MODALIDADES, "1900-01-01T00:00:00"),
    "modos-disputas": _simple(domains.MODOS_DISPUTA),
    "criterios-julgamentos": _simple(domains.CRITERIOS_JULGAMENTO),
    "amparos-legais": Table(("id",), {"tipoAmparoLegalId": ("tipoAmparoLegal", "id"), **_ACTIVE}, _amparos_legais),
    "tipos-instrumentos-convocatorios": Table(("id",), _ACTIVE, _instrumentos),
    "tipos-instrumentos-cobranca": _simple(domains.TIPOS_INSTRUMENTO_COBRANCA),
    "tipos-documentos": Table(("id",), _ACTIVE, _tipos_documento),
    "tipos-contratos": _simple(domains.TODOS_TIPOS_CONTRATO),
    "portes-empresa": _simple(domains.PORTES),
    "fontes-orcamentarias": _simple(domains.FONTES),
    "categoriaItemPcas": _simple(domains.CATEGORIAS_ITEM_PCA),
    "catalogos": Table(("id",), _ACTIVE, lambda: (each | {"url": None} for each in _entries(domains.CATALOGOS))),
    "tipos-parte-envolvida": Table(("id",), {}, _partes),
    "tipo-instrumento-convocatorio-modo-disputa": _combined(
        ("tipoInstrumentoConvocatorio", "tipoInstrumentoConvocatorioId"),
        ("modoDisputa", "modoDisputaId"),
        pairs=_instrumento_modo,
    ),
    "instrumento-convocatorio-modalidade-amparo-legal": _combined(
        ("amparoLegal", "amparoLegalId"),
        ("modalidade", "modalidadeId"),
        ("tipoInstrumentoConvocatorio", "tipoInstrumentoConvocatorioId"),
        pairs=_amparo_modalidade_instrumento,
    ),
    "modalidade-criterio-julgamento": _combined(
        ("modalidadeContratacao", "modalidadeId"),
        ("criterioJulgamento", "criterioJulgamentoId"),
        pairs=_modalidade_criterio,
    ),
    "modalidade-fonte-orcamentaria": _combined(
        ("modalidadeContratacao", "modalidadeId"),
        ("fonteOrcamentaria", "fonteOrcamentariaId"),
        pairs=_modalidade_fonte,
    ),
}
