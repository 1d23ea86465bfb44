"""Completion in shells, by the protocol that their scripts speak."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import clean_environment


def ask(shell: str, *words: str, cwd: Path) -> list[str]:
    """Return what the command proposes for the last of the words, as that shell's script asks for it."""
    done = subprocess.run(
        [sys.executable, "-m", "aserve"],
        cwd=cwd,
        env=clean_environment()
        | {
            "_ASERVE_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(("aserve", *words)),
            "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_options_in_bash(tmp_path: Path) -> None:
    assert ask("bash", "--max-req", cwd=tmp_path) == ["plain,--max-requests", "plain,--max-requests-jitter"]
    assert ask("bash", "main:app", "--print", cwd=tmp_path) == ["plain,--print-config"]


def test_values_in_bash(tmp_path: Path) -> None:
    assert ask("bash", "-k", "g", cwd=tmp_path) == ["plain,gevent"]
    assert ask("bash", "--log-level", "", cwd=tmp_path)[0] == "plain,debug"
    assert ask("bash", "--workers", "", cwd=tmp_path) == ["plain,auto"]
    assert ask("bash", "--config", "x", cwd=tmp_path) == ["file,x"]
    assert ask("bash", "--chdir", "", cwd=tmp_path) == ["dir,"]
    assert ask("bash", "--timeout", "", cwd=tmp_path) == [""]


def test_options_with_their_help_in_zsh_and_fish(tmp_path: Path) -> None:
    kind, flag, about = ask("zsh", "--print-conf", cwd=tmp_path)
    assert (kind, flag) == ("plain", "--print-config")
    assert about.startswith("Print all settings")
    assert "plain" in ask("fish", "--print-conf", cwd=tmp_path)[0]
    assert "--print-config" in "".join(ask("fish", "--print-conf", cwd=tmp_path))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aserve"],
        cwd=tmp_path,
        env=clean_environment() | {"_ASERVE_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "_aserve_completion" in done.stdout
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=done.stdout, text=True, check=True)  # it can be parsed


def completed_by(shell: str, script: str, cwd: Path) -> list[str]:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"needs {shell}")
    folder = Path(sys.executable).parent
    done = subprocess.run(
        [program, "-c", script],
        cwd=cwd,
        env=clean_environment() | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.split()


def test_bash_itself_completes(tmp_path: Path) -> None:
    script = (
        'eval "$(_ASERVE_COMPLETE=bash_source aserve)"\n'
        "COMP_WORDS=(aserve --max-requests-j)\nCOMP_CWORD=1\n_aserve_completion aserve\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert completed_by("bash", script, tmp_path) == ["--max-requests-jitter"]


def test_fish_itself_completes(tmp_path: Path) -> None:
    script = 'env _ASERVE_COMPLETE=fish_source aserve | source; complete -C "aserve --max-requests-j"'
    assert completed_by("fish", script, tmp_path)[:1] == ["--max-requests-jitter"]


def test_zsh_itself_completes(tmp_path: Path) -> None:
    """Which it only does for somebody at a terminal: what is typed there comes back completed."""
    script = (
        "zmodload zsh/zpty\nzpty typing zsh -f -i\n"
        "zpty -w typing 'PS1=; autoload -U compinit; compinit -u -D; "
        'eval "$(_ASERVE_COMPLETE=zsh_source aserve)"; echo RE\\ADY\'\n'
        "zpty -r typing shown '*READY*'\n"
        "zpty -w -n typing $'aserve --max-requests-j\\t'\n"
        "zpty -r typing shown '*jitter*'\nprint -r -- $shown\nzpty -d typing\n"
    )
    assert "--max-requests-jitter" in " ".join(completed_by("zsh", script, tmp_path))
