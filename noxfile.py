"""What a developer and the continuous integration run, one session per question."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_external_run = True
# The matrix decides itself which interpreter may be missing.
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "typing", "docs"]

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
REQUIRED_PYTHONS = ("3.11", "3.12")
EMBEDDED_ENGINES = "memory,sqlite"
# Most of the tests wait, and two cores have room for two that do; what shares a server is in one file.
SIDE_BY_SIDE = ("--numprocesses=2", "--dist=loadfile")
# Seconds after Ctrl-C in which servers are ended and their data removed.
TIDYING = 30


def is_runnable(version: str) -> bool:
    """Say whether this interpreter really starts: a version manager's shim may only look like one."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return True
    executable = shutil.which(f"python{version}")
    if executable is None:
        return False
    return (
        subprocess.run([executable, "--version"], capture_output=True, check=False).returncode == 0
    )


MATRIX = [version for version in (*REQUIRED_PYTHONS, "3.13") if is_runnable(version)]


def install(session: nox.Session, *groups: str, extras: str = "[all,testing]") -> None:
    """Install the package as a user would, with the dependency groups the session needs."""
    # Tests start many interpreters; without compiled files each start costs a second.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    # A version that has not changed does not make uv look at the sources again.
    fresh = ("--reinstall-package", "asyncbackends") if session.venv_backend == "uv" else ()
    session.install(*fresh, f".{extras}", *nox.project.dependency_groups(PYPROJECT, *groups))


def forget_promises(length: str) -> None:
    """Drop what earlier runs of this length recorded, before a run that covers everything."""
    for record in (ROOT / ".promises").glob(f"*-{length}*.json"):
        record.unlink()


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite on the Python that runs nox."""
    install(session, "test")
    if not session.posargs:
        forget_promises("ci")
    session.run("pytest", *(session.posargs or SIDE_BY_SIDE), interrupt_timeout=TIDYING)


@nox.session(python=MATRIX)
def matrix(session: nox.Session) -> None:
    """Run unit tests and embedded engines on every supported Python that is there."""
    missing = [version for version in REQUIRED_PYTHONS if version not in MATRIX]
    session.log(f"Pythons found: {', '.join(MATRIX)}; missing: {', '.join(missing) or 'none'}")
    if missing and os.environ.get("CI") == "true":
        session.error(f"no working python{missing[0]} on PATH: put its directory there")
    install(session, "test")
    # One Python is enough for the other event loop.
    session.run(
        "pytest",
        "tests/unit",
        "tests/conformance",
        "--ignore=tests/conformance/test_sqlite_uvloop.py",
        f"--engines={EMBEDDED_ENGINES}",
        *session.posargs,
    )


@nox.session
def conformance(session: nox.Session) -> None:
    """Run the conformance kit alone: nox -s conformance -- --engines a,b --servers newest."""
    install(session, "test")
    session.run("pytest", "tests/conformance", *session.posargs, interrupt_timeout=TIDYING)


@nox.session
def servers(session: nox.Session) -> None:
    """Start servers until Ctrl-C: nox -s servers -- postgres nats; -- --install only installs."""
    install(session, "test")
    session.run("python", "-m", "tests.servers", *session.posargs, interrupt_timeout=TIDYING)


@nox.session(python=False)
def promises(session: nox.Session) -> None:
    """Hold the recorded results against every promise; -- --write renews docs/reliability.md."""
    session.run(sys.executable, "-m", "tests.promises", *session.posargs)


@nox.session(python=REQUIRED_PYTHONS)
def soak(session: nox.Session) -> None:
    """Run the whole suite at its full length, on both sets of servers, then hold all promises."""
    install(session, "test")
    if not session.posargs and session.python == REQUIRED_PYTHONS[0]:
        forget_promises("soak")
    command = ("pytest", "--length=soak", "--timeout=1800")
    session.run(*command, *session.posargs, interrupt_timeout=TIDYING)
    if not session.posargs:
        newest = (*command, "--servers=newest", "tests/conformance", "tests/faults")
        session.run(*newest, interrupt_timeout=TIDYING)
    session.run("python", "-m", "tests.promises", "--length", "soak")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, the arrows between packages and the rules of the house."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": "adapters:compat:services"})
    session.run("python", "-m", "tests.house_rules")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the sources, then a user's files against the installed package."""
    install(session, "typing")
    session.run("mypy")
    session.run("pyright")
    for project in ("tests/packaging/offtree", "tests/typing"):
        copy = Path(session.create_tmp()).resolve() / project
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(ROOT / project, copy)
        # Outside the checkout nothing but the installed package and its py.typed answers.
        with session.chdir(copy):
            session.run("mypy", "--strict", "--config-file=", ".")
            session.run(
                "pyright", "--pythonpath", shutil.which("python", path=session.bin) or "", "."
            )


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a dead reference is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-q", "-W", "-n", "--keep-going", "docs", "docs/_build/html")


@nox.session
def bench(session: nox.Session) -> None:
    """Print ratios against bare drivers; nothing here is asserted by time."""
    install(session, "bench")
    if not session.posargs or "etcd" in session.posargs:
        session.env["ASYNCBACKENDS_BENCH_AETCD"] = interpreter_beside(session, "bench-aetcd")
    session.run("python", "-m", "tests.bench", *session.posargs)


def interpreter_beside(session: nox.Session, group: str) -> str:
    """Give a Python that has what cannot live in one process with the rest, and nothing else."""
    folder = Path(session.virtualenv.location).with_name(group)
    python = str(folder / "bin" / "python")
    session.run("python", "-m", "venv", "--clear", str(folder))
    wanted = nox.project.dependency_groups(PYPROJECT, group)
    session.run(python, "-m", "pip", "install", "--quiet", *wanted, external=True)
    return python


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel from it, and check their metadata."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "build"))
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(str, (ROOT / "dist").iterdir()))
