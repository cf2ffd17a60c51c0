"""The name under which version 0.1 had `flows.python`: modules of users that import from here go on working."""

from flows.python import FlowCall, flow

__all__ = ["FlowCall", "flow"]
