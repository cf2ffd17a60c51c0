"""Telephone numbers: normal forms, numbering plans, and the life of a number."""
