"""What readers need: a number of ours for suppliers, whose key may hold a CPF, and CPFs masked in SQL for files."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# ruff: noqa: S608  # these are constants

# As in `common.masking`, which a test compares them with. The planner puts `mask_personal` in line, so that a regular
# expression without groups settles most values; what it finds is looked at by a function in PL/pgSQL, which costs less
# to call than one in SQL.
DIGITS = r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}"
IN_TEXT = rf"(?<![0-9])(?<![0-9]\.){DIGITS}(?![0-9])"
SPACE = r"[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"  # Python's

PURE = "IMMUTABLE PARALLEL SAFE"


def check_digit(place: int) -> str:
    """Whether the digit at this place, counted from 0, is right."""
    digits = [f"{place + 1 - at} * (ascii(substr(digits, {at + 1}, 1)) - 48)" for at in range(place)]
    return f"({' + '.join(digits)}) * 10 % 11 % 10 = ascii(substr(digits, {place + 1}, 1)) - 48"


MASKING = {
    "is_cpf(digits text)": f"RETURNS boolean LANGUAGE sql {PURE} RETURN {check_digit(9)} AND {check_digit(10)}",
    "mask_cpfs(value text, kind text)": rf"""RETURNS text LANGUAGE plpgsql {PURE} AS $$
    DECLARE
        digits text := regexp_replace(value, '[^0-9]', '', 'g');
    BEGIN
        IF value ~ '^{SPACE}{DIGITS}{SPACE}$' THEN
            IF coalesce(kind, '') IN ('', 'PF') OR is_cpf(digits) THEN
                RETURN '***.' || substr(digits, 4, 3) || '.' || substr(digits, 7, 3) || '-**';
            END IF;
            RETURN value;
        END IF;
        RETURN (
            SELECT string_agg(part || CASE WHEN is_cpf(cpf)
                                           THEN '***.' || substr(cpf, 4, 3) || '.' || substr(cpf, 7, 3) || '-**'
                                           ELSE coalesce(hit, '') END, '' ORDER BY number)
              FROM ROWS FROM (unnest(regexp_split_to_array(value, '{IN_TEXT}')),
                              unnest(ARRAY(SELECT m[1] FROM regexp_matches(value, '({IN_TEXT})', 'g') AS m)))
                   WITH ORDINALITY AS parts (part, hit, number)
             CROSS JOIN LATERAL (SELECT regexp_replace(hit, '[^0-9]', '', 'g') AS cpf) AS numbers);
    END $$""",
    "mask_personal(value text, kind text)": rf"""RETURNS text LANGUAGE sql {PURE} RETURN
        CASE WHEN value ~ '(?:^|[^0-9]){DIGITS}(?:$|[^0-9])' THEN mask_cpfs(value, kind) ELSE value END""",
}


def upgrade() -> None:
    """Add the functions, and the number; the table is written anew, which takes seconds for a million suppliers."""
    for signature, body in MASKING.items():
        op.execute(f"CREATE FUNCTION {signature} {body}")
    op.execute("ALTER TABLE fornecedores ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY")
    op.execute("ALTER TABLE fornecedores ADD CONSTRAINT uq_fornecedores_id UNIQUE (id)")


def downgrade() -> None:
    """Remove them."""
    for signature in reversed(MASKING):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("ALTER TABLE fornecedores DROP COLUMN id")
