"""The coordinator: container records and the use cases that span the services."""
