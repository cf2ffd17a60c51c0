"""Delivery of one message to one destination: into our own inbox, through the providers, or directly."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from engine.dial import DialSpec, Outcome
from flows.calls.address import Address
from flows.calls.destinations import REFUSED, Contact
from flows.calls.dial import NO_CREDIT, NOT_CHARGED
from flows.calls.ports import MessageCredit, ProviderHunt
from flows.calls.services import CallServices
from flows.calls.tree import LOOP_DETECTED, Branch
from flows.calls.uri_hunt import UriHunt
from flows.messages.inbox import AcceptedMessage, Inbox, admitted
from flows.messages.kept import Fate, KeptMessages
from flows.messages.model import KeptMessage, MessageNotKept, MessageStore, Target, TextMessage, sender_of
from routing.access.admission import DialOut, RingExtension, RunFlow, client_of, extension_for
from routing.access.destinations import NamedBy, named_by
from routing.directory.extensions import ExtensionRow
from routing.directory.number_source import NumberUnavailable
from routing.directory.rows import NumberRow
from routing.hunt.attempt import Attempt, AttemptRecord
from routing.hunt.identity import CallerIdentity
from routing.numbers.normalise import normalise_dialled

Send = Callable[[DialSpec, str], Awaitable[Outcome]]
"""`engine.messages.Messages.send`."""
Process = Callable[[AcceptedMessage], None]
"""Takes what a message to a number of ours asks for into a task."""

_NOT_TAKEN = ("refused", "unreachable", "skipped")
"""Outcomes of an attempt that has certainly not delivered the text."""


DEVICES_WAIT = 5.0
"""Seconds that an extension's other phones have to answer once one has taken a message."""
_FATES = ("delivered", "accepted", "failed", "sending", "opted_out")


class Delivery:
    """Sends; what becomes of it is written into the target."""

    def __init__(self, services: CallServices, send: Send, inbox: Inbox, process: Process, kept: MessageStore) -> None:
        self.kept = KeptMessages(services, kept, self._deliver_kept, self._reachable)
        self._services = services
        self._send = send
        self._inbox = inbox
        self._process = process

    async def deliver(self, message: TextMessage, target: Target) -> None:
        """To one destination. Cancelled, the target says so."""
        address = target.destination
        if address.type == "tel":
            await self._to_number(message, target, address.target)
            return
        if address.type == "sip":
            await self._to_uri(message, target, address.sip_uri, message.named)
            return
        extension = None
        if address.type == "extension":
            extension = extension_for(self._services.directory, address.target, message.customer_id)
        if extension is not None:
            await self._to_extension(message, target, extension)
        else:
            await self._to_contacts(message, target, address)

    # ---- to extensions

    async def _to_extension(self, message: TextMessage, target: Target, extension: ExtensionRow) -> None:
        """To all its phones; where none is there, it is kept until one registers."""
        name = extension.name
        if not self.kept.waits(name) and (contacts := await self._contacts(extension)):
            await self._to_devices(message, target, contacts)
            if target.status != "failed" or any(tried["outcome"] != "unreachable" for tried in target.attempts):
                return
        try:
            kept, why = await self.kept.keep(message, name, extension.customer_id), "too many messages wait for one"
        except MessageNotKept as error:
            kept, why = False, str(error)
        if not kept:
            _failed(target, 480, f"no phone of extension {name} is registered, and the message is not kept: {why}")
            return
        target.status, target.sip_status, target.reason = "accepted", 202, "kept until a phone registers"
        if await self._contacts(extension):  # one that has come meanwhile, or that others wait for
            self.kept.registered(name)

    async def _contacts(self, extension: ExtensionRow) -> Sequence[Contact]:
        address = Address(type="extension", target=extension.name)
        return await self._services.contacts.resolve(address, extension.customer_id)

    async def _to_devices(self, message: TextMessage, target: Target, contacts: Sequence[Contact]) -> None:
        """To all of them at once: one that takes it is enough."""
        loop = asyncio.get_running_loop()
        each = [Target(target.destination) for _ in contacts]
        tasks = [
            loop.create_task(self._to_contact(message, to, contact), name=f"message {message.id} to {index}")
            for index, (to, contact) in enumerate(zip(each, contacts, strict=True))
        ]
        pending: set[asyncio.Task[None]] = set(tasks)
        try:
            while pending and all(to.status in ("sending", "failed") for to in each):
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if pending:  # the others have a moment to take it too: some may not be there any more
                await asyncio.wait(pending, timeout=DEVICES_WAIT)
        finally:
            for task in tasks:
                task.cancel()
            if any(not task.done() for task in tasks):
                await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()
        best = min(each, key=lambda to: _FATES.index(to.status))
        target.status, target.sip_status, target.reason = best.status, best.sip_status, best.reason
        target.attempts += [tried for to in each for tried in to.attempts]

    async def _reachable(self, name: str) -> bool:
        extension = self._services.directory.extension(name)
        return extension is not None and extension.active and bool(await self._contacts(extension))

    async def _deliver_kept(self, kept: KeptMessage) -> Fate:
        """To the phones that are registered now."""
        extension = self._services.directory.extension(kept.extension)
        if extension is None or extension.customer_id != kept.customer_id:
            return "refused"
        contacts = await self._contacts(extension) if extension.active else ()
        if not contacts:
            return "unreachable"
        address = Address(type="extension", target=kept.extension)
        message = TextMessage(
            id=kept.id,
            customer_id=kept.customer_id,
            direction="outgoing",
            source=kept.source,
            destinations=[address],
            text=kept.text,
            created=kept.created,
            status="sending",
            private=kept.source is None,
        )
        target = Target(address)
        await self._to_devices(message, target, contacts)
        if target.status in ("delivered", "accepted"):
            return "taken"
        return "refused" if any(tried["outcome"] == "refused" for tried in target.attempts) else "unreachable"

    # ---- to others

    async def _to_contacts(self, message: TextMessage, target: Target, address: Address) -> None:
        contacts = await self._services.contacts.resolve(address, message.customer_id)
        if not contacts:
            _failed(target, 404, f"{address.type} {address.target} is not known or not reachable")
        for contact in sorted(contacts, key=lambda contact: -contact.q):
            await self._to_contact(message, target, contact)
            # One that has not answered may well have taken it, and another would show it a second time.
            if target.status != "failed" or not target.attempts or target.attempts[-1]["outcome"] not in _NOT_TAKEN:
                return

    async def _to_contact(self, message: TextMessage, target: Target, contact: Contact) -> None:
        if contact.flow is None and not contact.path:
            await self._to_uri(message, target, contact.uri, named_by(message.customer_id, contact.customer_id))
            return
        hunt = await UriHunt.to(contact, _identity(message), self._services)
        if isinstance(hunt, str):
            _failed(target, 480, hunt)
        else:
            await self._hunt(message, target, hunt)

    async def _to_uri(self, message: TextMessage, target: Target, uri: str, named: NamedBy) -> None:
        services = self._services
        # The way back to who has sent us something leads to where it is, and that it said itself.
        way = await services.way_to(target.via or uri, "platform" if target.via else named)
        if way.refused:
            _failed(target, REFUSED[0], way.refused)
        elif way.here:
            await self._to_number(message, target, uri, foreign=not message.branch.tree.guest)
        else:
            await self._hunt(
                message, target, UriHunt(uri, _identity(message), services.routing.from_domain, way.allows)
            )

    async def _to_number(self, message: TextMessage, target: Target, text: str, *, foreign: bool = True) -> None:
        services = self._services
        try:
            await services.fetch_numbers(services.missing_numbers(text))
        except NumberUnavailable as error:
            _failed(target, 503, f"{text} cannot be looked up: {error}")
            return
        asked = normalise_dialled(text, services.routing, services.directory.numbers)
        verdict = admitted(services, client_of(message.customer_id), asked, message.text)
        if isinstance(verdict, RingExtension):
            await self._to_extension(message, target, verdict.extension)
        elif isinstance(verdict, RunFlow):
            await self._within(message, target, verdict.number)
        elif isinstance(verdict, DialOut) and not foreign:
            _failed(target, REFUSED[0], f"{verdict.target} is none of our numbers, and the sender is a guest")
        elif isinstance(verdict, DialOut):
            hunt: Any = services.router.hunt(verdict.target, caller=_identity(message), customer_id=message.customer_id)
            await self._hunt(message, target, hunt)
            if not hunt.records:
                target.reason = hunt.cause or f"no route leads to {verdict.target}"
        else:
            _failed(target, verdict.status, verdict.detail)

    async def _within(self, message: TextMessage, target: Target, number: NumberRow) -> None:
        """Another number of ours: no network is between the two."""
        branch: Branch | None = message.branch
        if message.automatic:
            branch = message.branch.grow(self._services.log, self._services.clock(), str(message.id))
        if branch is None:
            _failed(target, LOOP_DETECTED[0], "too many messages of flows have led to one another")
            return
        copy = TextMessage(
            id=uuid4(),
            customer_id=number.customer_id,
            direction="incoming",
            source=None if message.private else message.source,
            destinations=[target.destination],
            text=message.text,
            created=datetime.fromtimestamp(self._services.wall(), UTC),
            status="received",
            number_id=number.id,
            branch=branch,
        )
        try:
            accepted = await self._inbox.accept(copy, number)
        except MessageNotKept as error:
            _failed(target, 503, str(error))
            return
        target.status, target.sip_status, target.reason = "delivered", 200, "OK"
        self._process(accepted)

    async def _hunt(self, message: TextMessage, target: Target, hunt: ProviderHunt) -> None:
        """Attempt after attempt, until one is answered or the hunt stops."""
        services = self._services
        began, clock = services.clock(), services.clock
        status, reason = 0, ""
        await services.look_up(hunt, message.customer_id, str(message.id))
        try:
            while (attempt := hunt.next(clock())) is not None:
                credit, paid_for = await self._credit(message, hunt, attempt)
                if not paid_for:
                    if hunt.final()[0] == NO_CREDIT.status:
                        status, reason = NO_CREDIT.status, NO_CREDIT.reason
                    continue
                try:
                    outcome = await self._try(message, target, hunt, attempt)
                    if credit is not None and outcome.kind == "answered":
                        credit.charge()
                finally:
                    if credit is not None:
                        credit.close()
                if outcome.status or not status:  # who said something goes before who said nothing
                    status, reason = outcome.status, outcome.reason
                if outcome.kind == "answered":
                    target.status = "accepted" if outcome.status == 202 else "delivered"
                assert outcome.kind != "no_media"  # a text has none
                go_on = hunt.outcome(
                    attempt,
                    outcome.kind,
                    outcome.status,
                    outcome.reason,
                    retry_after=outcome.retry_after,
                    first_reply=outcome.first_reply,
                    now=clock(),
                )
                hunt.release(attempt)
                if not go_on:
                    break
        finally:
            target.attempts += [_attempt(record, began) for record in hunt.records]
        if target.status not in ("sending", "failed"):
            target.sip_status, target.reason = status, plain(reason)
            return
        if not status and not reason:
            status, reason = hunt.final()
        _failed(target, status, reason)

    async def _credit(
        self, message: TextMessage, hunt: ProviderHunt, attempt: Attempt
    ) -> tuple[MessageCredit | None, bool]:
        """What an attempt may cost, None where it is free; and whether it is made: where there is no credit, or nobody
        can say so, the hunt knows."""
        charging, customer_id = self._services.accounts.charging, message.customer_id
        if charging is None or attempt.message_rate <= 0 or not charging.rated(customer_id):
            return None, True
        try:
            credit = await charging.reserve_message(customer_id, message.id, attempt.message_rate)
        except asyncio.CancelledError:
            hunt.release(attempt)
            raise
        except Exception as error:
            self._services.log.error(
                "charging failed", message_id=str(message.id), error=f"{type(error).__name__}: {error}"
            )
            hunt.refuse(attempt, NOT_CHARGED, stop=False)
            return None, False
        if credit is None:
            hunt.refuse(attempt, NO_CREDIT, stop=True)
            return None, False
        attempt.record.started = self._services.clock()
        return credit, True

    async def _try(self, message: TextMessage, target: Target, hunt: ProviderHunt, attempt: Attempt) -> Outcome:
        spec = DialSpec(
            request_uri=attempt.request_uri,
            destination=target.via or attempt.destination,
            from_=attempt.from_,
            to=attempt.to,
            headers=attempt.headers,
            peer=attempt.provider,
            # A text has no 100 that would say "I am at it" (RFC 4320 §4.1): what has not been answered yet may well
            # have been taken, and another provider would deliver it a second time.
            no_reply_timeout=attempt.terms.no_progress_timeout,
            allows=attempt.allows,
            flow=attempt.flow,
            dialled=sender_of(message) if message.automatic else "",
            depth=message.branch.depth,
        )
        try:
            return await self._send(spec, message.text)
        except asyncio.CancelledError:
            hunt.outcome(attempt, "cancelled", 0, "given up", now=self._services.clock())
            hunt.release(attempt)
            raise
        except Exception as error:
            # A provider that cannot even be asked must not keep the message from the next one.
            self._services.log.error(
                "message sending failed", message_id=str(message.id), error=f"{type(error).__name__}: {error}"
            )
            return Outcome(kind="unreachable", status=0, reason=str(error)[:200])


def _identity(message: TextMessage) -> CallerIdentity:
    name = "" if message.source is None else message.source.target_name
    number = sender_of(message) if message.asserted != "" else ""
    return CallerIdentity(number=number, name=name, private=message.private, asserted=message.asserted)


def _failed(target: Target, status: int, reason: str) -> None:
    target.status, target.sip_status, target.reason = "failed", status, plain(reason)


def plain(text: str) -> str:
    """What a peer said, as both databases keep it."""
    return text[:300].replace("\0", "").encode("utf-8", "replace").decode()


def _attempt(record: AttemptRecord, began: float) -> dict[str, Any]:
    def ms(at: float | None) -> int | None:
        return None if at is None else round((at - began) * 1000)

    return {
        "provider_id": str(record.provider_id),
        "provider_name": record.provider_name,
        "request_uri": record.request_uri,
        "outcome": record.kind,
        "sip_status": record.status,
        "reason": plain(record.reason),
        "skipped": record.skipped,
        "start_ms": ms(record.started),
        "end_ms": ms(record.ended),
    }
