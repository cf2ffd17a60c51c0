"""`trunkline init`: a first configuration, for phones and a carrier that it asks about."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from config.logs import escape
from service.cli.support.carriers import CARRIERS
from service.cli.support.running import DONE, FAILED, complain

POSITION = 0


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("trunkline.yaml"),
    address: Annotated[str, typer.Option(metavar="ADDRESS", help="This machine's, which phones log in at.")] = "",
    phone: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A phone; repeatable.")] = None,
    carrier: Annotated[str, typer.Option(metavar="NAME", help=f"none, {', '.join(CARRIERS)}.")] = "",
    hostname: Annotated[str, typer.Option(metavar="HOST", help="The carrier's server.")] = "",
    username: Annotated[str, typer.Option(metavar="NAME", help="What the carrier knows you as.")] = "",
    number: Annotated[list[str] | None, typer.Option(metavar="NUMBER", help="One of yours; repeatable.")] = None,
) -> int:
    """Write a commented configuration that works. Asks for what no option says, where there is somebody to ask."""
    from service.cli.support.first_configuration import checked, keep, steps, write
    from service.cli.support.questions import Questions

    if file.exists():
        complain(f"{file} is there already, and is left as it is: move it away, or name another file")
        return FAILED
    questions = Questions(somebody=sys.stdin.isatty())
    try:
        answers = questions.all(address, phone, carrier, hostname, username, number)
    except typer.Abort:  # Ctrl-C, or the end of what is typed
        complain("interrupted; nothing is written")
        return FAILED
    text = write(answers)
    for warning in checked(text, file):
        print(escape(warning), file=sys.stderr)
    keep(text, file)
    print(f"written: {file}, which only you can read")
    for line in steps(answers, str(file)):
        print(line)
    return DONE
