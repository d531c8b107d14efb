"""The commands, their arguments, and what every failure becomes: one sentence and an exit code.

0: done. 1: something is wrong with a backend or with some rows. 2: the settings, the arguments or
a file cannot be used; nothing was changed. 130: interrupted.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from asyncbackends.cli import check, copy, demo, dump, engines, load
from asyncbackends.cli.screen import Screen
from asyncbackends.errors import BackendError, ConfigurationError, InvalidRequestError

__all__ = ("main",)

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
LEVELS: Final = ("debug", "info", "warning", "error")

Command = Callable[[argparse.Namespace, Screen], int]


class _UsageError(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sentence = f"{self.prog}: {message} (see {self.prog} --help)"
        raise _UsageError(sentence)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code.

    :param argv: the arguments; None takes the process's.
    """
    screen = Screen()
    try:
        arguments = _parser().parse_args(argv)
        _configure_logging(arguments.log_level)
        command: Command = arguments.run
        code = command(arguments, screen)
        screen.close()
    except SystemExit as request:  # --help
        return request.code if isinstance(request.code, int) else 0
    except _UsageError as error:
        screen.complain(str(error))
        return 2
    except (ConfigurationError, InvalidRequestError) as error:
        screen.complain(f"asyncbackends: {_sentence(error)}")
        return 2
    except BackendError as error:
        screen.complain(f"asyncbackends: {_sentence(error)}")
        return 1
    except KeyboardInterrupt:
        screen.complain("asyncbackends: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered must not raise again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        screen.complain(f"asyncbackends: {_sentence(error)}")
        return 1
    return code


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="asyncbackends",
        description="Look at engines and backends, and move whole configuration databases.",
        epilog="Environment variables such as ASYNCBACKENDS_DATABASE__ENGINE count like a file.",
        allow_abbrev=False,
    )
    everywhere = _Parser(add_help=False)
    everywhere.add_argument(
        "--log-level", choices=LEVELS, default=None, help="log to standard error from this level on"
    )
    settings = _Parser(add_help=False)
    settings.add_argument(
        "--conf-file",
        action="append",
        default=[],
        metavar="FILE",
        help="settings, INI or TOML; several are read in order",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module, parents in (
        (engines, [everywhere]),
        (check, [everywhere, settings]),
        (load, [everywhere, settings]),
        (dump, [everywhere, settings]),
        (copy, [everywhere]),
        (demo, [everywhere, settings]),
    ):
        name = module.__name__.rpartition(".")[2]
        summary = (module.__doc__ or "").split("\n\n")[0].strip().replace("\n", " ")
        command = commands.add_parser(
            name, parents=parents, help=summary, description=summary, allow_abbrev=False
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _configure_logging(level: str | None) -> None:
    if level is not None:
        logging.basicConfig(
            level=level.upper(),
            stream=sys.stderr,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            force=True,
        )
