"""Flows written in Python: async functions with the actions as methods (`from flows.python import FlowCall, flow`)."""

from flows.python.call import FlowCall
from flows.python.flows import flow

__all__ = ["FlowCall", "flow"]
