"""The completion of ./pncp in shells."""

import shutil
import subprocess

import pytest

from standalone import cli, completion

ASK = """
complete_line() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
    _shtab_pncp
    printf '%s\\n' "${COMPREPLY[@]}"
}
"""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert completion.run_completion(cli.parse(["completion", shell])[1]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("./pncp ver", ["verdict", "verify"]),
        ("./pncp goals re", ["remove", "resume"]),
        ("./pncp goals set a", ["atas"]),
        ("./pncp sync --resource p", ["pcas"]),
        ("./pncp retry-failed --j", ["--json"]),
        ("./pncp verify --it", ["--itens"]),
        ("./pncp completion z", ["zsh"]),
    ],
)
def test_bash_completes_commands_actions_options_and_values(
    words: str, offered: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = f"{script('bash', capsys)}\n{ASK}\ncomplete_line {words}"
    done = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_that_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = script(shell, capsys)
    assert [name for name in cli.COMMANDS if name not in made] == []
    program = shutil.which(shell)
    if program:
        subprocess.run([program, "-n"], input=made, text=True, check=True)
