"""YAML of connections: values that have two readings are refused by their line."""

import pytest
import yaml

from common.connections.reading import MAX_BYTES, read


def faults_of(text: str) -> list[tuple[int, str]]:
    return read(text.encode())[1]


@pytest.mark.parametrize(
    "written",
    [
        "00360305000104",  # an octal number in YAML 1.1
        "1.10",
        "13:05",
        "no",
        "yes",
        "off",
        "True",
        "0x1F",
        "0b11",
        "1_000",
        "+5",
        ".5",
        "5.",
        ".inf",
        ".nan",
        "12345678901234567890",
        "0.12345678901234567890",
        "2026-02-30",
        "2026-01-01 10:00:00",
        "2026-01-01T10:00:00Z",
        "<<",
        "=",
    ],
)
def test_a_value_that_yaml_reads_otherwise_must_stand_in_quotes(written: str) -> None:
    ((line, said),) = faults_of(f"first: 1\nsecond: {written}\n")
    assert line == 2
    assert "aspas" in said
    assert written in said
    assert faults_of(f'first: 1\nsecond: "{written}"\n') == []
    assert read(f"second: '{written}'".encode())[0].value == {"second": written}


@pytest.mark.parametrize("key", ["on", "no", "1", "2026-01-01", "~", "1.5", "true"])
def test_a_key_that_is_no_text_must_stand_in_quotes(key: str) -> None:
    ((line, said),) = faults_of(f"a: 1\n{key}: 2\n")
    assert (line, "aspas" in said) == (2, True)
    assert faults_of(f'a: 1\n"{key}": 2\n') == []


@pytest.mark.parametrize(
    "text",
    [
        "a: text\nb: 1\nc: -5\nd: 1.5\ne: true\nf: false\ng: null\nh: ~\ni:\n",
        "- 00394460005887\n- {a: [1, 2], b: {c: d}}\n- |\n  two\n  lines\n",
        "a: 2026-01-31\nb: 2026-01-31T10:11:12\n",
        "",
        "# nothing\n",
    ],
)
def test_what_has_one_reading_is_read_as_everyone_reads_it(text: str) -> None:
    document, faults = read(text.encode())
    assert faults == []
    assert document.value == yaml.safe_load(text)


def test_a_byte_order_mark_does_not_count() -> None:
    assert read("\ufeffa: 1".encode())[0].value == {"a": 1}


def test_lines_are_those_of_keys_and_entries() -> None:
    document, _ = read(b"a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n")
    assert document.line_of(("a", "b")) == 2
    assert document.line_of(("a", "c", 1, "d")) == 5
    assert document.line_of(("a", "c", 0)) == 4
    assert document.line_of(("a", "missing", 5)) == 1


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "repetida"),
        ("a: &x 1\nb: *x\n", 1, "âncoras"),
        ("a: 1\n<<: {b: 1}\n", 2, "aspas"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "etiquetas"),
        ("a: !!binary aGk=\n", 1, "etiquetas"),
        ("a: 1\n---\nb: 2\n", 2, "mais de um documento"),
        ("? {a: 1}\n: 2\n", 1, "chave"),
        ("a: [1\n", 2, "YAML válido"),
        ("schedule: */15 * * * *\n", 1, "começa com * precisa de aspas"),
        ("auth: {token: ${env:X}}\n", 1, "coloque ${...} entre aspas"),
        ("a:\n\tb: 1\n", 2, "não tabulações"),
        ("a: %x\n", 1, "aspas"),
        ("a: b: c\n", 1, "YAML válido"),
        ("a: \x07\n", 0, "YAML válido"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', 0, "sinal que não existe"),
        ('a: 1\nb: "\\U00110000"\n', 0, "sinal que não existe"),
        ('a: 1\nb: "\\uD800"\n', 2, "sinal que não existe"),
        ('a: 1\n"\\uDFFF": 1\n', 2, "sinal que não existe"),
    ],
)
def test_what_is_refused_is_told_with_its_line(text: str, line: int, said: str) -> None:
    faults = faults_of(text)
    assert [each[0] for each in faults] == [line]
    assert said in faults[0][1]


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert [line for line, _ in faults_of("\n".join(lines))] == [1]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000 + "x"])
def test_a_file_of_any_depth_is_refused_and_not_recursed_into(text: str) -> None:
    ((_, said),) = faults_of(text)
    assert "níveis" in said or "YAML" in said


def test_a_file_that_is_too_large_or_no_text_is_refused() -> None:
    assert read(b"#" * (MAX_BYTES + 1))[1] == [(0, "o arquivo tem mais de 1 MiB")]
    assert read(b"#" * MAX_BYTES)[1] == []
    assert read("a: á".encode("latin-1"))[1] == [(0, "o arquivo não está em UTF-8")]
