"""The options of what asks web servers: webhook_send, and fetch."""

from typing import Any, Literal

from flows.options.model import Options
from flows.options.values import WebAddress


class WebhookOptions(Options):
    """`webhook_send`: text is sent as it is, the rest as JSON; `sync` waits and takes variables from the answer."""

    uri: WebAddress
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    data: str | dict[str, Any] | list[Any] = ""
    sync: bool = False


class FetchOptions(Options):
    """`fetch`: the actions that a web server answers with, run in place."""

    event_url: WebAddress
    event_method: Literal["POST", "GET"] = "POST"
