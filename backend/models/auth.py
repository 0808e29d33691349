"""What the token endpoint takes and answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TokenRequest(BaseModel):
    """Usuário e senha, como formulário (OAuth2 password)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    grant_type: Literal["password"] = "password"
    username: str
    password: str = Field(json_schema_extra={"format": "password"})


class TokenResponse(BaseModel):
    """Um token para o cabeçalho `Authorization: Bearer ...`."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # OAuth2's word, not a secret
    expires_in: int = Field(description="por quantos segundos vale", examples=[1800])


class WhoAmI(BaseModel):
    """Quem pergunta, e o que pode."""

    authentication: bool = Field(description="se este servidor pede usuário e senha")
    username: str | None
    role: Literal["admin", "viewer"] = Field(description="`admin` lê, inicia e cancela; `viewer` só lê")
