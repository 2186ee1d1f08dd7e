"""A daemon on tcp: mutual TLS with a real gRPC server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRINE = str(Path(sys.executable).parent / "trine")


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """An authority, and one certificate for server and client."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        folder,
        "req",
        "-x509",
        *key,
        "-keyout",
        "ca-key.pem",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=ca",
        "-days",
        "2",
    )
    openssl(folder, "req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=trine")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    signing = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl(folder, "x509", "-req", "-in", "request.pem", *signing, "-out", "cert.pem")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def address(certificates: Path) -> Iterator[str]:
    socket = certificates / "e.sock"
    process = subprocess.Popen(
        [sys.executable, str(HERE / "fake_engine.py"), str(socket), str(certificates)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    word, port = process.stdout.readline().split()
    assert word == "ready"
    yield f"tcp://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def trine(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRINE_")}
    return subprocess.run(
        [TRINE, *words], env={**kept, **environment}, capture_output=True, text=True, timeout=30
    )


def files(folder: Path) -> list[str]:
    return [f"--tlscacert={folder}/ca.pem", f"--tlscert={folder}/cert.pem", f"--tlskey={folder}/key.pem"]


def test_verified(address: str, certificates: Path) -> None:
    done = trine("-H", address, "--tlsverify", *files(certificates), "ps", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "000000000000\n" * 2, "")


def test_by_the_environment(address: str, certificates: Path) -> None:
    done = trine("ps", "-q", TRINE_HOST=address, TRINE_TLS_VERIFY="1", TRINE_CERT_PATH=str(certificates))
    assert (done.returncode, done.stderr) == (0, "")


def test_large_answers(address: str, certificates: Path) -> None:
    done = trine("-H", address, "--tls", *files(certificates), "save", "4", str(1024 * 1024))
    assert done.returncode == 0
    assert len(done.stdout) == 4 * 1024 * 1024


def test_server_of_another_authority(address: str, certificates: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    done = trine("-H", address, "--tlsverify", *files(tmp_path), "ps")
    assert done.returncode == 1
    assert done.stderr.startswith("error during connect: tls: ")
    assert done.stderr.count("\n") == 1


def test_without_tls(address: str) -> None:
    done = trine("-H", address, "ps")
    assert (done.returncode, done.stderr) == (
        1,
        f"{address}: a daemon on tcp is only reached with --tls or --tlsverify\n",
    )


def test_missing_files(address: str) -> None:
    done = trine("-H", address, "--tlsverify", "--tlscacert=/nope", "ps")
    assert done.returncode == 1
    assert done.stderr == "failed to retrieve context tls info: open /nope: no such file or directory\n"
