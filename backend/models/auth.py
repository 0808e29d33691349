"""What the token endpoint takes and answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_SECRET = Field(json_schema_extra={"format": "password"})


class TokenRequest(BaseModel):
    """Usuário e senha, ou cliente e segredo, como formulário (OAuth 2.0)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    grant_type: str = Field("password", description="`password`, ou `client_credentials`", examples=["password"])
    username: str | None = Field(None, description="com `password`")
    password: Annotated[str | None, _SECRET] = None
    client_id: str | None = Field(None, description="com `client_credentials`, se não vier no cabeçalho (Basic)")
    client_secret: Annotated[str | None, _SECRET] = None
    scope: str | None = Field(
        None, max_length=2000, description="os escopos do token, com espaços; sem isto, todos", examples=["read:*"]
    )


class TokenResponse(BaseModel):
    """Um token para o cabeçalho `Authorization: Bearer ...`."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # OAuth2's word, not a secret
    expires_in: int = Field(description="por quantos segundos vale", examples=[1800])
    scope: str = Field(description="o que permite", examples=["admin"])


class WhoAmI(BaseModel):
    """Quem pergunta, e o que pode."""

    authentication: bool = Field(description="se este servidor pede usuário e senha")
    username: str | None
    role: Literal["admin", "viewer"] = Field(description="`admin` lê, inicia e cancela; `viewer` só lê")
    scopes: list[str] = Field(description="o que pode", examples=[["admin"]])
