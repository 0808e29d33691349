"""Records as the simulator holds them, and JSON that says exactly what a test wants said."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import orjson

from simulator.domains import MODALIDADES
from simulator.resources import ATAS, CONTRATACOES, CONTRATOS, INSTRUMENTOS_COBRANCA, PCAS, Criterio, Resource

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
DAY = re.compile(r"\d{4}-\d\d-\d\d")

_INT64 = 2**63
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(slots=True, eq=False, kw_only=True)
class Record:
    """What listings, filters and the truth need of one record; the JSON itself is made when first asked for.

    Stamps are Brasília wall clock, in `stamp_form`: `YYYY-MM-DDTHH:MM:SS`, or days. They place the record in listings,
    and stay well-formed even where a test put a record whose JSON holds a null or a wrong type instead. `modalidade` is
    None where the listings are not divided by it. `orgao` and `unidade` are places in the inventor's list of órgãos.
    """

    resource: ClassVar[Resource]
    stamp_form: ClassVar[re.Pattern[str]] = STAMP

    numero_controle_pncp: str
    cnpj: str
    ano: int
    sequencial: int
    uf: str
    codigo_ibge: str
    codigo_unidade: str
    publicacao: str
    atualizacao: str
    atualizacao_global: str
    seed: int
    modalidade: int | None = None
    orgao: int = 0
    unidade: int = 0
    payload: bytes | None = None

    def stamp(self, criterio: Criterio) -> str:
        """The stamp on which the listing of `criterio` filters; that of publication where there is no such listing."""
        listing = self.resource.listings.get(criterio)
        stamp: str = self.publicacao if listing is None else getattr(self, listing.stamp)
        return stamp

    def stamps(self) -> dict[str, str]:
        """The stamps under their JSON keys."""
        return {key: getattr(self, field) for field, key in self.resource.stamp_keys.items()}

    def identity(self) -> dict[str, Any]:
        """What of the JSON follows from this head."""
        return {
            "numeroControlePNCP": self.numero_controle_pncp,
            str(self.resource.year_key): self.ano,
            str(self.resource.sequence_key): self.sequencial,
            "orgaoEntidade": {"cnpj": self.cnpj},
            **self.stamps(),
        }

    def in_force(self, first_day: str, last_day: str) -> bool:
        """Whether it is in force on any of these days, of records that are so for a time."""
        return first_day <= self.publicacao[:10] <= last_day

    def truth(self) -> dict[str, str | int]:
        """What a mirror must hold of this record, under the keys of the portal."""
        return {str(self.resource.key_name): self.numero_controle_pncp, **self.stamps()}


@dataclass(slots=True, eq=False, kw_only=True)
class Contratacao(Record):
    """One contratação."""

    resource: ClassVar[Resource] = CONTRATACOES

    modalidade: int
    modo_disputa: int
    item_count: int
    itens: list[bytes] | None = None

    def identity(self) -> dict[str, Any]:
        """Its modalidade and dataInclusao too."""
        numbers = {key: value for key, value in Record.identity(self).items() if key not in self.stamps()}
        return {
            **numbers,
            "modalidadeId": self.modalidade,
            "modalidadeNome": MODALIDADES.get(self.modalidade, "Outra"),
            "dataInclusao": self.publicacao,
            **self.stamps(),
        }

    def truth(self) -> dict[str, str | int]:
        """What a mirror must hold of it; `itens` is a number."""
        return Record.truth(self) | {"modalidadeId": self.modalidade, "itens": self.item_count}


@dataclass(slots=True, eq=False, kw_only=True)
class Contrato(Record):
    """One contrato or empenho; `compra` is the control number of its contratação, which need not be there."""

    resource: ClassVar[Resource] = CONTRATOS

    compra: str


@dataclass(slots=True, eq=False, kw_only=True)
class Ata(Record):
    """One ata. All its stamps are days, and so two changes of one day have the same.

    `ano` and `sequencial` are those of its contratação, whose control number is `compra`; `numero` is its own place
    among the atas of that. `usuario` stands for the system that published it.
    """

    resource: ClassVar[Resource] = ATAS
    stamp_form: ClassVar[re.Pattern[str]] = DAY

    compra: str
    numero: int
    usuario: int
    vigencia_inicio: str
    vigencia_fim: str

    def identity(self) -> dict[str, Any]:
        """Its keys are flat."""
        return {
            "numeroControlePNCPAta": self.numero_controle_pncp,
            "numeroControlePNCPCompra": self.compra,
            "cnpjOrgao": self.cnpj,
            "dataInclusao": self.publicacao,
            "vigenciaInicio": self.vigencia_inicio,
            "vigenciaFim": self.vigencia_fim,
            **self.stamps(),
        }

    def in_force(self, first_day: str, last_day: str) -> bool:
        """Whether it is in force on any of these days."""
        return self.vigencia_inicio <= last_day and first_day <= self.vigencia_fim


@dataclass(slots=True, eq=False, kw_only=True)
class Pca(Record):
    """One plan: `payload` is its JSON without items, `itens` are those as the integration service lists them, and
    `listed` the same as the consulta service shows them, where they have been made.
    """

    resource: ClassVar[Resource] = PCAS

    item_count: int
    itens: list[bytes] | None = None
    listed: list[bytes] | None = None

    def identity(self) -> dict[str, Any]:
        """Its keys are flat."""
        return {
            "idPcaPncp": self.numero_controle_pncp,
            "anoPca": self.ano,
            "orgaoEntidadeCnpj": self.cnpj,
            "codigoUnidade": self.codigo_unidade,
            **self.stamps(),
        }

    def truth(self) -> dict[str, str | int]:
        """What a mirror must hold of it; `itens` is a number."""
        return Record.truth(self) | {"itens": self.item_count}


class PlanItem(NamedTuple):
    """One item of a plan, by its place in the order in which listings show them."""

    plan: Pca
    place: int


@dataclass(slots=True, eq=False, kw_only=True)
class Instrumento(Record):
    """One instrumento de cobrança. `ano` and `sequencial` are those of its contrato, `numero` is its own place among
    those of that, and `tipo` its kind.

    `contrato` is that contrato as it was when the instrumento was included, None where the JSON alone tells.
    """

    resource: ClassVar[Resource] = INSTRUMENTOS_COBRANCA

    numero: int
    tipo: int
    contrato: Contrato | None

    def identity(self) -> dict[str, Any]:
        """Its keys are flat, and the contrato within it has the same numbers."""
        return {
            "cnpj": self.cnpj,
            "ano": self.ano,
            "sequencialContrato": self.sequencial,
            "sequencialInstrumentoCobranca": self.numero,
            **self.stamps(),
            "recuperarContratoDTO": {
                "numeroControlePNCP": CONTRATOS.key(self.cnpj, self.sequencial, self.ano),
                "anoContrato": self.ano,
                "sequencialContrato": self.sequencial,
                "orgaoEntidade": {"cnpj": self.cnpj},
            },
        }

    def truth(self) -> dict[str, str | int]:
        """Its number is in four keys."""
        return {
            "cnpj": self.cnpj,
            "ano": self.ano,
            "sequencialContrato": self.sequencial,
            "sequencialInstrumentoCobranca": self.numero,
            **self.stamps(),
        }


class ChildKey(NamedTuple):
    """Which children: their kind ('resultados', 'arquivos', 'termos', 'historico'), the control number of the record
    that they hang on, and for resultados the number of the item.
    """

    kind: str
    key: str
    item: int | None = None


def encode_json(value: Any) -> bytes:
    r"""JSON bytes of anything a test may want on the wire.

    Also of what JSON libraries refuse: lone surrogates (as `\udXXX` escapes), NaN and Infinity (as bare literals),
    integers of any size, and Decimals with all their digits.
    """
    return orjson.dumps(_encodable(value))


def decode_json(text: str | bytes) -> Any:
    """Parsed JSON with Decimals for fractions, so that `encode_json` gives `320.00` back as `320.00`."""
    return json.loads(text, parse_float=Decimal)


def _raw(text: str) -> orjson.Fragment:
    return orjson.Fragment(text.encode())


def _encodable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(inner) for inner in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) >= _INT64):
        return _raw(str(value))
    not_json = (isinstance(value, str) and _SURROGATE.search(value)) or (
        isinstance(value, float) and not math.isfinite(value)
    )
    return _raw(json.dumps(value)) if not_json else value


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over` on top, objects within objects merged likewise; neither argument is changed."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def without(record: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """`record` less the top-level `keys`."""
    gone = set(keys)
    return {key: value for key, value in record.items() if key not in gone}
