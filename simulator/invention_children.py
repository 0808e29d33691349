"""Invents what hangs on one record: resultados of an item, documents and events of a contratação or contrato, termos of
a contrato.

All of it follows from the seed of the record and from the JSON that it hangs on; nothing is kept, and nothing here
draws from the streams of the records themselves.
"""

import math
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from simulator import domains
from simulator.invention_contratos import FORNECEDOR_COUNT, ContratoInventor, Fornecedor
from simulator.records import Contratacao, Contrato, Record

JsonObject = dict[str, Any]

_LINK: Final = "https://pncp.gov.br/pncp-api/v1/orgaos"
_EDITAL: Final = {1: 2, 2: 1, 3: 20}  # the type of the first document for each instrumento convocatório
_RESERVA: Final = 3  # cadastro de reserva: next in line, should the first supplier fail
_EMPENHO: Final = 7
_RESCISAO: Final = 1
_WITHOUT_DOCUMENTS: Final = 0.03
_WITHDRAWN: Final = 0.02
_INCLUSAO: Final = 0
_RETIFICACAO: Final = 1
_CONTRATACAO: Final = 1
_CONTRATO: Final = 3
_ITEM: Final = 4
_RESULTADO: Final = 5
_TERMO: Final = 9
_DOCUMENTO: Final = {_CONTRATACAO: 6, _CONTRATO: 8}  # the category of a document's events by that of its record


class ChildInventor:
    """Invents the children of records; suppliers are those of the contratos."""

    def __init__(self, contratos: ContratoInventor) -> None:
        self._contratos = contratos
        self.seed = contratos.seed

    # Resultados

    def resultados(self, head: Contratacao, parent: Mapping[str, Any], item: Mapping[str, Any]) -> list[JsonObject]:
        """The resultados of an item that has any; `parent` is the JSON object of its contratação.

        Most items have one. With a registro de preços there may be several in order of classification, of which those
        after the first stand in reserve; others share the quantity, or replace a cancelled one. The quantities of
        those that are valid and not in reserve add up to the item's.
        """
        rng = random.Random(f"{head.seed}/resultados/{item.get('numeroItem')}")
        quantity = _number(item, "quantidade")
        kind = rng.random()
        plan: list[JsonObject] = [{}]
        if parent.get("srp") is True and kind < 0.4:  # noqa: PLR2004
            plan += [{"reservaRemanescente": _pair(_RESERVA)} for _ in range(rng.choice((1, 1, 2, 3)))]
        elif 0.4 <= kind < 0.45 and quantity > 1:  # noqa: PLR2004
            part = float(max(1, int(quantity / 4)))
            plan = [{"quantidadeHomologada": quantity - part}, {"quantidadeHomologada": part}]
        elif 0.45 <= kind < 0.5:  # noqa: PLR2004
            plan = [{"situacaoCompraItemResultadoId": 2}, {}]
        return [self.resultado(head, parent, item, number, over) for number, over in enumerate(plan, start=1)]

    def resultado(
        self,
        head: Contratacao,
        parent: Mapping[str, Any],
        item: Mapping[str, Any],
        sequencial: int,
        over: Mapping[str, Any] = MappingProxyType({}),
    ) -> JsonObject:
        """One resultado; the rest of it fits what `over` has of its quantity, unit price, situação and reserva."""
        rng = random.Random(f"{head.seed}/resultados/{item.get('numeroItem')}/{sequencial}")
        fornecedor = self._fornecedor(rng)
        published = _stamp(item, "dataInclusao", head.publicacao)
        changed = max(_stamp(item, "dataAtualizacao", head.publicacao), published)
        included = min(published + timedelta(days=rng.randint(0, 5), seconds=rng.randint(2, 40_000)), changed)
        quantity = _number(over, "quantidadeHomologada") or _number(item, "quantidade")
        estimate = _number(item, "valorUnitarioEstimado")
        drawn = round(estimate * rng.uniform(0.6, 1.0) or rng.lognormvariate(4, 1.6), rng.choice((2, 2, 2, 4)))
        unit = _number(over, "valorUnitarioHomologado") or drawn
        situacao = over.get("situacaoCompraItemResultadoId", 1)
        porte = rng.choices((1, 2, 3), (50, 20, 30))[0] if fornecedor.tipo_pessoa == "PJ" else 5
        natureza = rng.choice(("0000", "2062", "2062", "2135", "2305")) if fornecedor.tipo_pessoa == "PJ" else "0000"
        tie = rng.random() < 0.02  # noqa: PLR2004
        cancelled = situacao != 1
        return {
            "indicadorSubcontratacao": rng.random() < 0.01,  # noqa: PLR2004
            "dataInclusao": included.isoformat(),
            "numeroItem": item.get("numeroItem"),
            "niFornecedor": fornecedor.ni,
            "dataCancelamento": changed.isoformat() if cancelled else None,
            "dataAtualizacao": changed.isoformat(),
            "tipoPessoa": fornecedor.tipo_pessoa,
            "nomeRazaoSocialFornecedor": fornecedor.nome,
            "valorTotalHomologado": round(unit * quantity, 4),
            "reservaRemanescente": over.get("reservaRemanescente", _pair(1)),
            "timezoneCotacaoMoedaEstrangeira": None,
            "moedaEstrangeira": None,
            "valorNominalMoedaEstrangeira": None,
            "dataCotacaoMoedaEstrangeira": None,
            "codigoPais": fornecedor.pais or "BRA",
            "porteFornecedorId": porte,
            "quantidadeHomologada": quantity,
            "valorUnitarioHomologado": unit,
            "percentualDesconto": 0.0,
            "amparoLegalMargemPreferencia": None,
            "amparoLegalCriterioDesempate": dict(domains.DESEMPATE) if tie else None,
            "paisOrigemProdutoServico": None,
            "localidadeExterior": None,
            "ordemClassificacaoSrp": sequencial if parent.get("srp") is True else None,
            "dataResultado": included.date().isoformat(),
            "motivoCancelamento": "Fornecedor não manteve a proposta." if cancelled else None,
            "situacaoCompraItemResultadoId": situacao,
            "porteFornecedorNome": domains.PORTES[porte],
            "situacaoCompraItemResultadoNome": domains.SITUACOES_RESULTADO.get(situacao, "Informado"),
            "sequencialResultado": sequencial,
            "naturezaJuridicaNome": domains.NATUREZAS_JURIDICAS[natureza],
            "localidadeFornecedor": None,
            "aplicacaoMargemPreferencia": False,
            "aplicacaoBeneficioMeEpp": fornecedor.tipo_pessoa == "PJ" and _number(item, "tipoBeneficio") in {1, 2, 3},
            "aplicacaoCriterioDesempate": tie,
            "naturezaJuridicaId": natureza,
            "numeroControlePNCPCompra": head.numero_controle_pncp,
        }

    # Documents

    def arquivos(self, head: Record, parent: Mapping[str, Any]) -> list[JsonObject]:
        """What is known of the documents of a contratação or contrato, their numbers ascending, some left out.

        Those that come later than the record's last change are not there yet.
        """
        rng = random.Random(f"{head.seed}/arquivos")
        if rng.random() < _WITHOUT_DOCUMENTS:
            return []
        if isinstance(head, Contratacao):
            count = rng.choices((1, 2, 3, 4, 6, 9, 12), (50, 12, 12, 8, 10, 5, 3))[0]
        else:
            count = rng.choices((0, 1, 2, 3), (15, 65, 15, 5))[0]
        rows = [self.arquivo(head, parent, number) for number in _numbers(rng, count)]
        return [row for row in rows if row["dataPublicacaoPncp"] <= max(head.publicacao, head.atualizacao_global)]

    def arquivo(self, head: Record, parent: Mapping[str, Any], sequencial: int) -> JsonObject:
        """One document. In a contrato's rows `anoCompra` and `sequencialCompra` are the contrato's own."""
        rng = random.Random(f"{head.seed}/arquivos/{sequencial}")
        compra = isinstance(head, Contratacao)
        link = (
            f"{_LINK}/{head.cnpj}/{'compras' if compra else 'contratos'}/{head.ano}/{head.sequencial}"
            f"/arquivos/{sequencial}"
        )
        tipo = _tipo_documento(rng, parent, sequencial, compra=compra)
        row: JsonObject = {
            "uri": link,
            "url": link,
            "dataPublicacaoPncp": _moment(rng, head, sequencial).isoformat(),
            "cnpj": head.cnpj,
            "anoCompra": head.ano,
            "sequencialCompra": head.sequencial,
            "sequencialDocumento": sequencial,
            "titulo": rng.choice(domains.TITULOS).format(head.sequencial, head.ano)[:50],
            "tipoDocumentoNome": domains.TIPOS_DOCUMENTO[tipo],
        }
        if compra:
            row |= {
                "tipoDocumentoId": tipo,
                "tipoDocumentoDescricao": domains.TIPOS_DOCUMENTO[tipo],
                "statusAtivo": rng.random() >= _WITHDRAWN,
            }
        return row

    # Termos

    def termos(self, head: Contrato, parent: Mapping[str, Any]) -> list[JsonObject]:
        """The termos of a contrato in order of their numbers; those after its last change are not there yet.

        Of an órgão's contratos 4 to 32 % have any.
        """
        share = random.Random(f"{self.seed}/termos/{head.cnpj}").uniform(0.04, 0.32)
        rng = random.Random(f"{head.seed}/termos")
        if rng.random() >= share:
            return []
        count = rng.choices((1, 2, 3, 4, 5, 9), (50, 27, 14, 4, 4, 1))[0]
        moments = sorted(_moment(rng, head, number) for number in range(1, count + 1))
        rows = [
            self.termo(head, parent, sequencial, at, last=sequencial == count)
            for sequencial, at in enumerate(moments, start=1)
        ]
        return [row for row in rows if row["dataPublicacaoPncp"] <= max(head.publicacao, head.atualizacao_global)]

    def termo(
        self, head: Contrato, parent: Mapping[str, Any], sequencial: int, at: datetime, *, last: bool = False
    ) -> JsonObject:
        """One termo, published `at`; only the `last` of a contrato may end it."""
        rng = random.Random(f"{head.seed}/termos/{sequencial}")
        tipo = rng.choices((1, 2, 3), (15 if last else 0, 68, 27))[0]
        signed = at.date() - timedelta(days=rng.choice((0, 0, 1, 2, 9)))
        supplier, named = rng.choices(((True, True), (False, True), (False, False)), (46, 8, 46))[0]
        ni, nome = parent.get("niFornecedor"), parent.get("nomeRazaoSocialFornecedor")
        tipo_pessoa = parent.get("tipoPessoa", "PJ")
        priced = rng.random() < 0.72  # noqa: PLR2004
        valor = _number(parent, "valorGlobal")
        more = round(valor * rng.choice((0.25, 0.1, 0.05, -0.1)), 2) if rng.random() < 0.24 else None  # noqa: PLR2004
        parcelas = rng.choice((1, 1, 12, 24))
        number = rng.choice((str(sequencial), f"{sequencial:02d}/{at.year}", f"{sequencial:05d}/{at.year}"))
        starts = None if rng.random() < 0.1 else signed.isoformat()  # noqa: PLR2004
        ends = (signed + timedelta(days=rng.choice((30, 182, 365)))).isoformat()
        objeto = rng.choice(domains.OBJETOS_TERMO[tipo])
        return {
            "dataInclusao": at.isoformat(),
            "dataPublicacaoPncp": at.isoformat(),
            "unidade": parent.get("unidadeOrgao"),
            "fornecedor": {
                "id": zlib.crc32(str(ni).encode()) % 1_000_000,
                "niFornecedor": ni,
                "nomeRazaoSocial": nome,
                "tipoPessoaId": tipo_pessoa,
            }
            if supplier
            else None,
            "niFornecedor": ni if named else None,
            "fornecedorSubContratado": None,
            "niFornecedorSubContratado": None,
            "orgaoEntidade": parent.get("orgaoEntidade"),
            "dataAssinatura": signed.isoformat(),
            "dataVigenciaFim": None if rng.random() < 0.08 else ends,  # noqa: PLR2004
            "dataVigenciaInicio": starts,
            "dataAtualizacao": at.isoformat(),
            "tipoPessoa": tipo_pessoa,
            "nomeRazaoSocialFornecedor": nome if named else None,
            "informacaoComplementar": None,
            "processo": parent.get("processo"),
            "sequencialTermoContrato": sequencial,
            "numeroTermoContrato": None if rng.random() < 0.003 else number,  # noqa: PLR2004
            "unidadeSubrogada": None,
            "tipoPessoaSubContratada": None,
            "qualificacaoAcrescimoSupressao": tipo != _RESCISAO and more is not None,
            "qualificacaoVigencia": rng.random() < 0.3,  # noqa: PLR2004
            "qualificacaoFornecedor": False,
            "qualificacaoReajuste": tipo == 3 and rng.random() < 0.5,  # noqa: PLR2004
            "prazoAditadoDias": None if rng.random() < 0.36 else rng.choice((0, 0, 30, 182, 365, 365, -60)),  # noqa: PLR2004
            "informativoObservacao": objeto.upper() if rng.random() < 0.65 else None,  # noqa: PLR2004
            "orgaoSubrogado": None,
            "objetoTermoContrato": objeto,
            "fundamentoLegal": "Art. 107 da Lei nº 14.133/2021." if rng.random() < 0.36 else None,  # noqa: PLR2004
            "valorAcrescido": None if tipo == _RESCISAO else more,
            "numeroParcelas": parcelas if priced else None,
            "nomeFornecedorSubContratado": None,
            "valorParcela": round((valor + (more or 0)) / parcelas, 2) if priced else None,
            "valorGlobal": round(valor + (more or 0), 2) if priced else None,
            "tipoTermoContratoNome": domains.TIPOS_TERMO[tipo],
        }

    # Events

    def historico(
        self, head: Record, parent: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
    ) -> list[JsonObject]:
        """The events of a record, in no order of time: it comes, its documents and termos come, items get a resultado,
        and at the end it is corrected, if it was changed at all.
        """
        published = datetime.fromisoformat(head.publicacao)
        changed = max(published, datetime.fromisoformat(head.atualizacao_global))
        own = _category(head)
        events = [self.evento(head, parent, published, (_INCLUSAO, own))]
        for row in self.arquivos(head, parent):
            at = datetime.fromisoformat(row["dataPublicacaoPncp"])
            events.append(self.evento(head, parent, at, (_INCLUSAO, _DOCUMENTO[own]), row))
        for row in self.termos(head, parent) if isinstance(head, Contrato) else ():
            at = datetime.fromisoformat(row["dataPublicacaoPncp"])
            said = {key: row[key] for key in ("sequencialTermoContrato", "numeroTermoContrato")}
            events.append(self.evento(head, parent, at, (_INCLUSAO, _TERMO)) | said)
        for item in items:
            if item.get("temResultado") is True:
                at, number = _stamp(item, "dataAtualizacao", head.publicacao), item.get("numeroItem")
                events.append(self.evento(head, parent, at, (_RETIFICACAO, _ITEM)) | {"itemNumero": number})
                said = {"itemNumero": number, "itemResultadoNumero": number, "itemResultadoSequencial": 1}
                events.append(self.evento(head, parent, at, (_INCLUSAO, _RESULTADO)) | said)
        if changed > published:
            events.append(self.evento(head, parent, changed))
        random.Random(f"{head.seed}/historico").shuffle(events)
        return events

    @staticmethod
    def evento(
        head: Record,
        parent: Mapping[str, Any],
        at: datetime,
        what: tuple[int, int] | None = None,
        documento: Mapping[str, Any] = MappingProxyType({}),
    ) -> JsonObject:
        """One event: `what` is its type and its category, by default a correction of the record, and `documento` the
        document that it is about.
        """
        tipo, categoria = what or (_RETIFICACAO, _category(head))
        corrects = tipo == _RETIFICACAO and categoria == _category(head)
        row: JsonObject = {
            "justificativa": f"Alteração do processo ({head.sequencial}/{head.ano})." if corrects else None,
            "tipoLogManutencao": tipo,
            "categoriaLogManutencao": categoria,
            "logManutencaoDataInclusao": at.isoformat(),
            "usuarioNome": parent.get("usuarioNome"),
            "tipoLogManutencaoNome": domains.TIPOS_LOG[tipo],
            "categoriaLogManutencaoNome": domains.CATEGORIAS_LOG[categoria],
        }
        number, title = documento.get("sequencialDocumento"), documento.get("titulo")
        if isinstance(head, Contratacao):
            return row | {
                "compraOrgaoCnpj": head.cnpj,
                "compraAno": head.ano,
                "compraSequencial": head.sequencial,
                "itemNumero": None,
                "itemResultadoNumero": None,
                "itemResultadoSequencial": None,
                "documentoSequencial": number,
                "documentoTitulo": title,
                "documentoTipo": documento.get("tipoDocumentoNome"),
            }
        # Not recorded: that what does not apply is null, as it is in the events of contratações.
        return row | {
            "contratoOrgaoCnpj": head.cnpj,
            "contratoAno": head.ano,
            "contratoSequencial": head.sequencial,
            "sequencialDocumentoContrato": number,
            "tituloDocumentoContrato": title,
            "sequencialTermoContrato": None,
            "numeroTermoContrato": None,
            "sequencialDocumentoTermoContrato": None,
            "tituloDocumentoTermoContrato": None,
            "sequencialEmpenho": None,
            "sequencialInstrumentoCobranca": None,
        }

    def _fornecedor(self, rng: random.Random) -> Fornecedor:
        return self._contratos.fornecedor(rng.randrange(FORNECEDOR_COUNT))


def _category(head: Record) -> int:
    return _CONTRATACAO if isinstance(head, Contratacao) else _CONTRATO


def _tipo_documento(rng: random.Random, parent: Mapping[str, Any], sequencial: int, *, compra: bool) -> int:
    if not compra:
        tipo = parent.get("tipoContrato")
        first = 17 if isinstance(tipo, Mapping) and tipo.get("id") == _EMPENHO else 12
        return first if sequencial == 1 else rng.choice((16, 16, first))
    if sequencial == 1:
        return _EDITAL.get(int(_number(parent, "tipoInstrumentoConvocatorioCodigo")), 2)
    return rng.choices((16, 4, 7, 10, 9, 2), (55, 20, 13, 1, 1, 10))[0]


def _numbers(rng: random.Random, count: int) -> Iterator[int]:
    """So many numbers, ascending; one that is left out belonged to a document that is gone."""
    number = 0
    for _ in range(count):
        number += 2 if rng.random() < 0.07 else 1  # noqa: PLR2004
        yield number


def _moment(rng: random.Random, head: Record, number: int) -> datetime:
    """When a child is published: the first with its record, others then or some days later."""
    published = datetime.fromisoformat(head.publicacao)
    days = rng.expovariate(1 / 5)
    return published if number == 1 or rng.random() < 0.6 else published + timedelta(seconds=int(days * 86_400))  # noqa: PLR2004


def _stamp(record: Mapping[str, Any], key: str, default: str) -> datetime:
    """The stamp under a key; a hand-made record may hold anything there."""
    try:
        return datetime.fromisoformat(record[key])
    except (KeyError, TypeError, ValueError):
        return datetime.fromisoformat(default)


def _number(record: Mapping[str, Any], key: str) -> float:
    """The number under a key, 0 where there is none; a hand-made record may hold anything there."""
    try:
        number = float(record[key])
    except (KeyError, OverflowError, TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _pair(codigo: int) -> JsonObject:
    return {"codigo": codigo, "nome": domains.RESERVAS[codigo]}
