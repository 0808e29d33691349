"""dlt as its documentation shows it: the REST source, a child resource for items, merge into PostgreSQL."""

import tempfile
from datetime import timedelta
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_resources
from sqlalchemy.engine import make_url

from bench.contender import Task, compete
from bench.databases import query
from common.resources.description import Resource


def mirror(task: Task) -> int:
    """One pipeline run over all days and parts; answers how many records it has loaded."""
    url = make_url(task.database_url)
    if url.password is None:
        url = url.set(password="none")  # noqa: S106  # dlt wants one even where the server does not
    with tempfile.TemporaryDirectory(prefix="pncp-bench-dlt-") as folder:
        pipeline = dlt.pipeline(
            "pncp",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(url.render_as_string(hide_password=False)),
            dataset_name="pncp",
        )
        pipeline.run(_source(task))
    return int(query(task.database_url, f"SELECT count(*) FROM pncp.{task.resource}")[0][0])  # noqa: S608  # a name of ours


@dlt.source(max_table_nesting=0)  # type: ignore[untyped-decorator]
def _source(task: Task) -> Any:
    """The listings of each slice, and for each contratação the items that belong to it."""
    resource = task.described
    listing = resource.listings[resource.day_criterio]
    one_more = timedelta(days=1 if listing.excludes_last_day else 0)
    slices = dlt.resource(
        [[{"dia": f"{day:%Y%m%d}", "ate": f"{day + one_more:%Y%m%d}", "parte": part} for day, part in task.slices()]],
        name="fatias",
        selected=False,
    )
    nothing: Any = [{"status_code": status, "action": "ignore"} for status in (204, 404)]
    parameters: dict[str, Any] = {
        listing.first_day: "{resources.fatias.dia}",
        listing.last_day: "{resources.fatias.ate}",
        "tamanhoPagina": resource.page_size,
    }
    if resource.axis:
        parameters[resource.axis.parameter] = "{resources.fatias.parte}"
    records: Any = {
        "name": resource.name,
        "write_disposition": "merge",
        "primary_key": _key_of(resource),
        "endpoint": {
            "path": listing.path.removeprefix("/"),
            "params": parameters,
            "data_selector": "data",
            "paginator": {
                "type": "page_number",
                "base_page": 1,
                "page_param": "pagina",
                "total_path": "totalPaginas",
            },
            "response_actions": nothing,
        },
    }
    described = [slices, records, *([_itens(nothing)] if resource.child else [])]
    yield from rest_api_resources({"client": {"base_url": f"{task.portal_url}/"}, "resources": described})


def _key_of(resource: Resource) -> list[str]:
    """The fields of a record that are its key."""
    names = resource.key_columns or (resource.key,)
    return [column.path for name in names for column in resource.columns if column.name == name]


def _itens(nothing: Any) -> Any:
    """The items of each contratação."""
    compra = "{resources.contratacoes.orgaoEntidade.cnpj}/compras/{resources.contratacoes.anoCompra}"
    return {
        "name": "itens",
        "write_disposition": "merge",
        "primary_key": ["_contratacoes_numeroControlePNCP", "numeroItem"],
        "include_from_parent": ["numeroControlePNCP"],
        "parallelized": True,
        "endpoint": {
            "path": f"pncp/v1/orgaos/{compra}/{{resources.contratacoes.sequencialCompra}}/itens",
            "params": {"pagina": 1, "tamanhoPagina": 500},
            "paginator": "single_page",
            "response_actions": nothing,
        },
    }


if __name__ == "__main__":
    compete(mirror)
