"""What the portal says of documents; the documents themselves are not mirrored."""

from common.resources.description import Child, boolean, code, integer, moment, text


def arquivos_of(parents: str, table: str, label: str) -> Child:
    """The documents of records that stand below `parents` in the portal's addresses."""
    return Child(
        name=table,
        label=label,
        key=("sequencial_documento",),
        path=f"/pncp/v1/orgaos/{{cnpj}}/{parents}/{{ano}}/{{sequencial}}/arquivos",
        page_size=500,
        service="arquivos",
        read_at="arquivos_at",
        debts=f"{table}_owed",
        address="documentos",
        columns=(
            integer("sequencial_documento", "sequencialDocumento", "Número do documento", required=True),
            text("titulo", "titulo", "Título"),
            code("tipo_documento_id", "tipoDocumentoId", "Código do tipo de documento"),
            text("tipo_documento_nome", "tipoDocumentoNome", "Tipo de documento"),
            text("tipo_documento_descricao", "tipoDocumentoDescricao", "Descrição do tipo de documento"),
            text("url", "url", "Endereço do documento no portal"),
            moment("data_publicacao_pncp", "dataPublicacaoPncp", "Publicação no PNCP"),
            boolean("status_ativo", "statusAtivo", "Está publicado; falso se foi retirado, nulo se o portal não diz"),
        ),
    )
