"""Benchmarks: the same SIPp scenarios against Trunkline, Kamailio and Sippy (`python -m benchmarks --help`)."""
