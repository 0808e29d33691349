"""What the endpoint of resources answers."""

from pydantic import BaseModel, Field

from common.resources.description import Criterio


class MirroredResource(BaseModel):
    """Um recurso do portal que pode ser pedido em `resource`."""

    name: str
    label: str = Field(description="o nome para pessoas")
    criterios: list[Criterio] = Field(description="as listagens que o portal tem dele; a primeira é a dos seus dias")
    is_divided: bool = Field(description="divide-se em modalidades, cada uma com a sua listagem")
    is_scheduled: bool = Field(description="está em `PNCP_RESOURCES`, e a agenda o mantém em dia")


class Resources(BaseModel):
    """Os recursos, na ordem em que são lidos."""

    resources: list[MirroredResource]
