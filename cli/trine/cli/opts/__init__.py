"""Values of flags: pure parsers with the texts Docker refuses with."""
