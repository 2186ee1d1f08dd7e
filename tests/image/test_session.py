"""Which scheme an insecure registry speaks, found out by several threads at once."""

from __future__ import annotations

from trine.image.endpoints import Endpoint, RegistrySettings
from trine.image.operation import Operation
from trine.image.session import Session

HOST = "127.0.0.1:5000"


def _session(settings: RegistrySettings) -> Session:
    endpoint = Endpoint((f"https://{HOST}", f"http://{HOST}"), insecure=True)
    return Session(endpoint, "x", None, Operation(), settings, "pull,push")


def test_every_upload_that_met_https_goes_on_to_http() -> None:
    """The second to fail used to end the push: the first had moved the session on already."""
    session = _session(RegistrySettings())
    failed = f"https://{HOST}/v2/x/blobs/y"
    assert session.use_next_url(failed)
    assert session.url == f"http://{HOST}"
    assert session.use_next_url(failed)
    assert session.url == f"http://{HOST}"
    assert not session.use_next_url(f"http://{HOST}/v2/x/blobs/y"), "both were tried"


def test_what_an_earlier_operation_found_out_is_tried_first_and_then_doubted() -> None:
    settings = RegistrySettings()
    first = _session(settings)
    assert first.use_next_url(f"https://{HOST}/v2/")
    first.works()
    second = _session(settings)
    assert second.url == f"http://{HOST}"
    assert not second.use_next_url(f"http://{HOST}/v2/")
    assert _session(settings).url == f"https://{HOST}"
