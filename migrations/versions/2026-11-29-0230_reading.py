"""What readers need: a number of ours for suppliers, whose key may hold a CPF, and CPFs masked in SQL for files."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# ruff: noqa: S608  # these are constants

# As in `common.masking`, which a test compares it with. Their bodies are parsed here, and so hold whatever the search
# path is; the planner puts `mask_personal` in line. Most values are settled by its first regular expression.
DIGITS = r"([0-9]{3})\.?([0-9]{3})\.?([0-9]{3})-?([0-9]{2})"
IN_TEXT = rf"(?<![0-9])(?<![0-9]\.){DIGITS}(?![0-9])"
SPACE = r"[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"  # Python's
MASKED = r"***.\2.\3-**"
MASKING = {
    "is_cpf(digits text)": (
        "boolean",
        """(SELECT bool_and(sums.total * 10 % 11 % 10 = CAST(substr(digits, place + 1, 1) AS integer))
              FROM (VALUES (9), (10)) AS places (place),
                   LATERAL (SELECT sum(CAST(substr(digits, at + 1, 1) AS integer) * (place + 1 - at)) AS total
                              FROM generate_series(0, place - 1) AS at) AS sums)""",
    ),
    "mask_cpfs(value text)": (
        "text",
        rf"""(SELECT string_agg(
                 part || CASE WHEN is_cpf(regexp_replace(found, '[^0-9]', '', 'g'))
                              THEN regexp_replace(found, '{DIGITS}', '{MASKED}') ELSE coalesce(found, '') END,
                 '' ORDER BY number)
               FROM ROWS FROM (unnest(regexp_split_to_array(value, '{IN_TEXT}')),
                               unnest(ARRAY(SELECT match[1] FROM regexp_matches(value, '({IN_TEXT})', 'g') AS match)))
                    WITH ORDINALITY AS parts (part, found, number))""",
    ),
    "mask_personal(value text, kind text)": (
        "text",
        rf"""CASE WHEN value !~ '(^|[^0-9]){DIGITS}($|[^0-9])' THEN value
                  WHEN value ~ '^{SPACE}{DIGITS}{SPACE}$'
                       AND (coalesce(kind, '') IN ('', 'PF') OR is_cpf(regexp_replace(value, '[^0-9]', '', 'g')))
                  THEN regexp_replace(value, '^{SPACE}{DIGITS}{SPACE}$', '{MASKED}')
                  ELSE mask_cpfs(value) END""",
    ),
}


def upgrade() -> None:
    """Add the functions, and the number; the table is written anew, which takes seconds for a million suppliers."""
    for signature, (kind, body) in MASKING.items():
        op.execute(f"CREATE FUNCTION {signature} RETURNS {kind} LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN {body}")
    op.execute("ALTER TABLE fornecedores ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY")
    op.execute("ALTER TABLE fornecedores ADD CONSTRAINT uq_fornecedores_id UNIQUE (id)")


def downgrade() -> None:
    """Remove them."""
    for signature in reversed(MASKING):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("ALTER TABLE fornecedores DROP COLUMN id")
