"""The transport against the real gRPC implementation: every kind of call, errors, flow control."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from trine.cli.client import Client, DaemonError
from trine.cli.failure import UnreachableError
from trine.cli.transport import hpack, huffman

MEGABYTE = 1024 * 1024


def test_unary_call_with_nested_messages_maps_enums_and_negative_numbers(client: Client) -> None:
    rows = client.call("ContainerService.ListContainers", {"limit": 3, "filters": ["a=b"]}).containers
    assert [row.name for row in rows] == ["name-0", "name-1", "name-2"]
    assert rows[1].id == f"{1:064x}"
    assert rows[0].state.status == "CONTAINER_STATUS_EXITED"
    assert rows[0].state.exit_code == -1
    assert rows[0].labels == {"k": "v" * 10}
    assert rows[0].ports[0].host_port == 8080


def test_answer_of_many_frames(client: Client) -> None:
    rows = client.call("ContainerService.ListContainers", {"limit": 20000}).containers
    assert len(rows) == 20000
    assert rows[-1].name == "name-19999"


def test_error_carries_reason_and_metadata(client: Client) -> None:
    with pytest.raises(DaemonError) as caught:
        client.call("ContainerService.GetContainer", {"container": "x"})
    assert caught.value.code == "NOT_FOUND"
    assert caught.value.reason == "NO_SUCH_CONTAINER"
    assert str(caught.value) == "Error response from daemon: No such container: x"


def test_error_with_unicode_percent_newline_and_long_metadata(client: Client) -> None:
    with pytest.raises(DaemonError) as caught:
        client.call("ContainerService.GetContainer", {"container": "böse\nzeile"})
    assert caught.value.daemon_message == "100% wahr: ünicode\nzwei"
    assert caught.value.metadata == {"a": "ß" * 400}
    assert client.call("SystemService.GetVersion").version == "9.9"  # the header table is still in step


def test_unknown_method_is_an_error_not_a_hang(client: Client) -> None:
    with pytest.raises(DaemonError) as caught:
        client.call("ContainerService.GetExec", {"exec_id": "x"})
    assert caught.value.code == "UNIMPLEMENTED"


def test_stream_larger_than_every_window(client: Client) -> None:
    total = 0
    for at, answer in enumerate(client.start("ImageService.SaveImages", {"names": ["60", str(MEGABYTE)]})):
        assert answer.chunk == bytes([at % 251]) * MEGABYTE
        total += len(answer.chunk)
    assert total == 60 * MEGABYTE


def test_message_larger_than_the_window(client: Client) -> None:
    answers = list(client.start("ImageService.SaveImages", {"names": ["2", str(15 * MEGABYTE)]}))
    assert [len(answer.chunk) for answer in answers] == [15 * MEGABYTE] * 2


def test_unread_stream_does_not_stop_others_nor_grow(client: Client) -> None:
    slow = client.start("ImageService.SaveImages", {"names": ["200", str(MEGABYTE)]})
    assert slow.receive() is not None
    for _ in range(20):
        assert client.call("SystemService.GetVersion").version == "9.9"
    waiting = sum(len(message) for message in slow.stream._messages)
    assert waiting <= 8 * MEGABYTE
    assert sum(1 for _ in slow) == 199


def test_stream_that_fails_after_messages(client: Client) -> None:
    got = []
    with pytest.raises(DaemonError) as caught:
        for answer in client.start("ImageService.SaveImages", {"names": ["3", "10", "fail"]}):
            got.append(answer)
    assert len(got) == 3
    assert caught.value.code == "DATA_LOSS"


def test_client_stream_of_much_data(client: Client) -> None:
    call = client.start("ImageService.ImportImage")
    call.send({"options": {"reference": "a:b"}})
    for _ in range(40):
        assert call.send({"chunk": b"x" * MEGABYTE})
    call.finish()
    assert call.result().image_id == str(40 * MEGABYTE)


def test_two_way_stream(client: Client) -> None:
    call = client.start("ImageService.LoadImages")
    for at in range(1, 30):
        call.send({"chunk": b"y" * 100_000})
        answer = call.receive()
        assert answer is not None and answer.line == str(at * 100_000)
    call.finish()
    assert call.receive() is None


def test_server_that_ends_a_call_early_is_heard_while_sending(client: Client) -> None:
    call = client.start("ImageService.LoadImages")
    call.send({"chunk": b"stop"})
    for _ in range(64):
        if not call.send({"chunk": b"z" * MEGABYTE}):
            break
    with pytest.raises(DaemonError) as caught:
        while call.receive() is not None:
            pass
    assert caught.value.code == "INVALID_ARGUMENT"
    assert client.call("SystemService.GetVersion").version == "9.9"


def test_hundred_streams_at_once(client: Client) -> None:
    calls = [client.start("ContainerService.KillContainer", {"container": str(at)}) for at in range(100)]
    watches = [client.start("SystemService.WatchEvents", {}) for _ in range(100)]
    for call in calls:
        call.result()
    for watch in watches:
        answer = watch.receive()
        assert answer is not None and answer.action == "start"
        watch.cancel()
    assert client.call("SystemService.GetVersion").version == "9.9"


def test_cancel_reaches_the_server(client: Client) -> None:
    before = int(client.call("ImageService.ListImages", {}).images[0].id)
    call = client.start("ImageService.SaveImages", {"names": ["1000", str(MEGABYTE)]})
    call.receive()
    call.cancel()
    for _ in range(100):
        if int(client.call("ImageService.ListImages", {}).images[0].id) > before:
            break
    else:
        pytest.fail("the server never saw the cancellation")


def test_deadline_of_the_call_is_sent(client: Client) -> None:
    with pytest.raises(DaemonError) as caught:
        client.start("ContainerService.GetContainer", {"container": "slow"}, timeout=0.2).result()
    assert caught.value.code in ("DEADLINE_EXCEEDED", "CANCELLED")


def test_receive_times_out(client: Client) -> None:
    watch = client.start("SystemService.WatchEvents", {})
    watch.receive()
    with pytest.raises(TimeoutError):
        watch.receive(0.05)
    watch.cancel()


def test_no_daemon() -> None:
    with pytest.raises(UnreachableError) as caught:
        Client("unix:///nowhere/trine.sock").call("SystemService.GetVersion")
    assert str(caught.value) == (
        "Cannot connect to the Trine daemon at unix:///nowhere/trine.sock. Is the trine daemon running?"
    )


def test_huffman_of_rfc_7541() -> None:
    assert huffman.decode(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff")) == b"www.example.com"  # C.4.1
    assert huffman.decode(bytes.fromhex("25a849e95bb8e8b4bf")) == b"custom-value"  # C.4.3
    with pytest.raises(ValueError, match="padding"):
        huffman.decode(b"\xf1\x00")
    with pytest.raises(ValueError, match="end of string"):
        huffman.decode(b"\xff\xff\xff\xff")


def test_decoder_with_the_examples_of_rfc_7541() -> None:
    decoder = hpack.Decoder()
    first = decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))  # C.4.1
    assert first[-1] == (":authority", "www.example.com")
    second = decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))  # C.4.2
    assert second[-1] == ("cache-control", "no-cache")
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third[-1] == ("custom-key", "custom-value")


def test_decoder_evicts_and_shrinks() -> None:
    decoder = hpack.Decoder(maximum_table_size=256)
    blocks = [  # C.5: responses with a table of 256 octets
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
    ]
    for block in blocks:
        headers = decoder.decode(bytes.fromhex(block))
    assert headers[0] == (":status", "307")
    assert headers[3] == ("location", "https://www.example.com")
    assert decoder.decode(b"\x20") == []  # size 0 empties it
    with pytest.raises(ValueError, match="out of the table"):
        decoder.decode(b"\xbe")
    with pytest.raises(ValueError, match="larger than allowed"):
        decoder.decode(b"\x3f\xe2\x1f")


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 300, 16383, 16384, 70000])
def test_encoder_and_decoder_agree(length: int) -> None:
    headers = [(":path", "/" + "p" * length), ("te", "trailers"), ("x" * (length % 200 + 1), "v" * length)]
    assert hpack.Decoder().decode(hpack.encode(headers)) == headers


def test_a_daemon_that_never_says_a_word_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was stopped (SIGSTOP): the kernel accepts for it, and nobody answers."""
    monkeypatch.setattr("trine.cli.transport.http2.HELLO_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen(1)
        with pytest.raises(UnreachableError, match="the daemon does not answer"):
            Client(f"unix://{tmp_path}/s").call("SystemService.GetVersion")
        monkeypatch.setattr("trine.cli.transport.connect._CONNECT_SECONDS", 0.2)
        queue = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for waiting in queue:
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(f"{tmp_path}/s")
        with pytest.raises(UnreachableError, match="Cannot connect to the Trine daemon"):
            Client(f"unix://{tmp_path}/s").call("SystemService.GetVersion")
        for waiting in queue:
            waiting.close()
