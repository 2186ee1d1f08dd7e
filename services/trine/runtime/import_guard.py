"""No imports once the host's tree may be out of sight. Lean.

A process that has changed its root would take a module it still lacks from the *container's* tree, and
run what an image put there as root with all capabilities. Preloading avoids it; this makes sure of it.
"""

from __future__ import annotations

import sys


def forbid_imports() -> None:
    """Make every import of a module that is not loaded yet fail, for the rest of this process's life."""
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
