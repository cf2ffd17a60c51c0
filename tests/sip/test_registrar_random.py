"""Any sequence of REGISTERs leaves what a plain model of RFC 3261 §10.3 and RFC 5626 §6 says."""

from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from engine.sip.flow import Flow
from tests.simulation.stage import PEER
from tests.sip.test_registrar import TCP, UDP, Registry, contacts

MOST = 3


class Sent(NamedTuple):
    """One REGISTER of one Contact. `device`: "" for none; `cseq`: of its Call-ID."""

    host: int
    device: str
    reg_id: int
    expires: int
    call_id: str
    cseq: int
    outbound: bool
    stream: bool
    pause: float


@dataclass
class Bound:
    """What the model keeps of one."""

    host: int
    device: str
    reg_id: int
    call_id: str
    cseq: int
    until: float

    def is_of(self, sent: Sent, reg_id: int) -> bool:
        if self.device and sent.device:
            return self.device == sent.device and (not reg_id or self.reg_id in (reg_id, 0))
        return self.host == sent.host


SENT = st.builds(
    Sent,
    host=st.integers(1, 4),
    device=st.sampled_from(["", "", "a", "b"]),
    reg_id=st.integers(0, 2),
    expires=st.sampled_from([0, 30, 60, 600, 3600, 99999]),
    call_id=st.sampled_from(["x", "y"]),
    cseq=st.integers(1, 8),
    outbound=st.booleans(),
    stream=st.booleans(),
    pause=st.sampled_from([0.0, 0.0, 1.0, 59.0, 600.0]),
)


@given(st.lists(SENT, max_size=25))
def test_what_is_bound_is_what_the_model_says(steps: list[Sent]) -> None:
    registry = Registry(max_contacts=MOST)
    model: list[Bound] = []
    for sent in steps:
        registry.now += sent.pause
        model = [bound for bound in model if bound.until > registry.now]
        reg_id = sent.reg_id if sent.outbound and sent.device else 0
        status, after = judged(model, sent, reg_id, registry.now)
        contact = f"<sip:alice@h{sent.host}>;expires={sent.expires}"
        contact += f";reg-id={sent.reg_id}" if sent.reg_id else ""
        contact += f';+sip.instance="<{sent.device}>"' if sent.device else ""
        outcome = registry.send(
            contact,
            headers="Supported: outbound\r\n" if sent.outbound else "",
            call_id=sent.call_id,
            cseq=sent.cseq,
            flow=Flow(TCP if sent.stream else UDP, PEER, 5060),  # type: ignore[arg-type]
        )
        assert outcome.status == status
        model = after
        found = [
            (int(one.uri[-1]), one.instance.strip("<>"), one.reg_id, one.call_id, one.cseq, one.expires_at)
            for one in registry.bindings
        ]
        assert sorted(found) == sorted(
            (bound.host, bound.device, bound.reg_id, bound.call_id, bound.cseq, bound.until) for bound in model
        )
        if status == 200:
            assert len(contacts(outcome)) == len(model)
            assert len({binding.id for binding in registry.bindings}) == len(model)


def judged(model: list[Bound], sent: Sent, reg_id: int, now: float) -> tuple[int, list[Bound]]:
    """The answer, and what is bound after it."""
    if 0 < sent.expires < 60:
        return 423, model
    old = [bound for bound in model if bound.is_of(sent, reg_id)]
    if any(bound.call_id == sent.call_id and sent.cseq <= bound.cseq for bound in old):
        return 500, model
    after = [bound for bound in model if bound not in old]
    if sent.expires:
        until = now + min(sent.expires, 7200)
        after.append(Bound(sent.host, sent.device, reg_id, sent.call_id, sent.cseq, until))
    return (200, after) if old or len(after) <= MOST or not sent.expires else (403, model)
