"""The normaliser takes out what may differ and nothing else."""

from __future__ import annotations

import pytest

from conformance import harness


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("0123456789ab", "<ID12>"),
        ("sha256:" + "a" * 64, "sha256:<ID>"),
        ("Exited (3) About a minute ago", "Exited (3) <AGO>"),
        ("Up Less than a second", "Up <SPAN>"),
        ("Up 3 minutes (healthy)", "Up <SPAN> (healthy)"),
        ("2026-11-24T05:00:00.123456Z", "<TIME>"),
        ("172.17.0.1", "172.17.0.1"),
        ("172.17.0.12/16", "<IP>/16"),
        ("172.19.0.1", "172.N.0.1"),
        ("02:42:ac:11:00:02", "<MAC>"),
        ("4.21MB", "<SIZE>"),
        ("A=1 B=2", "A=1 B=2"),
        ("exit 12", "exit 12"),
        ("0.0.0.0:49153->80/tcp", "0.0.0.0:<PORT>->80/tcp"),
        ("a      b", "a  b"),
    ],
)
def test_normalises(raw: str, wanted: str) -> None:
    assert harness.normalise(raw) == wanted + "\n"


def test_steps_of_a_pull_that_depend_on_time_are_left_out() -> None:
    text = "! 0123456789ab: Pulling fs layer\n! 0123456789ab: Waiting\n! 0123456789ab: Pull complete\n"
    assert harness.normalise(text) == "! <ID12>: Pull complete\n"


def test_docker_words_become_ours_but_files_keep_their_names() -> None:
    text = "docker: 'docker run' Docker daemon Dockerfile docker.io .dockerignore docker0\n"
    assert (
        harness.normalise(text, harness.DOCKER_WORDS)
        == "trine: 'trine run' Trine daemon Dockerfile docker.io .dockerignore trine0\n"
    )
