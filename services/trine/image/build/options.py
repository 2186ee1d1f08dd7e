"""What a build is asked for, and what it says meanwhile: no grpc in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trine.image.build.run_config import RunConfig
from trine.image.models import Credentials, LayerStatus, Snapshot


@dataclass(frozen=True)
class BuildOptions:
    """The flags of ``trine build``."""

    dockerfile: str = ""
    dockerfile_content: bytes | None = None  # given beside the context (-f -)
    tags: Sequence[str] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    pull: bool = False
    unset_build_args: Sequence[str] = ()  # named without a value, and none where the client runs
    keeps_containers: bool = False  # --rm=false
    force_rm: bool = False
    quiet: bool = False
    platform: str = ""
    cache_from: Sequence[str] = ()
    credentials: Mapping[str, Credentials] = field(default_factory=dict)  # by registry host
    squash: bool = False


@dataclass(frozen=True)
class Step:
    """A RUN step for the caller to execute."""

    snapshot: Snapshot  # key: the container's id
    config: RunConfig  # user, env, working_dir
    arguments: Sequence[str]
    image_id: str  # "" over nothing


@dataclass(frozen=True)
class StepResult:
    """How a RUN step ended."""

    exit_code: int
    error: str = ""  # it could not run at all
    kept: bool = False  # its container stays, and the snapshot is the caller's now


class Listener(Protocol):
    """Where a build speaks to. Called from the build's thread."""

    def text(self, text: str) -> None:
        """Show text, newlines included."""

    def layer(self, status: LayerStatus) -> None:
        """Show progress of a base image's pull."""

    def run_step(self, step: Step) -> StepResult:
        """Have a step executed; blocks. Raises CancelledError when the caller goes away."""
