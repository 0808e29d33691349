"""What the server says of itself."""

from pydantic import BaseModel, Field


class About(BaseModel):
    """Este servidor."""

    version: str = Field(examples=["0.1.0"])
    portal_url: str = Field(description="de onde os ingestores leem, como em `PNCP_BASE_URL`")
    portal_is_simulated: bool = Field(description="não é o PNCP: os registros são inventados, ou de outro servidor")
    has_documentation: bool = Field(description="há `/docs`, `/redoc` e `/openapi.json`")
