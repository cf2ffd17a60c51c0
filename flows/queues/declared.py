"""Agents, queues and conferences as a configuration file declares them: queues name their agents and their flow.

Fields are those of the API, times milliseconds.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from flows.calls.address import Address
from flows.faults import FieldPath, printable
from flows.queues.announcements import AnnounceEvery, AnnounceLanguage, AnnounceText, unspoken
from flows.queues.model import RoutingMethod
from flows.values import DAY_MS, one_line, sound_source
from routing.identifiers import NIL, PLATFORM, named_id

Name = Annotated[str, Field(min_length=1, max_length=255, strict=True), AfterValidator(one_line)]
Detail = Annotated[str, Field(max_length=65_536, strict=True)]
Milliseconds = Annotated[int, Field(ge=0, le=DAY_MS, strict=True)]
Music = Annotated[
    str, Field(max_length=2048, strict=True), AfterValidator(lambda text: sound_source(text) if text else text)
]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: UUID = NIL
    """Derived from the name where none is given."""
    customer_id: UUID = PLATFORM
    """Those who run the engine, where nothing else is said."""
    name: Name
    detail: Detail = ""

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.id == NIL:
            self.id = named_id(self._kind(), self.name)
        return self

    @classmethod
    def _kind(cls) -> str:
        return re.sub("^Declared", "", cls.__name__).lower()

    def _columns(self, *left_out: str) -> dict[str, Any]:
        return {**self.model_dump(mode="json", exclude={*left_out}), "id": self.id, "customer_id": self.customer_id}


class DeclaredAgent(_Declared):
    """An agent. Its `name` is its user name, too; it has no password until it is given one. `status` is what it begins
    with: from then on it says so itself, by the API."""

    addresses: list[Address] = Field(default=[], max_length=20)
    ring_method: Literal["ring_all", "linear"] = "ring_all"
    tag_ids: list[UUID] = Field(default=[], max_length=100)
    status: Literal["available", "away", "busy", "offline"] = "available"

    def row(self) -> dict[str, Any]:
        """The columns, with those that a new agent alone gets."""
        more = {"username": self.name, "password_hash": "", "permission": "customer_agent"}
        return self._columns() | more


class DeclaredQueue(_Declared):
    """A queue. `agents` are names of agents of the file, `overflow_flow` the name of a flow."""

    routing_method: RoutingMethod = "random"
    agents: list[Name] = Field(default=[], max_length=1000)
    agent_ids: list[UUID] = Field(default=[], max_length=1000)
    tag_ids: list[UUID] = Field(default=[], max_length=1000)
    wait_timeout: Milliseconds = 0
    service_timeout: Milliseconds = 0
    ring_timeout: Annotated[int, Field(ge=0, le=3_600_000, strict=True)] = 0
    wrap_up_timeout: Milliseconds = 0
    max_waiting: Annotated[int, Field(ge=0, le=100_000, strict=True)] = 0
    music: Music = ""
    overflow_flow: Annotated[str, Field(max_length=255, strict=True)] = ""
    overflow_flow_id: UUID = NIL
    announce_every: AnnounceEvery = 0
    announce_language: AnnounceLanguage = ""
    announce_text: AnnounceText = ""

    def faults(
        self, agents: Mapping[str, UUID], owners: Mapping[str, UUID], flows: Mapping[str, UUID]
    ) -> list[tuple[FieldPath, str]]:
        """What does not fit to the agents and flows of the file, which are known by their names: the field, and what is
        wrong with it. Puts their ids in place of their names where nothing is."""
        found: list[tuple[FieldPath, str]] = []
        for place, name in enumerate(self.agents):
            if name not in agents:
                found.append((("agents", place), f"there is no agent named {name!r}; {_choices(agents)}"))
            elif owners.get(name, self.customer_id) != self.customer_id:
                found.append((("agents", place), f"{name} is another customer's; give both the same customer_id"))
        flow = self.overflow_flow
        if flow and self.overflow_flow_id != NIL:
            found.append((("overflow_flow",), "overflow_flow and overflow_flow_id are both given; keep one"))
        elif flow and flow not in flows:
            found.append((("overflow_flow",), f"there is no flow named {flow!r}; {_choices(flows)}"))
        if problem := unspoken(self.announce_every, self.announce_language, self.announce_text):
            found.append((("announce_language",), problem))
        if not found:
            self.agent_ids = [*(agents[name] for name in self.agents), *self.agent_ids]
            self.overflow_flow_id = flows.get(flow, self.overflow_flow_id)
        return found

    def row(self) -> dict[str, Any]:
        """The columns."""
        flow_id = self.overflow_flow_id
        return self._columns("agents", "overflow_flow") | {"overflow_flow_id": str(flow_id) if flow_id.int else ""}


class DeclaredConference(_Declared):
    """A conference."""

    timeout: Milliseconds = 0
    max_members: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    announce: Annotated[bool, Field(strict=True)] = True

    def row(self) -> dict[str, Any]:
        """The columns."""
        return self._columns()


def _choices(known: Mapping[str, UUID]) -> str:
    names = sorted(map(printable, known))
    return (
        f"use one of {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
        if names
        else "there are none yet: add one"
    )
