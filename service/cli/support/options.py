"""Options that several commands take, and what is wrong with them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from routing.hostnames import parse_host_port

ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", envvar="TRUNKLINE_CONFIG"),
]
DEFAULT_CONFIG = Path("trunkline.yaml")


def final_status(text: str, option: str) -> int:
    """The final status that a trunk answers with. Raises BadParameter."""
    if not text or text == "200":
        return 200
    if not re.fullmatch(r"[3-6][0-9]{2}", text):
        raise typer.BadParameter(f"{text!r} is no final status; use 200, or 300 to 699", param_hint=option)
    return int(text)


def check_host_port(text: str, option: str) -> None:
    """Raises BadParameter for what is no HOST or HOST:PORT."""
    try:
        parse_host_port(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def sent_with(via: str, transport: str, header: Sequence[str] | None) -> list[tuple[str, str]]:
    """What all that send something take: checked, the headers in two."""
    headers = [_header(text) for text in header or ()]
    if transport not in ("udp", "tcp"):
        raise typer.BadParameter(f"{transport!r} is no transport; use udp or tcp", param_hint="'--transport'")
    check_host_port(via, "'--via'")
    return headers


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable():
        raise typer.BadParameter(f"{text!r} is no header; write 'NAME: VALUE'", param_hint="'--header'")
    return name.strip(), value.strip()
