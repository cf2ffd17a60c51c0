"""The language of flows: model, validation, compiler, interpreter, variables."""
