"""Invents instrumentos de cobrança of contratos: every field the portal sends, all of it following from a seed."""

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson

from simulator import domains
from simulator.invention_contratos import ContratoInventor
from simulator.records import Contrato, Instrumento, decode_json
from simulator.resources import INSTRUMENTOS_COBRANCA

FIRST_DAY: Final = date(2025, 1, 1)  # the portal has none that is older
_NCM: Final = (("30051090", "Outros pensos adesivos, artigos análogos, com camada adesiva"), ("48025610", "Papel A4"))
_CHANGES: Final = ("Autorização de Uso", "Autorização de Uso", "Carta de Correção")


class InstrumentoInventor:
    """Invents instrumentos for the contratos of a `ContratoInventor`, and never gives out one number twice."""

    def __init__(self, contratos: ContratoInventor) -> None:
        self._contratos = contratos
        self._next: dict[str, int] = {}

    def instrumentos(
        self, rng: random.Random, included: Sequence[datetime], contratos: Sequence[Contrato]
    ) -> list[Instrumento]:
        """One instrumento per stamp of `included` (Brasília wall clock), of one of `contratos`; none where there are no
        contratos.
        """
        return [self._instrumento(rng, at, rng.choice(contratos)) for at in included if contratos]

    def _instrumento(self, rng: random.Random, included: datetime, contrato: Contrato) -> Instrumento:
        numero = self._next.get(contrato.numero_controle_pncp, 1)
        self._next[contrato.numero_controle_pncp] = numero + 1
        return Instrumento(
            numero_controle_pncp=INSTRUMENTOS_COBRANCA.key(contrato.cnpj, contrato.sequencial, contrato.ano, numero),
            cnpj=contrato.cnpj,
            ano=contrato.ano,
            sequencial=contrato.sequencial,
            uf=contrato.uf,
            codigo_ibge=contrato.codigo_ibge,
            codigo_unidade=contrato.codigo_unidade,
            publicacao=included.isoformat(),
            atualizacao=included.isoformat(),
            atualizacao_global=included.isoformat(),
            seed=rng.getrandbits(48),
            orgao=contrato.orgao,
            unidade=contrato.unidade,
            numero=numero,
            tipo=1,
            contrato=contrato,
        )

    def absent(self, rng: random.Random, included: datetime) -> Instrumento:
        """An instrumento of a contrato of years before, which is not among those invented."""
        published = included - timedelta(days=800)
        # An inventor of its own gives the number, so that the contratos of the world keep theirs.
        contrato = ContratoInventor(self._contratos.inventor).contratos(rng, [published], (), published)[0]
        return self._instrumento(rng, included, contrato)

    def record(self, head: Instrumento) -> dict[str, Any]:
        """The whole JSON object of an instrumento in a listing, the same each time for the same `head`."""
        rng = random.Random(head.seed)
        if head.contrato is None:
            raise ValueError(f"{head.numero_controle_pncp} has no contrato of which it could be invented")
        kept = head.contrato.payload
        contrato = self._contratos.record(head.contrato) if kept is None else decode_json(kept)
        nota = _nota(rng, head, contrato)
        return {
            "cnpj": head.cnpj,
            "ano": head.ano,
            "sequencialContrato": head.sequencial,
            "sequencialInstrumentoCobranca": head.numero,
            "tipoInstrumentoCobranca": {
                "id": head.tipo,
                "nome": domains.TIPOS_INSTRUMENTO_COBRANCA[1],
                "descricao": "Documento de existência apenas digital, emitido e armazenado eletronicamente.",
                "dataInclusao": "2025-02-07T14:51:49",
                "dataAtualizacao": "2025-02-07T14:53:31",
                "statusAtivo": True,
            },
            "numeroInstrumentoCobranca": str(nota["numero"]),
            "dataEmissaoDocumento": _issued(head).isoformat(),
            "observacao": None,
            "chaveNFe": nota["chave"],
            "fonteNFe": 1,
            "dataConsultaNFe": head.publicacao,
            "statusResponseNFe": "200",
            "jsonResponseNFe": orjson.dumps(_response(nota)).decode(),
            "notaFiscalEletronica": nota,
            "dataInclusao": head.publicacao,
            "dataAtualizacao": head.atualizacao,
            "recuperarContratoDTO": contrato,
        }


def touch_instrumento(head: Instrumento, stamp: str) -> dict[str, Any]:
    """What changes in the JSON of an instrumento; the stamp of `head` is changed in place. It stays listed by the day
    of its inclusion.
    """
    head.atualizacao = stamp
    return {"observacao": f"Retificado em {stamp}", "dataAtualizacao": stamp}


def _nota(rng: random.Random, head: Instrumento, contrato: dict[str, Any]) -> dict[str, Any]:
    """The electronic invoice; its numbers and dates are text as people write them."""
    descricao, unidade, _ = rng.choice(domains.ITENS)
    ncm, ncm_name = rng.choice(_NCM)
    quantity, price = rng.choice((1, 6, 200, 6000)), rng.randint(50, 90_000)
    total = _brazilian(quantity * price)
    issued = f"{_issued(head):%d/%m/%Y}"
    item = {
        "numeroItem": "1",
        "descricaoProdutoServico": descricao,
        "codigoNCM": ncm,
        "descricaoNCM": ncm_name,
        "cfop": "6102",
        "quantidade": _brazilian(quantity * 100),
        "unidade": unidade,
        "valorUnitario": _brazilian(price),
        "valorTotal": total,
    }
    return {
        "instrumentoCobrancaId": rng.randrange(1, 10**6),
        "chave": f"{rng.randrange(10**44):044d}",
        "nfTransparenciaID": rng.randrange(10**8, 10**9),
        "numero": rng.randint(1, 99_999),
        "serie": rng.choice((1, 1, 3)),
        "dataEmissao": issued,
        "niEmitente": _punctuated(str(contrato.get("niFornecedor"))),
        "nomeEmitente": str(contrato.get("nomeRazaoSocialFornecedor")),
        "nomeMunicipioEmitente": rng.choice(domains.MUNICIPIOS)[0].upper(),
        "codigoOrgaoDestinatario": "52000",
        "nomeOrgaoDestinatario": "Ministério da Defesa - Unidades com vínculo direto",
        "codigoOrgaoSuperiorDestinatario": "52000",
        "nomeOrgaoSuperiorDestinatario": "Ministério da Defesa",
        "valorNotaFiscal": total,
        "tipoEventoMaisRecente": rng.choice(_CHANGES),
        "dataTipoEventoMaisRecente": f"{issued} 14:30:57",
        "dataInclusao": head.publicacao,
        "dataAtualizacao": head.publicacao,
        "itens": [item],
        "eventos": [],
    }


def _response(nota: dict[str, Any]) -> dict[str, Any]:
    """What the service of invoices had answered; the portal keeps it as text beside what it has read of it."""
    item = nota["itens"][0]
    return {
        "notaFiscalDTO": {
            "id": nota["nfTransparenciaID"],
            "codigoOrgaoSuperiorDestinatario": nota["codigoOrgaoSuperiorDestinatario"],
            "orgaoSuperiorDestinatario": nota["nomeOrgaoSuperiorDestinatario"],
            "codigoOrgaoDestinatario": nota["codigoOrgaoDestinatario"],
            "orgaoDestinatario": nota["nomeOrgaoDestinatario"],
            "nomeFornecedor": nota["nomeEmitente"],
            "cnpjFornecedor": nota["niEmitente"],
            "municipioFornecedor": nota["nomeMunicipioEmitente"],
            "chaveNotaFiscal": nota["chave"],
            "valorNotaFiscal": nota["valorNotaFiscal"],
            "tipoEventoMaisRecente": nota["tipoEventoMaisRecente"],
            "dataTipoEventoMaisRecente": nota["dataTipoEventoMaisRecente"],
            "dataEmissao": nota["dataEmissao"],
            "numero": nota["numero"],
            "serie": nota["serie"],
        },
        "itensNotaFiscal": [
            {
                "numeroProduto": item["numeroItem"],
                "descricaoProdutoServico": item["descricaoProdutoServico"],
                "codigoNcmSh": item["codigoNCM"],
                "ncmSh": item["descricaoNCM"],
                "cfop": item["cfop"],
                "quantidade": item["quantidade"],
                "unidade": item["unidade"],
                "valorUnitario": item["valorUnitario"],
                "valor": item["valorTotal"],
            }
        ],
        "eventosNotaFiscal": [],
    }


def _issued(head: Instrumento) -> date:
    return date.fromisoformat(head.publicacao[:10]) - timedelta(days=head.seed % 60)


def _brazilian(cents: int) -> str:
    """An amount as people write it here: 4.920,00."""
    return f"{cents // 100:,}".replace(",", ".") + f",{cents % 100:02d}"


def _punctuated(ni: str) -> str:
    """A CNPJ or CPF with its points; another identifier as it is."""
    form = {14: "{}{}.{}{}{}.{}{}{}/{}{}{}{}-{}{}", 11: "{}{}{}.{}{}{}.{}{}{}-{}{}"}.get(len(ni))
    return form.format(*ni) if form else ni
