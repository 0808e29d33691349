"""How an error looks: RFC 9457."""

from pydantic import BaseModel


class Fault(BaseModel):
    """One value at fault."""

    field: str
    message: str


class Problem(BaseModel):
    """An error; `detail` is for the person who sent the request."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Fault] = []
