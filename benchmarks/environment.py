"""The environment in which servers and frameworks are installed, and aserve as it is in this checkout."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
# All that is made goes there, as the Makefile has it, so that `make clean` removes it.
BUILD = CHECKOUT / "build"
DEFAULT_FOLDER = BUILD / "benchmarks" / "env"
PREFERRED_PYTHON = "3.13"
# What building and running aserve takes from the checkout.
SOURCES = ("server", "protocols", "adapters", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")

REQUIRED = ("uvicorn[standard]", "granian[uvloop]", "gunicorn", "hypercorn[uvloop]", "fastapi", "flask")
OPTIONAL: Mapping[str, str] = {
    "fastpysgi": "has no wheel for this interpreter or machine, or does not build",
    "zttp": "has no wheel for this interpreter or machine",
    "bjoern": "does not build: it needs a C compiler and libev's headers (`apt-get install libev-dev`)",
}


class EnvironmentSetupError(Exception):
    """The environment could not be made."""


def find_python(wanted: str | None) -> str:
    """The interpreter for the environment: the wanted one, else Python 3.13 if found, else the running one.

    Raises:
        EnvironmentSetupError: the wanted one cannot be run.
    """
    if wanted is not None:
        found = shutil.which(wanted)
        if found is None or not runs(found):
            raise EnvironmentSetupError(
                f"--python {wanted}: there is no such interpreter, or it does not run"
            )
        return found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{PREFERRED_PYTHON}")]
    candidates += [
        str(path) for path in sorted(versions.glob(f"{PREFERRED_PYTHON}.*/bin/python"), reverse=True)
    ]
    return next((path for path in candidates if path and runs(path)), sys.executable)


def runs(python: str) -> bool:
    """Whether it is an interpreter that works: a version manager's stand-in can fail."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def ignore(folder: Path) -> None:
    """Make a folder for what is not to be under version control."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")


def digest(folder: Path) -> str:
    """A hash over the sources of aserve in a folder: it is installed again only when they have changed."""
    total = hashlib.sha256()
    for name in SOURCES:
        paths = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*"))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@dataclass(slots=True)
class Environment:
    """A virtual environment that belongs to the benchmarks alone."""

    folder: Path
    missing: dict[str, str] = field(default_factory=dict)
    """Distributions that are not there, with the reason."""
    say: Callable[[str], None] = print

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def scripts(self) -> Path:
        """Where it has its commands."""
        return self.folder / "bin"

    def prepare(self, python: str, *, upgrade: bool = False) -> None:
        """Make the environment and install the peers, unless that was done before for this interpreter.

        Args:
            python: interpreter to make it from.
            upgrade: install the newest versions of everything.

        Raises:
            EnvironmentSetupError: what all servers need cannot be installed.
        """
        stamp = self.folder / "prepared.json"
        wanted = {"python": os.path.realpath(python), "packages": [*REQUIRED, *OPTIONAL]}
        state = json.loads(stamp.read_text()) if stamp.exists() else {}
        if state.get("wanted") == wanted and not upgrade:
            self.missing = dict(state["missing"])
            return
        self.say(f"making {self.folder} with {python}")
        if state.get("wanted", wanted)["python"] != wanted["python"]:
            shutil.rmtree(self.folder)
        if self.folder.is_relative_to(BUILD):
            ignore(BUILD)
        made = subprocess.run([python, "-m", "venv", str(self.folder)], capture_output=True, text=True)
        if made.returncode:
            raise EnvironmentSetupError(f"{python} -m venv failed: {made.stderr.strip()[-300:]}")
        ignore(self.folder)
        self.missing = {}
        if reason := self._pip("--upgrade", "--upgrade-strategy", "eager", *REQUIRED):
            raise EnvironmentSetupError(f"pip could not install {' '.join(REQUIRED)}: {reason}")
        for name, explanation in OPTIONAL.items():
            if self._pip("--upgrade", name):
                self.missing[name] = explanation
                self.say(f"without {name}: it {explanation}")
        stamp.write_text(json.dumps({"wanted": wanted, "missing": self.missing}))

    def install_aserve(self) -> None:
        """Install aserve as it is in this checkout now, or note why it cannot be installed.

        A copy is installed, so that the code that is measured stays the same for the whole run, and so that
        the build leaves nothing behind in the checkout.
        """
        self.missing.pop("aserve-server", None)
        current, stamp = digest(CHECKOUT), self.folder / "aserve.digest"
        if stamp.exists() and stamp.read_text() == current:
            return
        self.say("installing aserve from this checkout")
        if reason := self._install(self._copy(CHECKOUT, "checkout")):
            self.missing["aserve-server"] = f"cannot be installed from this checkout: {reason}"
            self.say(f"without aserve: it {self.missing['aserve-server']}")
            stamp.unlink(missing_ok=True)
            return
        stamp.write_text(current)

    def install_revision(self, revision: str) -> Path:
        """Install another revision of aserve next to the first one.

        Args:
            revision: anything that git can name.

        Returns:
            The folder to put on PYTHONPATH to get that revision.

        Raises:
            EnvironmentSetupError: there is no such revision, or it cannot be installed.
        """
        commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if not commit:
            raise EnvironmentSetupError(f"--compare {revision}: git knows no such revision")
        target = self.folder / "revisions" / commit
        if target.exists():
            return target
        archive = subprocess.run(["git", "archive", commit], cwd=CHECKOUT, capture_output=True)
        source = self.folder / "source" / commit
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(source, filter="data")
        self.say(f"installing aserve as of {revision} ({commit[:12]})")
        reason = self._install(self._copy(source, f"{commit}-build"), "--target", str(target))
        if reason:
            shutil.rmtree(target, ignore_errors=True)
            raise EnvironmentSetupError(f"--compare {revision}: {reason}")
        return target

    def versions(self, distributions: Iterable[str]) -> dict[str, str]:
        """The installed version of each distribution that is there."""
        program = (
            "import importlib.metadata as m, json, sys\n"
            "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
        )
        finished = subprocess.run([self.python, "-c", program], capture_output=True, text=True, check=True)
        installed: dict[str, str] = json.loads(finished.stdout)
        return {name: installed[name.lower()] for name in distributions if name.lower() in installed}

    def has(self, modules: Iterable[str]) -> str:
        """The first of these modules that the environment lacks, or nothing."""
        program = "import importlib.util as u, sys; print(*[m for m in sys.argv[1:] if not u.find_spec(m)])"
        finished = subprocess.run(
            [self.python, "-c", program, *modules], capture_output=True, text=True, check=True
        )
        return next(iter(finished.stdout.split()), "")

    def _copy(self, checkout: Path, name: str) -> Path:
        target = self.folder / "source" / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for source in SOURCES:
            if (checkout / source).is_dir():
                shutil.copytree(
                    checkout / source, target / source, ignore=shutil.ignore_patterns("__pycache__")
                )
            elif (checkout / source).exists():
                shutil.copy(checkout / source, target / source)
        return target

    def _install(self, source: Path, *arguments: str) -> str:
        """Install aserve from a copy of its sources; return why it failed."""
        if not (source / "pyproject.toml").exists():
            return "there is no pyproject.toml"
        project = tomllib.loads((source / "pyproject.toml").read_text())
        # Built in this environment and not in one made for each build: seconds instead of half a minute.
        needed = [*project["build-system"]["requires"], *project["project"].get("dependencies", [])]
        return self._pip(*needed) or self._pip(
            "--force-reinstall", "--no-deps", "--no-build-isolation", *arguments, str(source)
        )

    def _pip(self, *arguments: str) -> str:
        """Run `pip install`; return the last lines of what it says when it fails."""
        command = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        finished = subprocess.run(command, capture_output=True, text=True)
        lines = [line for line in finished.stderr.splitlines() if not line.startswith("WARNING")]
        return " ".join(lines)[-400:] or "pip failed" if finished.returncode else ""


def git(*arguments: str) -> str:
    """What git prints about this checkout; nothing where there is no git, no repository or no answer."""
    try:
        finished = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return finished.stdout.strip() if finished.returncode == 0 else ""
