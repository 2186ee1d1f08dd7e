"""Tools for people who work on Trine: stubs, images, a registry, a stack to play with."""
