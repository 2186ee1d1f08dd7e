"""How the command line reaches the engine: gRPC over HTTP/2 by its own frames."""
