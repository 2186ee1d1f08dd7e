"""Layers: unpacking a tar below a directory, and packing a directory's changes."""
