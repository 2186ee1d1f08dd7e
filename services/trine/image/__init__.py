"""The image store service: names, content, layers, snapshots, registries, builds."""
