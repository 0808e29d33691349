"""What answers about entities have in common."""

from datetime import date, datetime

from pydantic import BaseModel, Field


class Mirror(BaseModel):
    """Se o espelho tem tudo do que foi pedido."""

    ate: datetime | None = Field(
        description="até quando as mudanças foram lidas sem lacuna, no horário de Brasília, sem fuso"
    )
    de: date | None = Field(description="o primeiro dia considerado")
    completo: bool = Field(description="nada falta do período, nos dias que já acabaram")
    dias_faltando: int | None = Field(description="dias sem prova de que estão completos; nulo: nenhum foi lido ainda")
    registros_recusados: int = Field(description="que não puderam ser gravados")
    listas_faltando: int = Field(description="que ainda não vieram")
    escopo: str | None = Field(description="de quais registros esta lista é lida; nulo onde é lida de todos")
    busca_completa: bool = Field(
        description="falso numa busca por palavras enquanto as de alguns registros ainda não estão no índice"
    )
