"""``trine-oci``: the runtime's code as an OCI runtime command (runtime-spec 1.1), in runc's manners.

Stdlib and ``trine.linux`` only, no gRPC. ``options`` reads the command line, ``state`` keeps what is
known of a container, ``launch`` makes processes, ``child`` is what runs in the container, ``foreground``
waits for it, ``hooks`` runs hooks, ``reports`` prints. See docs/trine-oci.md.
"""
