"""Build contexts: which files, in which order, as which tar."""
