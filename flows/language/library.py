"""The library of flows: programs by id and by name, compiled once; changed one by one, or replaced as a whole.

A name belongs to the platform: flows of the configuration file and flows in Python are found by name and by id. Flows
of customers are found by id alone, as two customers may both have a flow called "welcome".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from flows.faults import Fault, FlowError
from flows.language.compiler import compile_flow
from flows.language.model import Flow, read_flow
from flows.language.program import Medium, Program
from flows.language.registry import Actions


class FlowLibrary:
    """Programs by the id (UUID or text) or, where the platform owns them, the name of their flow.

    Looking up needs no lock: each finds a flow as it was before a change or after it. Only one thread may change it.
    How many flows there may be is for the store to say.
    """

    # One table for every key, so that a whole library is put in place by one assignment. A UUID stands in it by its
    # integer, as its own hash is computed in Python.
    __slots__ = ("_programs", "_types")

    def __init__(self, types: Actions, flows: Iterable[Flow] = (), python: Mapping[str, Program] | None = None) -> None:
        """`types` are the actions that `compile` knows (`flows.actions.ACTIONS`); `python` are flows in Python, by
        their names."""
        self._types = types
        self._programs: dict[int | str, Program] = {}
        for program in (python or {}).values():
            self._put(program)
        for flow in flows:
            self.put(flow)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Program]:
        """Every program once, as they are now."""
        return iter([program for key, program in list(self._programs.items()) if isinstance(key, int)])

    def find(self, reference: object, customer_id: UUID | None = None) -> Program | None:
        """The program, None where there is none.

        customer_id: Whose call asks. The flows of other customers then do not exist. None: any flow is found by its id.
        """
        program = self._programs.get(reference.int if isinstance(reference, UUID) else str(reference))
        if program is None or customer_id is None or not program.customer_id or not program.customer_id.int:
            return program
        return program if program.customer_id.int == customer_id.int else None

    def compile(self, actions: list[Any], medium: Medium, title: str) -> Program:
        """The program of actions that come from elsewhere, and are not kept. Raises FlowError, which calls them
        `title`."""
        return compile_flow(read_flow({"actions": actions}, self._types, medium=medium, title=title))

    def put(self, flow: Flow) -> Program:
        """Add a flow, or change the one with its id. Runs that have begun go on with what they have.

        A name that another flow has stays with that one; this flow is then found by its id.
        """
        return self._put(compile_flow(flow))

    def remove(self, flow_id: UUID) -> bool:
        """Take a flow out by its id. False when there is none. Runs that have begun go on with what they have."""
        programs = self._programs
        program = programs.pop(flow_id.int, None)
        if program is None:
            return False
        programs.pop(program.id, None)
        self._forget_name(program)
        return True

    def replace(self, other: "FlowLibrary") -> None:
        """Takes over another library's flows, all at once; the other is not to be used any more. Runs that have begun
        go on with what they have."""
        self._programs = other._programs

    def _put(self, program: Program) -> Program:
        programs = self._programs
        before = programs.get(UUID(program.id).int)
        programs[UUID(program.id).int] = program
        programs[program.id] = program
        name = _public_name(program)
        if name:
            holder = programs.get(name)
            if holder is None or holder is before:
                programs[name] = program
        if before is not None and _public_name(before) != name:
            self._forget_name(before)
        return program

    def _forget_name(self, program: Program) -> None:
        if self._programs.get(program.name) is program and program.name != program.id:
            del self._programs[program.name]


def _public_name(program: Program) -> str:
    """The name by which everybody finds it; "" for a customer's flow."""
    return "" if program.customer_id and program.customer_id.int else program.name


def read_library(
    types: Actions,
    documents: Iterable[object],
    python: Mapping[str, Program] | None = None,
    *,
    check_references: bool = True,
) -> FlowLibrary:
    """Reads every flow of a configuration, which may refer to one another. Raises FlowError with the faults of all."""
    listed = list(documents)
    taken = set(python or ())
    known = taken | {program.id for program in (python or {}).values()}
    for document in listed:
        if isinstance(document, Mapping):
            known.update(str(document[key]) for key in ("name", "id") if document.get(key))
    flows: list[Flow] = []
    faults: list[Fault] = []
    for index, document in enumerate(listed):
        try:
            flow = read_flow(document, types, flows=known if check_references else None, title=f"number {index + 1}")
        except FlowError as error:
            faults += error.faults
            continue
        names = {flow.name or str(flow.id), str(flow.id)}
        if names & taken:
            problem = "another flow has this name or id; give each its own"
            faults.append(Fault(flow.title, None, "", "", ("name",), problem))
        taken.update(names)
        flows.append(flow)
    if faults:
        raise FlowError(faults)
    return FlowLibrary(types, flows, python)
