"""The portal's log of what was done to a record: included, corrected or excluded, by which system and why."""

from common.resources.description import Child, Column, code, moment, text


def historico_of(parents: str, table: str, label: str, numbers: tuple[Column, ...], *others: Column) -> Child:
    """The events of records that stand below `parents` in the portal's addresses.

    `numbers` say which part of the record an event is about, and `others` more of that part.
    """
    what = (
        moment(
            "log_manutencao_data_inclusao",
            "logManutencaoDataInclusao",
            "Data e hora",
            required=True,
            filter="data_evento",
        ),
        code(
            "tipo_log_manutencao",
            "tipoLogManutencao",
            "Código: 0 inclusão, 1 retificação, 2 exclusão",
            filter="tipo_evento",
        ),
        code(
            "categoria_log_manutencao",
            "categoriaLogManutencao",
            "Código do que foi incluído, retificado ou excluído",
            filter="categoria_evento",
        ),
    )
    return Child(
        name=table,
        label=label,
        key=("evento",),
        # the portal numbers no event, and lists them in no order of time
        key_columns=tuple(column.name for column in (*what, *numbers)),
        path=f"/pncp/v1/orgaos/{{cnpj}}/{parents}/{{ano}}/{{sequencial}}/historico",
        page_size=500,
        service="historico",
        read_at="historico_at",
        debts=f"{table}_owed",
        keeps_gone=True,
        address="historico",
        columns=(
            *what,
            text("tipo_log_manutencao_nome", "tipoLogManutencaoNome", "O que se fez"),
            text(
                "categoria_log_manutencao_nome",
                "categoriaLogManutencaoNome",
                "O que foi incluído, retificado ou excluído",
            ),
            *numbers,
            *others,
            text("justificativa", "justificativa", "Justificativa"),
            text("usuario_nome", "usuarioNome", "Sistema que o fez"),
        ),
    )
