"""The flows that can be run: by id and by name, compiled once; replaced as a whole when the configuration changes."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from flows.compiler import compile_flow
from flows.faults import Fault, FlowError
from flows.model import Flow, read_flow
from flows.program import Program
from flows.python_flows import PythonFlow, compile_python


class FlowLibrary:
    """Programs by the id (UUID or text) or the name of their flow."""

    __slots__ = ("_by_id", "_by_text")

    def __init__(self, flows: Iterable[Flow] = (), python: Mapping[str, PythonFlow] | None = None) -> None:
        self._by_id: dict[int, Program] = {}
        self._by_text: dict[str, Program] = {}
        for name, function in (python or {}).items():
            self._put(compile_python(name, function))
        for flow in flows:
            self._put(compile_flow(flow))

    def _put(self, program: Program) -> None:
        self._by_id[UUID(program.id).int] = program
        self._by_text[program.id] = program
        if program.name:
            self._by_text[program.name] = program

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, reference: object) -> Program | None:
        """The program, None where there is none."""
        if isinstance(reference, UUID):
            # By its integer: a UUID's own hash is computed in Python.
            return self._by_id.get(reference.int)
        return self._by_text.get(str(reference))

    def replace(self, other: "FlowLibrary") -> None:
        """Takes over another library's flows, all at once. Runs that have begun go on with what they have."""
        self._by_id, self._by_text = other._by_id, other._by_text


def read_library(
    documents: Iterable[object], python: Mapping[str, PythonFlow] | None = None, *, check_references: bool = True
) -> FlowLibrary:
    """Reads every flow of a configuration, which may refer to one another. Raises FlowError with the faults of all."""
    listed = list(documents)
    known = set(python or ())
    known.update(compile_python(name, function).id for name, function in (python or {}).items())
    for document in listed:
        if isinstance(document, Mapping):
            known.update(str(document[key]) for key in ("name", "id") if document.get(key))
    flows: list[Flow] = []
    faults: list[Fault] = []
    taken = set(python or ())
    for index, document in enumerate(listed):
        try:
            flow = read_flow(document, flows=known if check_references else None, title=f"number {index + 1}")
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
    return FlowLibrary(flows, python)
