"""What people read about a command: its whole docstring with its examples, and what is wrong with their call."""

import inspect
import re

from cyclopts import App, CycloptsError, MissingArgumentError, UnusedCliTokensError

# A title that ends a line and an indented block behind it, up to the next line at the margin.
_EXAMPLES = re.compile(r"^Examples?:\n((?: +\S.*\n?)+)", re.MULTILINE)
_PROGRAM = "tallystick "


def show_whole_page(root: App, words: list[str]) -> None:
    """Give the command that `words` name its own page. Imports that command's module and no other."""
    _, apps, _ = root.parse_commands([word for word in words if not word.startswith("-")])
    command = apps[-1].default_command
    if command is not None and command.__doc__:
        # Where it stands: cyclopts also reads the parameters' texts there.
        command.__doc__ = page(command.__doc__)
        apps[-1].help = None


def page(docstring: str) -> str:
    """The docstring with its examples as a list of whole lines.

    A section titled "Example:" would be taken for another style of docstring, in which nothing below it counts.
    """
    return _EXAMPLES.sub(_list, inspect.cleandoc(docstring))


def _list(match: re.Match[str]) -> str:
    lines: list[str] = []
    for line in map(str.strip, match[1].splitlines()):
        if line.startswith(_PROGRAM) or not lines:
            lines.append(line)
        else:
            lines[-1] += f" {line}"
    return "\n".join(["For example:", "", *(f"- `{line}`" for line in lines), ""])


def usage_error(error: CycloptsError) -> str:
    """One line: the command, the parameter and what is wrong with it, and where to read more."""
    name = " ".join((_PROGRAM.strip(), *(error.command_chain or ())))
    return f"{name}: {_complaint(error)} (see {name} --help)"


def _complaint(error: CycloptsError) -> str:
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        option = error.argument.name
        return f"{option if error.argument.index is None else option.lstrip('-').upper()} needs a value"
    if isinstance(error, UnusedCliTokensError):
        return f"too many arguments: {' '.join(error.unused_tokens or ())}"
    return " ".join(str(error).split()).rstrip(".")
