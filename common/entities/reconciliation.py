"""The reconciliation: purchases of one's own beside what the portal shows of them, as one SELECT.

A purchase names its contratação by the control number; else by CNPJ, year and sequence, of which that number is made;
else by the number of its process, or of its notice, among the contratações of its CNPJ, those of its year if it says
one. The best that a purchase says decides: a control number that the portal does not know is not looked for otherwise.
Purchases of one contratação, such as one for each supplier, are compared with it by their sum.

Rows are purchases, and beside them the contratações that no purchase names: of the CNPJs that have purchases, from the
year of their first one on.
"""

from collections.abc import Mapping
from dataclasses import replace

from common.clock import BRASILIA
from common.entities.columns import value_of
from common.entities.declared import ColumnType, Declaration, DeclaredColumn
from common.entities.entity import RECORDS, Entity, of_declared
from common.resources.contratacoes import CONTRATACOES
from common.resources.derive import AUSENTE

# ruff: noqa: S608  # names in these statements stand in descriptions

NAME, PURCHASES = "conciliacao", "compras"
VERSION = "alterado_em"
DEADLINE_DAYS = 20
"""How many days after its signature a purchase is to be published, where nothing else is set."""

EQUAL, DIFFERS, LATE, UNCOMPARED = "publicada_e_igual", "valor_difere", "fora_do_prazo", "publicada_sem_valor"
MISSING, AMBIGUOUS, UNNAMED, ONLY_PORTAL = "nao_encontrada", "ambigua", "sem_identificacao", "so_no_pncp"
SITUATIONS: Mapping[str, str] = {
    MISSING: "não está no PNCP",
    DIFFERS: "está no PNCP com outro valor",
    LATE: "publicada depois do prazo, com o mesmo valor",
    AMBIGUOUS: "mais de uma contratação pode ser a sua",
    UNNAMED: "não diz qual é no PNCP",
    ONLY_PORTAL: "está no PNCP, e não entre as compras próprias",
    UNCOMPARED: "publicada, sem valores que se possam comparar",
    EQUAL: "publicada com o mesmo valor",
}
"""What a row comes to, the gravest first. A value that differs goes before a late publication, which `atrasada` says
in any case."""

# in this order, for a page of paper has room for the first ones
_LABELS: Mapping[str, tuple[ColumnType, str]] = {
    "situacao": ("text", "Situação"),
    "objeto": ("text", "Objeto"),
    "valor_proprio": ("number", "Valor próprio"),
    "valor_pncp": ("number", "Valor no PNCP"),
    "diferenca": ("number", "Diferença: valor próprio, o de todas as compras da contratação, menos o do PNCP"),
    "data_assinatura": ("day", "Data da assinatura"),
    "dias": ("number", "Dias: da assinatura à publicação, ou até hoje"),
    "atrasada": ("boolean", "Passou do prazo de publicação"),
    "numero": ("text", "Número da compra no sistema próprio"),
    "numero_controle_pncp": ("control_number", "Número de controle no PNCP"),
    "identificada_por": ("text", "O que diz qual é a contratação"),
    "candidatas": ("integer", "Contratações que podem ser a da compra"),
    "compras": ("integer", "Compras próprias da mesma contratação, com esta"),
    "valor_das_compras": ("number", "Valor próprio de todas elas, se todas o têm"),
    "orgao_cnpj": ("cnpj", "CNPJ do órgão"),
    "orgao_nome": ("text", "Órgão, no PNCP"),
    "objeto_pncp": ("text", "Objeto no PNCP"),
    "fornecedor": ("cpf_cnpj", "CPF ou CNPJ do fornecedor"),
    "comparado": ("text", "Que valores se comparam: homologado ou estimado"),
    "data_publicacao_pncp": ("moment", "Publicação no PNCP"),
    "situacao_propria": ("text", "Situação no sistema próprio"),
    "situacao_pncp": ("text", "Situação no PNCP"),
    "link_pncp": ("text", "Página no PNCP"),
    "registro": ("text", "Número da compra, ou da contratação que só está no PNCP"),
    "origem": ("text", "De onde é a linha: compra ou pncp"),
}


def reconciliation(purchases: Declaration, deadline_days: int) -> Declaration:
    """The reconciliation as a declared entity that is read, and not taken in. `purchases`: the entity `compras`."""
    return Declaration(
        name=NAME,
        label="Conciliação das compras próprias com o PNCP",
        key=("registro", "origem"),
        columns={name: DeclaredColumn(name, kind, label) for name, (kind, label) in _LABELS.items()},
        searched=("objeto",),
        view=f"({_rows(purchases, deadline_days)})",
        version=VERSION,
        is_shipped=True,
    )


def with_reconciliation(declarations: Mapping[str, Declaration], deadline_days: int) -> Mapping[str, Declaration]:
    """Declared entities and, beside them, the reconciliation of their purchases."""
    return {**declarations, NAME: reconciliation(declarations[PURCHASES], deadline_days)}


def to_list(declared: Declaration) -> Entity:
    """Its list, which is as complete as the contratações are."""
    return replace(of_declared(declared), resources=(CONTRATACOES,))


# --- purchases --------------------------------------------------------------------------------------------------


def _number_of_process(sql: str) -> str:
    """SQL of a process's number without its punctuation, in capitals; null where nothing is left."""
    return f"nullif(translate(upper({sql}), ' ./-', ''), '')"


def _number_of_notice(sql: str) -> str:
    """SQL of a notice's number without the year behind it and zeros in front; null where nothing is left."""
    return f"nullif(ltrim(translate(upper(split_part({sql}, '/', 1)), ' .', ''), '0'), '')"


def _year_of_notice(sql: str) -> str:
    year = f"split_part({sql}, '/', 2)"
    return f"CASE WHEN {year} ~ '^[0-9]{{4}}$' THEN CAST({year} AS bigint) END"


def _purchases(entity: Declaration) -> str:
    """SELECT of the purchases, with what each says of its contratação: `contratacao`, or a number to look for.

    Removed ones are among them, as `is_removed`: with them the rows of others change, and that is a change of today.
    """
    values = ", ".join(f"{value_of(entity, each, 'd')} AS {each.name}" for each in entity.columns.values())
    made = (
        "CASE WHEN ano BETWEEN 1000 AND 9999 AND sequencial BETWEEN 1 AND 999999999 THEN orgao_cnpj || '-1-'"
        " || lpad(CAST(sequencial AS text), greatest(6, length(CAST(sequencial AS text))), '0')"
        " || '/' || CAST(ano AS text) END"
    )
    return f"""
    SELECT k.*, coalesce(k.controle, k.feito) AS contratacao,
           CASE WHEN k.controle IS NOT NULL THEN 'numero_controle_pncp' WHEN k.feito IS NOT NULL THEN 'ano_sequencial'
                WHEN k.procurado IS NOT NULL THEN 'processo' WHEN k.edital IS NOT NULL THEN 'numero_edital' END AS por
      FROM (SELECT o.*, nullif(o.numero_controle_pncp, '') AS controle, {made} AS feito,
                   {_number_of_process("o.processo")} AS procurado, {_number_of_notice("o.numero_edital")} AS edital,
                   coalesce(o.ano, {_year_of_notice("o.numero_edital")}) AS ano_edital
              FROM (SELECT {values}, d.updated_at, d.removed_at IS NOT NULL AS is_removed FROM {RECORDS} d
                     WHERE d.entity = '{PURCHASES}' OFFSET 0) o OFFSET 0) k"""


_SEARCHED = (("processo", "procurado", "ano"), ("numero_edital", "edital", "ano_edital"))
"""By which columns contratações are searched: what it is called, the number on both sides, the year of the purchase."""

# --- the portal -------------------------------------------------------------------------------------------------


_PORTAL = f"""
    SELECT c.*, o.since FROM (
        SELECT orgao_cnpj, min(coalesce(ano, EXTRACT(year FROM data_assinatura),
                                        CAST(substring(contratacao FROM '/([0-9]{{4}})$') AS int))) AS since
          FROM own GROUP BY orgao_cnpj) o
     CROSS JOIN LATERAL (
        SELECT n.numero_controle_pncp, n.orgao_entidade_cnpj, n.orgao_entidade_razao_social, n.objeto_compra,
               n.valor_total_estimado, n.valor_total_homologado, n.data_publicacao_pncp, n.situacao_compra_nome,
               coalesce(n.ano_compra, EXTRACT(year FROM n.data_publicacao_pncp)) AS ano, n.updated_at,
               {_number_of_process("n.processo")} AS procurado, {_number_of_notice("n.numero_compra")} AS edital
          FROM contratacoes n WHERE n.orgao_entidade_cnpj = o.orgao_cnpj AND n.{AUSENTE} IS NULL OFFSET 0) c"""
"""SELECT of the contratações of the CNPJs that have purchases; `since`: the year of the first one.

OFFSET 0 has them read by the index on CNPJs: the planner, which knows nothing of values inside of records, might read
all contratações instead.
"""


def _page(key: str) -> str:
    """SQL of the page on which the portal shows a contratação. Regular expressions would be most of all work."""
    parts = {
        "cnpj": f"split_part({key}, '-', 1)",
        "ano": f"split_part({key}, '/', 2)",
        "sequencial": f"ltrim(split_part(split_part({key}, '-', 3), '/', 1), '0')",
    }
    return "'" + CONTRATACOES.page.format_map({name: f"' || {sql} || '" for name, sql in parts.items()}) + "'"


def _same_number(by: str, name: str, year: str) -> str:
    """SQL of the condition that the contratação `c` may be that of the purchase `p`, which says only this number."""
    return (
        f"p.por = '{by}' AND p.orgao_cnpj = c.orgao_entidade_cnpj AND p.{name} = c.{name}"
        f" AND (p.{year} IS NULL OR p.{year} = c.ano)"
    )


def _found() -> str:
    """SELECT of what is found for the purchases that only say a number of their process or notice."""
    return " UNION ALL ".join(
        f"""
        SELECT p.numero, count(*) AS candidatas, min(c.numero_controle_pncp) AS contratacao,
               max(c.updated_at) AS updated_at
          FROM portal c JOIN with_removed p ON {_same_number(*each)} GROUP BY p.numero"""
        for each in _SEARCHED
    )


# --- rows -------------------------------------------------------------------------------------------------------

_TODAY = f"CAST(timezone('{BRASILIA.key}', now()) AS date)"


def _rows(entity: Declaration, deadline_days: int) -> str:
    """SELECT of all rows. Both sides are read once: to take values out of JSON is most of the work."""
    return f"""
    WITH with_removed AS MATERIALIZED ({_purchases(entity)}), own AS (SELECT * FROM with_removed WHERE NOT is_removed),
         portal AS MATERIALIZED ({_PORTAL}), found AS MATERIALIZED ({_found()})
    {_own_rows(deadline_days)} UNION ALL {_rows_of_portal()}"""


def _of_all(aggregate: str) -> str:
    """SQL of an aggregate over the purchases of the same contratação; null where none was found."""
    return (
        f"CASE WHEN c.numero_controle_pncp IS NOT NULL THEN {aggregate} FILTER (WHERE NOT p.is_removed) OVER same END"
    )


def _sum_of_all(value: str) -> str:
    """SQL of a sum over the purchases of the same contratação; null where one of them has no value."""
    return f"CASE WHEN {_of_all(f'count({value})')} = {_of_all('count(*)')} THEN {_of_all(f'sum({value})')} END"


def _trace(row: str) -> str:
    """SQL of a part of a second, made of what other purchases and contratações change in a row.

    Deliveries compare the moment of a row's last change, and not all that changes it has one: a purchase that no longer
    names this contratação leaves none behind.
    """
    values = ", ".join(f"{row}.{name}" for name in ("candidatas", "compras", "valor_das_compras", "diferenca"))
    return f"(hashtext(concat_ws('|', {values})) & 65535) / 1000000.0"


def _own_rows(deadline_days: int) -> str:
    """SELECT of the purchases. Values are compared in cents, and an estimated one of 0, which is a secret, is none."""
    overdue = f"timezone('{BRASILIA.key}', CAST(r.data_assinatura + {deadline_days + 1} AS timestamp))"
    return f"""
    SELECT r.registro, 'compra' AS origem,
           CASE WHEN r.is_found THEN
                     CASE WHEN r.diferenca <> 0 THEN '{DIFFERS}' WHEN r.dias > {deadline_days} THEN '{LATE}'
                          WHEN r.comparado IS NULL THEN '{UNCOMPARED}' ELSE '{EQUAL}' END
                WHEN r.candidatas > 1 THEN '{AMBIGUOUS}' WHEN r.por IS NULL THEN '{UNNAMED}'
                ELSE '{MISSING}' END AS situacao,
           r.registro AS numero, r.numero_controle_pncp, r.por AS identificada_por, r.candidatas, r.compras,
           r.valor_das_compras, r.orgao_cnpj, r.orgao_nome, r.objeto, r.objeto_pncp, r.fornecedor, r.comparado,
           r.valor_proprio, r.valor_pncp, r.diferenca, r.data_assinatura, r.data_publicacao_pncp, r.dias,
           r.dias > {deadline_days} AS atrasada, r.situacao_propria, r.situacao_pncp, r.link_pncp,
           CASE WHEN NOT r.is_found AND r.dias > {deadline_days} THEN greatest(r.updated_at, {overdue})
                ELSE r.updated_at + make_interval(secs => {_trace("r")}) END AS {VERSION}
      FROM (
        SELECT g.*, d.comparado,
               CASE d.comparado WHEN 'homologado' THEN g.proprio_homologado WHEN 'estimado' THEN g.proprio_estimado
                    ELSE coalesce(g.proprio_homologado, g.proprio_estimado) END AS valor_proprio,
               CASE d.comparado WHEN 'homologado' THEN g.soma_homologado WHEN 'estimado' THEN g.soma_estimado
                    ELSE coalesce(g.soma_homologado, g.soma_estimado) END AS valor_das_compras,
               CASE d.comparado WHEN 'homologado' THEN g.valor_total_homologado
                    WHEN 'estimado' THEN g.valor_total_estimado
                    ELSE coalesce(g.valor_total_homologado, g.valor_total_estimado) END AS valor_pncp,
               CASE d.comparado WHEN 'homologado' THEN d.homologado ELSE d.estimado END AS diferenca
          FROM (
            SELECT p.numero AS registro, p.is_removed, c.numero_controle_pncp IS NOT NULL AS is_found, f.candidatas,
                   p.por, coalesce(c.numero_controle_pncp, p.contratacao) AS numero_controle_pncp, p.orgao_cnpj,
                   c.orgao_entidade_razao_social AS orgao_nome, coalesce(p.objeto, c.objeto_compra) AS objeto,
                   c.objeto_compra AS objeto_pncp, p.fornecedor, p.valor_homologado AS proprio_homologado,
                   p.valor_estimado AS proprio_estimado, c.valor_total_homologado, c.valor_total_estimado,
                   {_of_all("count(*)")} AS compras, {_sum_of_all("p.valor_homologado")} AS soma_homologado,
                   {_sum_of_all("p.valor_estimado")} AS soma_estimado, p.data_assinatura, c.data_publicacao_pncp,
                   CASE WHEN c.numero_controle_pncp IS NOT NULL THEN CAST(c.data_publicacao_pncp AS date)
                        WHEN f.candidatas IS NULL AND p.por IS NOT NULL THEN {_TODAY}
                   END - p.data_assinatura AS dias,
                   p.situacao AS situacao_propria, c.situacao_compra_nome AS situacao_pncp,
                   {_page("c.numero_controle_pncp")} AS link_pncp,
                   greatest(p.updated_at, c.updated_at, f.updated_at,
                            CASE WHEN c.numero_controle_pncp IS NOT NULL THEN max(p.updated_at) OVER same END
                   ) AS updated_at
              FROM with_removed p
              LEFT JOIN found f ON f.numero = p.numero
              LEFT JOIN LATERAL (
                SELECT n.numero_controle_pncp, n.orgao_entidade_razao_social, n.objeto_compra, n.situacao_compra_nome,
                       n.valor_total_estimado, n.valor_total_homologado, n.data_publicacao_pncp, n.updated_at
                  FROM contratacoes n
                 WHERE n.{AUSENTE} IS NULL
                   AND n.numero_controle_pncp = CASE WHEN p.contratacao IS NOT NULL THEN p.contratacao
                                                     WHEN f.candidatas = 1 THEN f.contratacao END OFFSET 0) c ON true
            WINDOW same AS (PARTITION BY c.numero_controle_pncp)) g
         CROSS JOIN LATERAL (
            SELECT h.homologado, h.estimado,
                   CASE WHEN h.homologado <> 0 OR (h.homologado = 0 AND coalesce(h.estimado, 0) = 0) THEN 'homologado'
                        WHEN h.estimado IS NOT NULL THEN 'estimado' END AS comparado
              FROM (SELECT round(g.soma_homologado, 2) - round(g.valor_total_homologado, 2) AS homologado,
                           round(g.soma_estimado, 2) - round(nullif(g.valor_total_estimado, 0), 2) AS estimado) h) d
         WHERE NOT g.is_removed
      ) r"""


def _rows_of_portal() -> str:
    """SELECT of the contratações that no purchase names, nor may mean."""
    means = " ".join(f"AND NOT EXISTS (SELECT FROM own p WHERE {_same_number(*each)})" for each in _SEARCHED)
    return f"""
    SELECT c.numero_controle_pncp AS registro, 'pncp' AS origem, '{ONLY_PORTAL}' AS situacao,
           CAST(NULL AS text) AS numero, c.numero_controle_pncp, CAST(NULL AS text) AS identificada_por,
           CAST(NULL AS bigint) AS candidatas, CAST(NULL AS bigint) AS compras,
           CAST(NULL AS numeric) AS valor_das_compras, c.orgao_entidade_cnpj AS orgao_cnpj,
           c.orgao_entidade_razao_social AS orgao_nome, c.objeto_compra AS objeto, c.objeto_compra AS objeto_pncp,
           CAST(NULL AS text) AS fornecedor, CAST(NULL AS text) AS comparado, CAST(NULL AS numeric) AS valor_proprio,
           coalesce(c.valor_total_homologado, c.valor_total_estimado) AS valor_pncp,
           CAST(NULL AS numeric) AS diferenca, CAST(NULL AS date) AS data_assinatura, c.data_publicacao_pncp,
           CAST(NULL AS integer) AS dias, CAST(NULL AS boolean) AS atrasada, CAST(NULL AS text) AS situacao_propria,
           c.situacao_compra_nome AS situacao_pncp,
           {_page("c.numero_controle_pncp")} AS link_pncp, c.updated_at AS {VERSION}
      FROM portal c
     WHERE c.ano >= c.since AND NOT EXISTS (SELECT FROM own p WHERE p.contratacao = c.numero_controle_pncp) {means}"""
