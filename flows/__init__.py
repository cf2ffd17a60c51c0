"""What happens to a call: flows as data and as Python, the interpreter that runs them, and calls of our own making."""
