"""The caller's keys, and ours: digits_receive, digits_send."""

from flows.language.run import ActionError, Run
from flows.language.variables import VariableError
from flows.options import DigitsReceiveOptions, DigitsSendOptions

DIGITS = "call.digits"


async def digits_receive(run: Run, option: DigitsReceiveOptions) -> None:
    """Appends what is pressed to `call.digits`. Keys that were pressed before, during a prompt, count: they come first
    and take no time."""
    await receive(run, option)


async def receive(run: Run, option: DigitsReceiveOptions) -> str:
    """`digits_receive`; what came now."""
    clock = run.env.clock
    await run.call.listen()
    until = clock() + option.duration / 1000
    received = ""
    while not option.length or len(received) < option.length:
        key = await run.call.key(max(0.0, until - clock()))
        if not key or key in option.key:
            break
        received += key
        # At once, so that what has been pressed is not lost with the call: what completes the flow may want it.
        try:
            run.variables.set(DIGITS, run.variables.get(DIGITS) + key)
        except VariableError as error:
            raise ActionError(str(error)) from None
    return received


async def digits_send(run: Run, option: DigitsSendOptions) -> None:
    """Presses keys for the caller."""
    await run.call.send_keys(option.digits, option.duration / 1000, option.interval / 1000)
