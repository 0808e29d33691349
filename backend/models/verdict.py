"""What the addresses of the verdict take and answer."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.sync import Moment

State = Literal["ok", "attention", "problem"]
StateOrEmpty = Literal["ok", "attention", "problem", "empty"]


class VerdictAction(BaseModel):
    """O que apertar: um pedido à API ou, com `GET`, um lugar da página."""

    code: str = Field(examples=["update_now"])
    label: str = Field(examples=["Atualizar agora"])
    method: Literal["POST", "PUT", "GET"]
    path: str = Field(examples=["/sync/force"])
    body: dict[str, Any] | None = Field(examples=[{"mode": "update", "resource": "contratacoes"}])


class Judged(BaseModel):
    """Um estado, em uma palavra para programas e em frases para pessoas."""

    state: StateOrEmpty
    code: str = Field(description="o mesmo em qualquer idioma", examples=["late"])
    title: str = Field(examples=["Atrasado 2 h"])
    text: str
    since: Moment | None = Field(description="desde quando, se há um começo")


class VerdictFact(Judged):
    """Um dos três fatos."""

    fact: Literal["fresh", "complete", "healthy"]
    action: VerdictAction | None


class ResourceVerdict(BaseModel):
    """Um recurso que é atualizado, ou que tem uma meta."""

    resource: str
    label: str
    fresh: Judged
    complete: Judged
    updated_until: Moment | None
    days: int = Field(description="dias fechados que contam: os da meta ou, sem meta, todos os que já foram pedidos")
    days_complete: int
    days_missing: int
    days_failed: int
    days_rejected: int = Field(description="lidos por inteiro, com registros que não puderam ser gravados")


class VerdictTrouble(BaseModel):
    """Algo que não vai bem, uma vez só, por mais que se repita."""

    id: str = Field(description="estável enquanto durar", examples=["failed-no_answer"])
    kind: str = Field(
        description="`database`, `workers`, `broker`, `queue`, `source`, `failed_updates`, `failed_backfills`,"
        " `rejected`, `owed`, `set_aside`, `drift`, `alert`, `schedule_paused`"
    )
    fact: Literal["fresh", "complete", "healthy"] = Field(description="o fato que ele piora")
    state: State
    code: str
    title: str
    text: str
    since: Moment | None
    count: int
    execution_ids: list[int] = Field(description="das que falharam, as cem mais novas")
    original: str | None = Field(description="as palavras do programa ou do portal")
    action: VerdictAction | None
    can_acknowledge: bool = Field(description="o que falhou e o que foi rejeitado podem ser dados por vistos")
    acknowledged_by: str | None = Field(description="quem o deu por visto: não conta no estado até que mude")
    acknowledged_at: Moment | None


class SyncVerdict(BaseModel):
    """O veredito: o espelho está em dia, está completo, está são? O pior dos três fatos decide."""

    state: StateOrEmpty
    code: str
    title: str
    text: str
    since: Moment | None
    action: VerdictAction | None
    facts: list[VerdictFact] = Field(description="em dia, completo, são: nesta ordem")
    resources: list[ResourceVerdict]
    troubles: list[VerdictTrouble] = Field(description="os piores primeiro")
    language: Literal["pt-BR", "en"]
    generated_at: Moment


class RetryFailedRequest(BaseModel):
    """Quais execuções repetir; sem corpo, todas as que falharam e podem ser repetidas."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"execution_ids": [41, 42]}]})

    execution_ids: list[int] | None = Field(None, min_length=1, max_length=500)


class RetriedFailed(BaseModel):
    """O que está sendo repetido."""

    retried: int
    execution_ids: list[int] = Field(description="as execuções novas, da que repete a falha mais antiga em diante")
    remaining: int = Field(description="as que ainda esperam lugar: há um limite de execuções em andamento")
