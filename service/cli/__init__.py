"""The command line: `trunkline`, one file a command."""
