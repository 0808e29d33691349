"""dlt as its documentation shows it: the REST source, a child resource for the items, merge into PostgreSQL."""

import tempfile
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_resources
from sqlalchemy.engine import make_url

from bench.contender import PAGE_SIZE, Task, compete


def mirror(task: Task) -> int:
    """One pipeline run over all days and modalidades; answers how many contratações it has loaded."""
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
        counts = pipeline.last_trace.last_normalize_info.row_counts
        return int(counts["contratacoes"])


@dlt.source(max_table_nesting=0)  # type: ignore[untyped-decorator]
def _source(task: Task) -> Any:
    """The listings of each slice, and for each record the items that belong to it."""
    slices = dlt.resource(
        [[{"dia": f"{day:%Y%m%d}", "modalidade": modalidade} for day, modalidade in task.slices()]],
        name="fatias",
        selected=False,
    )
    nothing: Any = [{"status_code": status, "action": "ignore"} for status in (204, 404)]
    contratacoes: Any = {
        "name": "contratacoes",
        "write_disposition": "merge",
        "primary_key": "numeroControlePNCP",
        "endpoint": {
            "path": "consulta/v1/contratacoes/publicacao",
            "params": {
                "dataInicial": "{resources.fatias.dia}",
                "dataFinal": "{resources.fatias.dia}",
                "codigoModalidadeContratacao": "{resources.fatias.modalidade}",
                "tamanhoPagina": PAGE_SIZE,
            },
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
    compra = "{resources.contratacoes.orgaoEntidade.cnpj}/compras/{resources.contratacoes.anoCompra}"
    itens: Any = {
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
    yield from rest_api_resources(
        {"client": {"base_url": f"{task.portal_url}/"}, "resources": [slices, contratacoes, itens]}
    )


if __name__ == "__main__":
    compete(mirror)
