"""How an error looks: RFC 9457."""

from pydantic import BaseModel, Field


class Fault(BaseModel):
    """One value at fault."""

    field: str = Field(description="o campo ou parâmetro; vazio onde o corpo inteiro não serve", examples=["data_ini"])
    code: str = Field(description="o mesmo em qualquer idioma", examples=["date_form"])
    message: str


class Problem(BaseModel):
    """An error; `detail` is for the person who sent the request."""

    type: str = Field(description="estável: `/problems/` e `code`", examples=["/problems/invalid"])
    code: str = Field(description="o mesmo em qualquer idioma", examples=["invalid"])
    title: str
    status: int
    detail: str = Field(description="o que fazer, no idioma de `Accept-Language`")
    errors: list[Fault] = []
    error: str | None = Field(
        None, description="só em `/auth/token`: o código de OAuth 2.0", examples=["invalid_client"]
    )
    request_id: str | None = Field(None, description="o de `X-Request-Id`, para achar o pedido no log")
