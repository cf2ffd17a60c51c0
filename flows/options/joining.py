"""The options of what a call joins: a queue, a conference."""

from pydantic import Field

from flows.options.model import Options
from flows.options.values import Reference


class QueueJoinOptions(Options):
    """`queue_join`: a queue's id, or its name where it belongs to whom the call does."""

    queue_id: Reference = Field(min_length=1)


class ConferenceJoinOptions(Options):
    """`conference_join`: a conference's id, or its name where it belongs to whom the call does."""

    conference_id: Reference = Field(min_length=1)
