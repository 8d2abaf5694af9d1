"""How commands end: 0 done; 1 somebody or something said no; 2 could not run: usage, files, configuration, network."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from tallystick_proof.errors import ProofError
from tallystick_provisioning.errors import ProvisioningError, Refused
from tallystick_wire.errors import WireError

DONE, REFUSED, COULD_NOT_RUN = 0, 1, 2
Parameters = ParamSpec("Parameters")
Command = Callable[Parameters, int]


def reporting(
    *refusals: type[Exception], failures: tuple[type[Exception], ...] = ()
) -> Callable[[Command[Parameters]], Command[Parameters]]:
    """A decorator that prints known errors to stderr: `refusals` are further ones of exit code 1, `failures` of 2."""
    known_refusals: tuple[type[Exception], ...] = (Refused, ProofError, WireError, *refusals)
    known_failures: tuple[type[Exception], ...] = (ProvisioningError, OSError, *failures)

    def decorate(command: Command[Parameters]) -> Command[Parameters]:
        @functools.wraps(command)
        def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> int:
            try:
                return command(*arguments, **options)
            except known_refusals as error:
                print(f"refused: {error}", file=sys.stderr)
                return REFUSED
            except BrokenPipeError:
                raise  # whoever reads us has seen enough: the root command ends quietly
            except known_failures as error:
                print(f"could not run: {_words(error)}", file=sys.stderr)
                return COULD_NOT_RUN

        return run

    return decorate


def _words(error: Exception) -> str:
    """An operating system's error without its number: the file first, as all our messages have it."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
