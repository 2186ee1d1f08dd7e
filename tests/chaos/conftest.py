"""An engine for each module: what one test breaks must not surprise another module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.stack import Stack


@pytest.fixture(scope="module")
def module_stack() -> Iterator[Stack]:
    """The engine."""
    with Stack(images=("hello-world", "busybox", "httpd")) as stack:
        yield stack


@pytest.fixture
def stack(module_stack: Stack) -> Iterator[Stack]:
    """The engine, up and empty again after each test."""
    yield module_stack
    if module_stack.trined is None or module_stack.trined.poll() is not None:
        module_stack.start()
    module_stack.wait_until_serving()
    module_stack.remove_all()
