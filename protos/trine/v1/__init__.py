"""Generated stubs of the API trine.v1 (make protos); nothing here is written by hand."""
