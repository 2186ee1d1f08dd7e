"""Thin system calls by ctypes: no policy, no logging, standard library only."""
