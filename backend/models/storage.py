"""What the endpoint of storage answers."""

from datetime import date

from pydantic import BaseModel, Field


class StoredTable(BaseModel):
    """Uma tabela; tamanhos em bytes."""

    tabela: str
    dados: int = Field(description="as linhas")
    indices: int
    valores_longos: int = Field(description="valores guardados fora das linhas, e os mapas da tabela")
    total: int
    linhas_estimadas: int | None = Field(description="estimativa do PostgreSQL; nula se ele ainda não contou")
    crescimento_por_dia: int | None = Field(
        description="bytes, desde o registro mais antigo dos últimos 30 dias; nulo antes do segundo dia"
    )


class Storage(BaseModel):
    """Quanto o banco ocupa. O espaço livre no disco o banco não sabe dizer."""

    tabelas: list[StoredTable] = Field(description="da maior para a menor")
    total: int = Field(description="soma das tabelas")
    banco: int = Field(description="o banco inteiro, com o que é do próprio PostgreSQL")
    crescimento_por_dia: int | None
    desde: date | None = Field(description="o dia do registro com que se compara")
