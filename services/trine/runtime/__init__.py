"""The runtime service: containers as processes, and the zygote and shims beside it."""
