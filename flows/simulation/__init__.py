"""A caller, rooms and sounds that are only played, in simulated time."""
