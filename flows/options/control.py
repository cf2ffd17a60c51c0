"""The options of the way through the flow: goto, branch, sleep, variable_set, fetch_flow."""

from collections.abc import Sequence

from pydantic import Field, field_validator

from flows.calls.address import PLACEHOLDER
from flows.language.faults import FieldPath
from flows.language.variables import check_key
from flows.options.model import Options
from flows.options.values import DAY_MS, Reference, VariableName


class SleepOptions(Options):
    """`sleep`: milliseconds."""

    duration: int = Field(ge=0, le=DAY_MS)


class GotoOptions(Options):
    """`goto`: after `loop_count` jumps it falls through once and counts anew; 0 always jumps."""

    target_id: Reference = Field(min_length=1)
    loop_count: int = Field(default=0, ge=0)

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        return ((("target_id",), self.target_id),)

    @property
    def falls_through(self) -> bool:
        return self.loop_count > 0


class BranchOptions(Options):
    """`branch`: goes to the action whose value the variable has; to the default, or on, where none fits."""

    variable: VariableName = "call.digits"
    target_ids: dict[str, Reference] = Field(min_length=1, max_length=1000)
    default_target_id: Reference = ""

    def jumps(self) -> Sequence[tuple[FieldPath, str]]:
        targets: list[tuple[FieldPath, str]] = [(("target_ids", value), id_) for value, id_ in self.target_ids.items()]
        if self.default_target_id:
            targets.append((("default_target_id",), self.default_target_id))
        return targets

    @property
    def falls_through(self) -> bool:
        return not self.default_target_id


class VariableSetOptions(Options):
    """`variable_set`: `${name}` in the value is expanded."""

    key: str = Field(min_length=1, max_length=255)
    value: str | int | float | bool

    @field_validator("key")
    @classmethod
    def _key(cls, key: str) -> str:
        return key if PLACEHOLDER in key else check_key(key)


class FetchFlowOptions(Options):
    """`fetch_flow`: the actions of another flow, run in place."""

    flow_id: Reference = Field(min_length=1)
