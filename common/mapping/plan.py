"""A mapping as files write it: the fields of a record, and where each comes from."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

LONGEST_TEMPLATE = 4000


class Written(BaseModel):
    """What stands in a file: nothing is converted, and nothing unknown is taken."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError("use um texto entre aspas, um número, true, false ou null")


def _short(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


Scalar = Annotated[Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


class FieldPlan(Written):
    """Where a field comes from (one of `from`, `const`, `meta`, `template`, `each`), and what is done with it."""

    from_: str | None = Field(None, alias="from", description="a column, or a path into a JSON column: payload.a.b")
    const: Scalar = Field(None, description="the same in all records")
    meta: Literal["key", "version", "entity"] | None = None
    template: str | None = Field(None, max_length=LONGEST_TEMPLATE, description="{column|transform:argument}")
    each: "EachPlan | None" = Field(None, description="of each entry of a list")
    trim: bool = False
    digits: bool = Field(False, description="its digits alone")
    upper: bool = False
    max: int | None = Field(None, ge=1, description="the most characters; the rest is cut")
    date: str | None = Field(None, description="a format of %d %m %Y %H %M %S")
    decimal: int | None = Field(None, ge=0, le=10, description="a text with so many decimal places")
    brl: bool = Field(False, description="R$ 1.234,56")
    map: dict[str, Scalar] | None = Field(None, description="by its text")
    else_: Scalar = Field("reject", alias="else", description="for what the map lacks: reject, keep, or a value")
    default: Scalar = Field(None, description="where there is no value")
    required: bool = Field(False, description="a record without it is rejected")


FieldSpec = Annotated[FieldPlan, BeforeValidator(_short, json_schema_input_type=str | FieldPlan)]
Fields = Annotated[dict[str, FieldSpec], Field(min_length=1, max_length=1000)]


class EachPlan(Written):
    """The entries of a list as objects; in `fields`, `from` is a path into an entry."""

    from_: str = Field(alias="from")
    fields: Fields


FieldPlan.model_rebuild()
