"""Benchmarks: ours against the peer, one file per subject, each run as `python -m benchmarks.NAME`.

Every benchmark first shows that both give the same numbers, then how long they take.
"""
