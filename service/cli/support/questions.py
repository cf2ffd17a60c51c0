"""What `trunkline init` asks, and how it reads the answers."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

import typer

from engine.transport.addresses import ROUTES
from routing.errors import RoutingError
from routing.models.extension import is_name
from routing.numbers.numbering import checked_number
from service.cli.support.carriers import CARRIERS
from service.cli.support.first_configuration import LATER, Answers, Trunk, new_password
from service.cli.support.options import check_host_port
from service.cli.support.running import complain

_SOMEWHERE: Final = "192.0.2.1"  # RFC 5737: the default route leads there; nothing is sent to it


class Questions:
    """Asks on the terminal for what the command line does not say. Without anybody to ask, the defaults hold."""

    def __init__(self, *, somebody: bool) -> None:
        self._somebody = somebody

    def all(
        self,
        address: str,
        phones: Sequence[str] | None,
        carrier: str,
        hostname: str,
        username: str,
        numbers: Sequence[str] | None,
    ) -> Answers:
        """What is to be written. The arguments are those of the command line; "" and None are asked for."""
        names = "Phones, by name, such as alice bob (empty: none)"
        return Answers(
            address=self.one("Address of this machine, as phones know it", address, _own_address(), _address),
            phones=[(name, new_password()) for name in self.several(names, phones, _phone_names)],
            trunk=self._trunk(carrier, hostname, username),
            numbers=self.several("Your numbers, such as +15551234567 (empty: none)", numbers, _numbers),
        )

    def one(self, question: str, given: str, default: str, read: Callable[[str], str]) -> str:
        """Raises BadParameter for an option that `read` does not take; such an answer is asked for again."""
        if given or not self._somebody:
            return read(given or default)
        while True:
            try:
                return read(typer.prompt(question, default=default, err=True).strip())
            except typer.BadParameter as error:
                complain(error.message)

    def several(
        self, question: str, given: Sequence[str] | None, read: Callable[[Sequence[str]], list[str]]
    ) -> list[str]:
        """As `one`, of words with spaces or commas between them."""
        if given is not None or not self._somebody:
            return read(given or ())
        while True:
            try:
                said = typer.prompt(question, default="", show_default=False, err=True)
                return read(said.replace(",", " ").split())
            except typer.BadParameter as error:
                complain(error.message)

    def secret(self, question: str) -> str:
        """What is typed and not shown; a reference to the environment where nobody types."""
        if not self._somebody:
            return LATER
        said: str = typer.prompt(question, default="", show_default=False, hide_input=True, err=True)
        return said or LATER

    def _trunk(self, carrier: str, hostname: str, username: str) -> Trunk | None:
        choices = "; ".join(f"{name} ({known.title})" for name, known in CARRIERS.items())
        chosen = self.one(f"Carrier: none; {choices}", carrier, "none", _carrier)
        if chosen == "none":
            return None
        known = CARRIERS[chosen]
        server = known.hostname
        if hostname or not server:
            server = self.one(f"Its server, such as {known.example}", hostname, known.example, _host)
        if not known.login:
            return Trunk(carrier=chosen, hostname=server)
        name = self.one("Your user name there (- for none: they know you by address)", username, "-", _username)
        if name == "-":
            return Trunk(carrier=chosen, hostname=server)
        return Trunk(
            carrier=chosen, hostname=server, username=name, password=self.secret("Your password there (not shown)")
        )


def _own_address() -> str:
    return ROUTES.source(_SOMEWHERE) or "127.0.0.1"


def _address(text: str) -> str:
    try:
        found = ip_address(text.strip("[]"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no IP address", param_hint="'--address'") from None
    if found.is_unspecified:
        raise typer.BadParameter(f"{text} is every address; phones need one", param_hint="'--address'")
    return f"[{found}]" if found.version == 6 else str(found)


def _host(text: str) -> str:
    check_host_port(text, "'--hostname'")
    return text


def _username(text: str) -> str:
    if not text.isprintable():
        raise typer.BadParameter("a user name has characters that can be shown", param_hint="'--username'")
    return text


def _carrier(text: str) -> str:
    if text.lower() not in ("none", *CARRIERS):
        raise typer.BadParameter(f"{text!r} is not known; use none, {', '.join(CARRIERS)}", param_hint="'--carrier'")
    return text.lower()


def _phone_names(words: Sequence[str]) -> list[str]:
    for name in words:
        if not is_name(name):
            what = f"{name!r} cannot be a phone's name; letters, digits and . _ - can, the first a letter or digit"
            raise typer.BadParameter(what, param_hint="'--phone'")
    return list(dict.fromkeys(words))


def _numbers(words: Sequence[str]) -> list[str]:
    """A number may have spaces in it: the next one begins with its `+`."""
    written: list[str] = []
    for word in words:
        if written and word[:1] != "+":
            written[-1] += word
        else:
            written.append(word)
    try:
        return list(dict.fromkeys(checked_number(text) for text in written))
    except RoutingError as error:
        raise typer.BadParameter(str(error), param_hint="'--number'") from None
