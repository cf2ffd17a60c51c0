"""The action `webhook_send`: tells a web server, and with `sync` takes variables from its answer."""

from typing import Any, Literal

from engine.log import Log
from flows.actions import action
from flows.calls.tasks import TooManyTasksError
from flows.faults import ActionError
from flows.language.options import Options
from flows.language.registry import ANY
from flows.language.run import Run
from flows.language.variables import VariableError
from flows.values import WebAddress
from flows.web import WebServices, send, variables_of


class WebhookOptions(Options):
    """`webhook_send`: text is sent as it is, the rest as JSON; `sync` waits and takes variables from the answer."""

    web_addresses = ("uri",)

    uri: WebAddress
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    data: str | dict[str, Any] | list[Any] = ""
    sync: bool = False


@action(WebhookOptions, media=ANY, describe=lambda run, option: f"{option.method} {option.uri} (not sent)")
async def webhook_send(run: Run, option: WebhookOptions) -> None:
    """Sends. With `sync` the flow waits for the answer; without, it goes on while a task of the service's sends."""
    web = run.services.web
    if not option.sync:
        work = _send_alone(web, run.services.calls.log, option, run.record.id, run.step.id)
        try:
            run.services.calls.tasks.start(work, f"webhook of {run.record.id}")
        except TooManyTasksError as error:
            raise ActionError(str(error)) from None
        return
    for name, value in variables_of(await send(web, option.method, option.uri, option.data)).items():
        try:
            run.variables.set(name, value)
        except VariableError as error:
            run.warn("variable not set", name=name[:100], error=str(error)[:300])


async def _send_alone(web: WebServices, log: Log, option: WebhookOptions, call_id: str, action_id: str) -> None:
    try:
        await send(web, option.method, option.uri, option.data)
    except ActionError as error:
        log.warning("webhook failed", call_id=call_id, action=action_id, error=str(error))
