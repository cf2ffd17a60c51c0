"""`trunkline flow run`: flows tried out without a network."""
