"""Starts servers to try things on by hand: ``python -m tests.servers postgres nats``.

They stay until Ctrl-C; then they end and their data go.
"""

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncbackends.registry import installed_engines
from asyncbackends.settings import SECTIONS
from tests.servers.installing import CannotInstallError, install, missing
from tests.servers.process import ServerDidNotStartError
from tests.servers.running import Servers, known_names, product_of, products_for
from tests.servers.server import Server


def main() -> int:
    # A script or a service manager ends it so; the servers are to be ended all the same.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = _arguments()
    newest: bool = arguments.newest
    names: list[str] = [*dict.fromkeys(arguments.names or known_names())]
    try:
        products = products_for(names, newest=newest)
        if absent := missing(products):
            print(f"installing {', '.join(each.product for each in absent)}", file=sys.stderr)
        install(products)
        if arguments.install:
            print(*sorted({f"{each.product} {each.version()}" for each in products}), sep="\n")
            return 0
        with Servers(newest=newest) as servers, contextlib.ExitStack() as stack:
            tls = servers.certificates if arguments.tls else None
            started = [stack.enter_context(servers.fresh(name, tls=tls)) for name in names]
            _tell(servers.folder, started, as_json=arguments.json)
            while True:
                time.sleep(3600)
    except (CannotInstallError, ServerDidNotStartError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.servers",
        description="Start servers on free loopback ports, with their data in a temporary folder;"
        " Ctrl-C ends them and removes the data. What is missing is installed first.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known_names()))
    parser.add_argument("--newest", action="store_true", help="the newest versions there are")
    parser.add_argument("--tls", action="store_true", help="let them offer TLS")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--install", action="store_true", help="install what is missing, and end")
    arguments = parser.parse_args()
    if not arguments.names and not arguments.install:
        parser.error(f"which servers? known: {', '.join(known_names())}")
    if not arguments.install:
        engines = [product_of(name).engine for name in arguments.names if name in known_names()]
        if twice := {engine for engine in engines if engines.count(engine) > 1}:
            parser.error(f"one settings file has one server per engine: {', '.join(twice)}")
    return arguments


def _tell(folder: Path, servers: Sequence[Server], *, as_json: bool) -> None:
    settings = {server.engine: _with_password_file(server, folder) for server in servers}
    path = folder / "servers.conf"
    path.write_text(_conf_file(settings), "utf-8")
    if as_json:
        processes = {server.engine: server.process.pid for server in servers}
        told = {"conf_file": str(path), "settings": settings, "processes": processes}
        print(json.dumps(told), flush=True)
        return
    for server in servers:
        print(f"{server.product} {server.version()} at {server.endpoint}:", end=" ")
        print(f"process {server.process.pid}, log {server.process.log}")
    print(f"\n{path}:\n\n{path.read_text('utf-8')}")
    print(f"asyncbackends check --conf-file {path}\nCtrl-C ends them.", flush=True)


def _with_password_file(server: Server, folder: Path) -> dict[str, Any]:
    settings = server.settings()
    if password := settings.pop("password", None):
        file = folder / f"{server.engine}.password"
        file.touch(mode=0o600)
        file.write_text(f"{password}\n", "utf-8")
        settings["password_file"] = str(file)
    return settings


def _conf_file(servers: Mapping[str, Mapping[str, Any]]) -> str:
    """Give every engine a section per kind that it serves; the first one named is in use."""
    lines: list[str] = []
    for kind, section in SECTIONS.items():
        serving = [engine for engine in servers if engine in installed_engines(kind)]
        if not serving:
            continue
        lines += [f"[{section}]", f"engine = {serving[0]}", ""]
        for engine in serving:
            options = {key: value for key, value in servers[engine].items() if key != "engine"}
            lines += [f"[{section}.{engine}]", *(f"{k} = {v}" for k, v in options.items()), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
