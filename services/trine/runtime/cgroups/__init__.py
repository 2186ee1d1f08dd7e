"""Control groups (cgroups(7)), version 1, 2 and hybrid: limits, membership, freezing, figures.

Stdlib and ``trine.linux`` only: a shim may import all of it. ``layout`` tells what is mounted,
``plan`` decides what to write (pure), ``group`` writes, ``figures`` reads, ``limits`` judges requests.
"""
