"""The options of what dials: connect, and calls of their own."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flows.calls.address import Address
from flows.options.model import Options
from flows.options.values import Reference
from routing.hunt.identity import Anonymous


class ConnectOptions(Options):
    """`connect`: who is dialled, how, for how long (`ring_timeout` seconds; 0 leaves it to the provider)."""

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=20)
    ring_method: Literal["ring_all", "linear"] = "ring_all"
    ring_timeout: int = Field(default=0, ge=0, le=3600)
    early_media: bool = True
    relay_reason: bool = False
    anonymous: Anonymous = "auto"


class CallOptions(Options):
    """`call`: calls of their own; `flow_id` or `actions` run on each when it is answered."""

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=20)
    flow_id: Reference = ""
    actions: list[Any] = Field(default=[], max_length=1000)
    chained: bool = False
    anonymous: Anonymous = "auto"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.flow_id and self.actions:
            raise ValueError("flow_id and actions are both given; keep one of them")
        return self
