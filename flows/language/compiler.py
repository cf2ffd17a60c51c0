"""The compiler: from a checked flow to the program that runs, once, when the flow is loaded."""

from flows.language.model import Flow
from flows.language.program import Program, Step
from flows.language.variables import has_reference


def compile_flow(flow: Flow) -> Program:
    """The program of a flow, with the actions that it was read with. It has been validated by being made, so nothing
    can fail here."""
    places = {action.id: index for index, action in enumerate(flow.actions)}
    steps = []
    for index, action in enumerate(flow.actions):
        kind = flow.types[index]
        # The actions within a `call` are expanded when they run, with the variables of that call.
        source = {key: value for key, value in action.option.items() if key != "actions"}
        if "variable" in source:
            source["variable"] = getattr(flow.options[index], "variable", "")  # `${name}` here means the name
        inline = flow.inline.get(index)
        steps.append(
            Step(
                id=action.id,
                type=action.type,
                function=kind.function,
                option=flow.options[index],
                following=places[action.next_id] if action.next_id else index + 1,
                waits=kind.waits,
                source=source if has_reference(source) else None,
                inline=compile_flow(inline) if inline else None,
                connects=kind.connects,
                on_messages="message" in kind.media,
            )
        )
    program = Program(
        id=str(flow.id),
        name=flow.name,
        steps=steps,
        places=places,
        on_complete=flow.on_complete_flow_id,
        media=flow.media,
    )
    program.belongs_to(flow.customer_id)
    return program
