"""What the feed of changes takes and answers."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.models.sync import Moment, ResourceName


class ChangesQuery(BaseModel):
    """De onde ler, e de que entidade."""

    model_config = ConfigDict(extra="forbid")

    entidade: ResourceName | None = Field(None, description="só esta; sem ela, todas")
    chave: str | None = Field(
        None, max_length=250, description="só deste registro, com `entidade`: quando foi alterado ou apagado do espelho"
    )
    desde: int = Field(0, ge=0, le=2**63 - 1, description="`proximo` da página anterior; 0 para começar")
    limite: int = Field(100, ge=1, le=500)

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.chave is not None and self.entidade is None:
            raise ValueError("chave só vale junto com entidade")
        return self


class Change(BaseModel):
    """Uma mudança de um registro do espelho."""

    seq: int
    entidade: str
    chave: str = Field(description="a chave do registro: o número de controle, ou a que a tabela tem")
    tipo: Literal["inserido", "alterado", "ausente", "presente"] = Field(
        description="`ausente`: a listagem do portal não o tem mais, e a linha fica, com `ausente_desde`; ou a linha"
        " foi apagada. `presente`: a listagem o tem de novo"
    )
    quando: Moment
    campos: dict[str, Any] | None = Field(
        description="de `alterado`: as chaves do payload que mudaram, com o valor de antes; nulo se não existiam"
    )


class Changes(BaseModel):
    """Mudanças, da mais antiga para a mais nova.

    Quem guarda uma cópia começa por ela: lê `proximo` com `desde=0`, copia, e segue daí. Uma mudança aparece até poucos
    segundos depois de gravada, e nenhuma fica para trás de `proximo`. Itens e outras listas não estão aqui: quando
    mudam, muda a data de atualização global do registro.
    """

    registros: list[Change]
    proximo: int = Field(description="até onde se leu; vai em `desde` do próximo pedido")
    ha_mais: bool = Field(description="há mais depois de `proximo`")
    ultimo: int = Field(description="até onde se pode ler agora")
    apagadas_ate: int = Field(description="as mudanças até este número podem ter sido apagadas pela idade")
    lacuna: bool = Field(description="entre `desde` e a primeira mudança guardada há mudanças apagadas: copie de novo")
