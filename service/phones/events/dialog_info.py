"""The event package `dialog`: the calls of an extension, for the lamps and pickup keys of other phones (RFC 4235)."""

from typing import Final

from engine.sip.message.uri import escape_user
from engine.sip.subscription import Resource
from flows.calls.phone_dialogs import PhoneDialog, PhoneDialogs
from routing.directory.directory import Directory
from service.phones.events.xml import text

MOST: Final = 16
"""Calls of one extension that are told of, the newest ones."""

# A lamp that stays on where it is told of no dialog at all goes out by one that is over.
_IDLE: Final = '<dialog id="idle"><state>terminated</state></dialog>\n'


class DialogInfo:
    """See `EventPackage`. The key of a resource is the extension's name."""

    content_type = "application/dialog-info+xml"

    def __init__(self, dialogs: PhoneDialogs, directory: Directory) -> None:
        self._dialogs = dialogs
        self._directory = directory

    def document(self, resource: Resource, version: int) -> bytes | None:
        """All dialogs, every time (RFC 4235 §3.9)."""
        name = str(resource.key)
        extension = self._directory.extension(name)
        if extension is None or not extension.active:
            return None
        running = self._dialogs.of(name)[-MOST:]
        local = _party(resource.uri, extension.display_name)
        found = "".join(self._dialog(dialog, local, resource.uri) for dialog in running)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="{version}" state="full" '
            f'entity="{text(resource.uri)}">\n{found or _IDLE}</dialog-info>\n'
        ).encode()

    def _dialog(self, dialog: PhoneDialog, local: str, entity: str) -> str:
        names = self._dialogs.published(dialog)
        host = entity.rpartition("@")[2]
        remote = ""
        if dialog.remote:
            remote = _party(f"sip:{escape_user(dialog.remote)}@{host}", dialog.remote_name)
        return (
            f'<dialog id="{names.call_id}" call-id="{names.call_id}" local-tag="{names.local_tag}" '
            f'remote-tag="{names.remote_tag}" direction="{dialog.direction}">\n<state>{dialog.state}</state>\n'
            f"<local>{local}</local>\n" + (f"<remote>{remote}</remote>\n" if remote else "") + "</dialog>\n"
        )


def _party(uri: str, name: str) -> str:
    display = f' display="{text(name)}"' if name else ""
    return f'<identity{display}>{text(uri)}</identity><target uri="{text(uri)}"/>'
