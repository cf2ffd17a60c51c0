"""Sequential routing of outgoing calls: the plan, the attempts, failover, health, and their explanation."""
