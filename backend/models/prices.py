"""What a price research answers, for the document of the API; the numbers are JSON numbers with all their digits."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.entities import Mirror


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Period(_Answer):
    """De quando são os resultados."""

    de: date
    ate: date
    padrao: bool = Field(description="ninguém pediu outro: o último ano (IN SEGES/ME 65/2021, art. 5º)")


class Statistics(_Answer):
    """O que os preços dão, com até seis decimais; nulo onde são poucos."""

    n: int
    media: float | None
    mediana: float | None
    primeiro_quartil: float | None = Field(description="método inclusivo, com interpolação linear")
    terceiro_quartil: float | None
    minimo: float | None
    maximo: float | None
    desvio_padrao: float | None = Field(description="amostral, n - 1; nulo com um preço")
    coeficiente_variacao: float | None = Field(description="desvio padrão / média")


class BothStatistics(_Answer):
    """Os dois cálculos; o que foi excluído por quem pesquisou não está em nenhum."""

    com_todos: Statistics
    sem_discrepantes: Statistics


class Limits(_Answer):
    """Além deles um preço é discrepante: Q1 - 1,5 x IQR e Q3 + 1,5 x IQR."""

    inferior: float
    superior: float


class PriceGroup(_Answer):
    """Preços próximos: o grupo acaba onde o próximo preço é mais de 1,5 vez o anterior."""

    n: int
    minimo: float
    maximo: float
    mediana: float


class Counts(_Answer):
    """Quantos preços há de cada situação, e quantos resultados não são preço."""

    serie: int
    considerados: int
    discrepantes: int
    excluidos: int
    resultados_cancelados: int = Field(description="de situação que não é Informado")
    resultados_sem_preco: int


class Notice(_Answer):
    """O que quem usa a pesquisa precisa saber."""

    codigo: Literal[
        "poucos_precos",
        "heterogenea",
        "unidades",
        "periodo_longo",
        "exclusao_desconhecida",
        "exclusao_sem_motivo",
        "fora_da_serie",
        "espelho_incompleto",
    ]
    texto: str


class Price(_Answer):
    """Um preço, com a sua prova."""

    chave: str = Field(description="para `excluir`: número de controle, item e resultado")
    data: date = Field(description="do resultado; sem ela, da inclusão do resultado ou da publicação da contratação")
    descricao: str | None
    unidade_medida: str | None
    numero_controle_pncp: str
    numero_item: int
    sequencial_resultado: int
    quantidade_homologada: float | None
    valor_unitario_homologado: float
    tipo_pessoa: str | None
    ni_fornecedor: str | None = Field(description="CPFs mascarados")
    nome_razao_social_fornecedor: str | None
    orgao_entidade_cnpj: str | None
    orgao_entidade_razao_social: str | None
    unidade_orgao_nome_unidade: str | None
    unidade_orgao_municipio_nome: str | None
    unidade_orgao_uf_sigla: str | None
    modalidade_nome: str | None
    endereco: str | None = Field(description="da contratação, neste espelho")
    fonte: str | None = Field(description="da contratação, no portal")
    situacao: Literal["considerado", "discrepante", "excluido"]
    motivo: str | None = Field(description="por que não é considerado")


class PriceResearch(_Answer):
    """Uma pesquisa de preços."""

    periodo: Period
    metodo: str
    estatisticas: BothStatistics
    limites: Limits | None = Field(description="nulo sem preços")
    heterogenea: bool = Field(description="coeficiente de variação acima de 0,5, ou maior preço acima de 3 x o menor")
    grupos: list[PriceGroup] = Field(description="só onde a série é heterogênea")
    contagem: Counts
    avisos: list[Notice]
    serie: list[Price] = Field(description="todos os preços, do mais novo ao mais antigo")
    espelho: Mirror
