"""Telephone numbers: normal forms, numbering plans, and how they are written in a Request-URI."""
