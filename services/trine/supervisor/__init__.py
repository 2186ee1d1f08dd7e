"""The supervisor: starts, watches, restarts and adopts the services; hosts the engine."""
