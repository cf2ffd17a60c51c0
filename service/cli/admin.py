"""`trunkline admin`: users, passwords and access keys from the command line."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.logs import escape
from service.cli.support.options import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from store.store import Store

POSITION = 9
commands = typer.Typer(help="Users, passwords and access keys of the API.", no_args_is_help=True)

Username = Annotated[str, typer.Argument(metavar="USERNAME")]


def _on_store(config: Path, work: "Callable[[Store], Awaitable[None]]") -> int:
    from service.administration import AdminError, store_of
    from store.database.errors import StoreError

    async def run() -> None:
        async with store_of(config, _show_first_key, _warn) as store:
            await work(store)

    try:
        asyncio.run(run())
    except (AdminError, StoreError) as error:
        print(f"trunkline: {escape(str(error))}", file=sys.stderr)
        return 1
    return 0


def _show_first_key(key: str) -> None:
    print(f"access key of the super admin, shown this once: {key}")


def _warn(told: str) -> None:
    print(escape(told), file=sys.stderr)


def _password() -> str:
    """From the terminal, twice; a line of standard input where there is none, so that scripts can give it."""
    if sys.stdin.isatty():
        entered: str = typer.prompt("password", hide_input=True, confirmation_prompt=True)
        return entered
    return sys.stdin.readline().rstrip("\n")


@commands.command("users")
def list_users(config: ConfigFile = DEFAULT_CONFIG) -> int:
    """List everybody who can log in."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from service import administration
    from store.database.timestamps import api_time

    async def work(store: "Store") -> None:
        fields = ("username", "permission", "customer")
        found = [
            [*(escape(user[field]) for field in fields), api_time(user["tm_create"]) or ""]
            for user in await administration.users(store)
        ]
        if not Console().is_terminal:
            for row in found:
                print("\t".join(row))
            return
        table = Table("user", "permission", "customer", "since")
        for row in found:
            table.add_row(*map(Text, row))
        Console().print(table)

    return _on_store(config, work)


@commands.command("create-user")
def create_user(
    username: Username,
    config: ConfigFile = DEFAULT_CONFIG,
    permission: Annotated[
        str, typer.Option(help="project_super_admin, customer_admin, customer_manager or customer_agent.")
    ] = "customer_admin",
    customer: Annotated[str, typer.Option(metavar="ID|NAME", help="Whose; left out: the platform's own.")] = "",
) -> int:
    """Make a user; the password is asked for, or read from standard input."""
    from service import administration

    async def work(store: "Store") -> None:
        identifier = await administration.create_user(store, username, _password(), permission, customer)
        print(f"made user {username} with {permission}: agent {identifier}")

    return _on_store(config, work)


@commands.command("password")
def set_password(username: Username, config: ConfigFile = DEFAULT_CONFIG) -> int:
    """Set a user's password; it is asked for, or read from standard input."""
    from service import administration

    async def work(store: "Store") -> None:
        await administration.set_password(store, username, _password())
        print(f"{username} has a new password; earlier logins are void")

    return _on_store(config, work)


@commands.command("create-key")
def create_key(
    username: Username,
    config: ConfigFile = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    permission: Annotated[str, typer.Option(help="Limit it; left out: all that the user may.")] = "",
) -> int:
    """Make an access key of a user and print it; nobody can show it again."""
    from service import administration

    async def work(store: "Store") -> None:
        print(await administration.create_key(store, username, name, permission))

    return _on_store(config, work)


@commands.command("reset-keys")
def reset_keys(username: Username, config: ConfigFile = DEFAULT_CONFIG) -> int:
    """Revoke all access keys of a user, make a new one and print it."""
    from service import administration

    async def work(store: "Store") -> None:
        revoked, key = await administration.reset_keys(store, username)
        print(f"revoked {revoked} {'key' if revoked == 1 else 'keys'} of {username}", file=sys.stderr)
        print(key)

    return _on_store(config, work)


@commands.command("files")
def list_files(config: ConfigFile = DEFAULT_CONFIG) -> int:
    """List the configuration files that have declared resources in the store, and how many."""
    from service import administration

    async def work(store: "Store") -> None:
        for file, counts in sorted((await administration.declaring(store)).items()):
            print(f"{escape(file)}\t{_counted(counts)}")

    return _on_store(config, work)


@commands.command("release")
def release_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Its path, as `files` shows it.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> int:
    """Make what a configuration file declared that no engine reads any more the API's: it can be changed and deleted
    there."""
    from service import administration

    path = str(config.absolute())

    async def work(store: "Store") -> None:
        print(f"the API's now: {_counted(await administration.release_file(store, path, file))}")

    return _on_store(config, work)


@commands.command("forget-secrets")
def forget_secrets(config: ConfigFile = DEFAULT_CONFIG) -> int:
    """The key under secret_key is lost: delete what it has encrypted, so that engines start again. Providers lose their
    passwords and headers, webhooks are disabled, and everybody has to log in anew."""
    from service import administration

    async def work(store: "Store") -> None:
        lost = await administration.forget_secrets(store)
        print(f"deleted the secrets of {lost} rows: set providers' passwords and headers, and webhooks' secrets, anew")

    return _on_store(config, work)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items())
