"""One stage of a build: executes its steps, each of which makes an image or finds it in the cache."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from trine.image import spec
from trine.image.build import instructions as ins
from trine.image.build.accounts import parse_owner
from trine.image.build.apply import ConfigState, apply, command_words, expand_variables
from trine.image.build.build_args import BuildArgs
from trine.image.build.cache import BuildCache, step_key
from trine.image.build.cache_from import TrustedImages
from trine.image.build.context import Context
from trine.image.build.copy import Source, combined_label, copy_into, download_source, find_sources
from trine.image.build.image_json import child_image
from trine.image.build.labels import Sums
from trine.image.build.layer_tree import layer_root
from trine.image.build.options import BuildOptions, Listener, Step
from trine.image.build.run_config import DEFAULT_PATH, RunConfig, from_json
from trine.image.build.scratch import Markers, empty
from trine.image.build.tree import DIRECTORY, Entry
from trine.image.build.writer import ROOT, Writer
from trine.image.models import Image, Snapshot
from trine.image.operation import Operation
from trine.image.store import ImageStore, Lease
from trine.kit.errors import CancelledError, ConflictError, EngineError, NotFoundError

_NEEDS_BUILDKIT = (
    "the --{flag} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ "
    "to learn how to build images with BuildKit enabled"
)


class Images(Protocol):
    """Who knows what ``--from`` names."""

    def source_image(self, name: str) -> Image | None:
        """Return the image, None for a stage without one. Raises EngineError."""


@dataclass
class Workshop:
    """What all stages of a build share."""

    store: ImageStore
    cache: BuildCache
    options: BuildOptions
    context: Context
    operation: Operation
    listener: Listener
    lease: Lease
    trusted: TrustedImages
    used_keys: list[str] = field(default_factory=list)


class StageRun:
    """A stage being built."""

    def __init__(
        self,
        workshop: Workshop,
        name: str,
        base: Image | None,
        arguments: BuildArgs,
        escape: str,
        images: Images,
    ) -> None:
        """Begin at ``base`` (None: scratch)."""
        self.name = name
        self.image = base
        self._workshop = workshop
        self._arguments = arguments
        self._escape = escape
        self._images = images
        self._cache_ended = workshop.options.no_cache
        self._kept: set[str] = set()  # containers the caller keeps, with their snapshots
        config = from_json(base.config.get("config")) if base is not None else RunConfig()
        if "PATH" not in config.variables():
            config.env = [*(config.env or []), f"PATH={DEFAULT_PATH}"]
        config.image = base.id if base is not None else ""
        self._state = ConfigState(config, inherits_health_times=True)
        if base is not None:
            workshop.lease.pin(base.diff_ids)

    def take_triggers(self) -> list[str]:
        """Return the ONBUILD triggers of the base, which the images made here don't have any more."""
        triggers = self._state.config.on_build or []
        self._state.config.on_build = None
        return triggers

    def execute(self, step: ins.Instruction) -> None:
        """Execute one step; ``image`` is its result then. Raises EngineError, InstructionError."""
        step = expand_variables(step, self._variables(), self._escape)
        if isinstance(step, ins.Run):
            self._run(step)
        elif isinstance(step, ins.Copy):
            self._copy(step)
        elif isinstance(step, ins.Workdir):
            self._workdir(step)
        else:
            comment = apply(step, self._state)
            if isinstance(step, ins.Arg):
                for name, default in step.pairs:
                    self._arguments.declare(name, default)
            for note in self._state.notes:
                self._workshop.listener.text(note + "\n")
            self._state.notes.clear()
            self._commit_config(self._nop("#(nop) ", comment))
        self._state.config.image = self.image.id if self.image is not None else ""

    def _variables(self) -> dict[str, str]:
        variables = self._state.config.variables()
        for name, value in self._arguments.allowed().items():
            variables.setdefault(name, value)
        return variables

    def _nop(self, *words: str) -> RunConfig:
        """Return the container config of a step that runs nothing: Docker's "#(nop)" comment."""
        config = self._state.config.copy()
        config.cmd = [*config.shell_words(), *words]
        return config

    # --- cache and images ----------------------------------------------------------------------
    def _key(self, container_config: RunConfig, *contents: str) -> str:
        parent = self.image.id if self.image is not None else ""
        platform = str(spec.parse_platform(self._workshop.options.platform))
        return step_key(parent, container_config.to_json(), platform, contents)

    def _probe(self, key: str, container_config: RunConfig) -> bool:
        """Take the image from the cache if a step with this key made one here, or --cache-from tells."""
        if self._cache_ended:
            return False
        workshop = self._workshop
        found = workshop.cache.find(key)
        if found is not None and workshop.trusted.allows(found.id):
            workshop.used_keys.append(key)
        else:
            found = self._trusted_image(container_config)
        if found is None:
            self._cache_ended = True
            return False
        workshop.listener.text(" ---> Using cache\n")
        workshop.lease.pin(found.diff_ids)
        self.image = found
        return True

    def _trusted_image(self, container_config: RunConfig) -> Image | None:
        """Return the image this step made according to an image named by --cache-from."""
        workshop = self._workshop
        found = workshop.trusted.find(self.image, " ".join(container_config.cmd or []))
        if found is None or found.is_last:
            return found.source if found is not None else None
        document = self._document(container_config, str(found.history.get("created", "")), "", found.diff_id)
        document["history"][-1] = found.history
        return workshop.store.add_image(document, parent=self.image.id if self.image is not None else "")

    def _document(
        self, container_config: RunConfig, created: str, container: str, diff_id: str
    ) -> dict[str, Any]:
        platform = spec.parse_platform(self._workshop.options.platform)
        return child_image(
            self.image.config if self.image is not None else None,
            self._state.config,
            container_config,
            created=created,
            architecture=platform.architecture,
            variant=platform.variant,
            author=self._state.author,
            container=container,
            diff_id="" if diff_id == spec.EMPTY_DIFF_ID else diff_id,
        )

    def _add_image(
        self, key: str, container_config: RunConfig, container: str = "", diff_id: str = ""
    ) -> None:
        workshop = self._workshop
        created = spec.format_time(time.time_ns())
        self.image = workshop.store.add_image(
            self._document(container_config, created, container, diff_id),
            parent=self.image.id if self.image is not None else "",
            built_here=True,
            also=lambda db, image_id: workshop.cache.remember(db, key, image_id),
        )

    def _commit_config(self, container_config: RunConfig) -> None:
        """Make the image of a step that changed only the config."""
        key = self._key(container_config)
        if self._probe(key, container_config):
            return
        container = self._announce_container()
        self._add_image(key, container_config, container)
        self._announce_removal(container)

    def _announce_container(self) -> str:
        container = secrets.token_hex(32)
        self._workshop.listener.text(f" ---> Running in {container[:12]}\n")
        return container

    def _announce_removal(self, container: str) -> None:
        if self._workshop.options.keeps_containers:
            return  # --rm=false; of steps that run nothing there is no container to leave
        self._workshop.listener.text(f"Removing intermediate container {container[:12]}\n")

    @contextmanager
    def _snapshot(self, container: str) -> Iterator[Snapshot]:
        """Give a snapshot over the current image; whatever happens, it is gone afterwards.

        A marker on disk says so to the next start too (scratch.py). Only one the caller made a
        container of is left (``_kept``).
        """
        store = self._workshop.store
        markers = Markers(store.root)
        markers.set(container)
        snapshot: Snapshot | None = None
        try:
            snapshot = self._prepare(container)
            yield snapshot
        except BaseException:
            if container not in self._kept:
                if snapshot is not None:
                    empty(snapshot.upper)  # on a full disk there is no room to note the deletion either
                store.delete_snapshot(container)
            markers.clear(container)
            raise
        markers.clear(container)

    def _prepare(self, container: str) -> Snapshot:
        store = self._workshop.store
        if self.image is None:
            return store.prepare_snapshot(container, diff_ids=())
        try:
            return store.prepare_snapshot(container, self.image.id)
        except NotFoundError:
            # Pruned meanwhile, untagged as it is; its layers are pinned by our lease.
            return store.prepare_snapshot(container, diff_ids=self.image.diff_ids)

    # --- steps that change files ---------------------------------------------------------------
    def _workdir(self, step: ins.Workdir) -> None:
        comment = apply(step, self._state)
        container_config = self._nop(f"#(nop) {comment}")
        key = self._key(container_config)
        if self._probe(key, container_config):
            return
        container = secrets.token_hex(32)
        diff_id = self._make_working_directory(container, self._state.config.working_dir)
        self._workshop.listener.text(f" ---> Running in {container[:12]}\n")
        self._add_image(key, container_config, container, diff_id)
        self._announce_removal(container)

    def _make_working_directory(self, container: str, path: str) -> str:
        """Make WORKDIR's directory if it is missing; return the new layer's diff id, or ""."""
        failure = ConflictError(f"Cannot mkdir: {path} is not a directory")
        with self._snapshot(container) as snapshot:
            writer = Writer(snapshot.upper, snapshot.lower, self._workshop.operation)
            try:
                place = writer.locate(path)
                if place.entry is not None and place.entry.kind != DIRECTORY:
                    raise failure
                if place.entry is not None:
                    self._workshop.store.delete_snapshot(container)
                    return ""
                writer.make_directory(place.path)
            except OSError as error:
                if isinstance(error, NotADirectoryError):
                    raise failure from None
                raise ConflictError(f"mkdir {path}: {error.strerror}") from None
            return self._commit_snapshot(container)

    def _commit_snapshot(self, container: str) -> str:
        workshop = self._workshop
        consume = container not in self._kept
        layer = workshop.store.commit_snapshot(container, workshop.lease, workshop.operation, consume=consume)
        return layer.diff_id

    def _run(self, step: ins.Run) -> None:
        if step.flags:
            raise ConflictError(_NEEDS_BUILDKIT.format(flag=step.flags[0]))
        config = self._state.config
        words = command_words(step, config)
        beside = self._arguments.beside(config.env)
        recorded = sorted(entry for entry in beside if self._arguments.is_recorded(entry))
        saved = [f"|{len(recorded)}", *recorded, *words] if beside else words
        container_config = config.copy()
        container_config.cmd = saved
        if saved:
            container_config.entrypoint = None
        key = self._key(container_config)
        if self._probe(key, container_config):
            return
        run_config = config.copy()
        run_config.env = [*(config.env or []), *beside]
        container = secrets.token_hex(32)
        workshop = self._workshop
        with self._snapshot(container) as snapshot:
            workshop.listener.text(f" ---> Running in {container[:12]}\n")
            argv = words or [*(config.entrypoint or []), *(config.cmd or [])]
            image_id = self.image.id if self.image is not None else ""
            result = workshop.listener.run_step(Step(snapshot, run_config, argv, image_id))
            if result.kept:
                self._kept.add(container)
            if (result.error or result.exit_code) and workshop.options.force_rm:
                workshop.listener.text(f"Removing intermediate container {container[:12]}\n")
            if result.error:
                raise ConflictError(result.error)
            if result.exit_code != 0:
                raise ConflictError(
                    f"The command '{' '.join(argv)}' returned a non-zero code: {result.exit_code}",
                    metadata={"exit_code": str(result.exit_code)},
                )
            diff_id = self._commit_snapshot(container)
        self._add_image(key, container_config, container, diff_id)
        self._announce_removal(container)

    def _copy(self, step: ins.Copy) -> None:
        if step.chmod:
            raise ConflictError(_NEEDS_BUILDKIT.format(flag="chmod"))
        sources = self._sources(step)
        chown = f"--chown={step.chown}" if step.chown else ""
        label = combined_label(sources)
        comment = f"#(nop) {step.command} {chown}{label} in {step.destination} "
        container_config = self._nop(comment)
        key = self._key(container_config, *(source.digest for source in sources))
        if self._probe(key, container_config):
            return
        container = secrets.token_hex(32)
        with self._snapshot(container) as snapshot:
            writer = Writer(snapshot.upper, snapshot.lower, self._workshop.operation)
            owner = parse_owner(step.chown, writer.root) if step.chown else ROOT
            copy_into(writer, sources, step.destination, self._state.config.working_dir, owner)
            diff_id = self._commit_snapshot(container)
        self._add_image(key, container_config, "", diff_id)

    def _sources(self, step: ins.Copy) -> list[Source]:
        """Return all sources of a COPY or ADD. Raises ConflictError."""
        root: Entry = self._workshop.context.root
        if step.source_stage:
            image = self._images.source_image(step.source_stage)
            root = self._image_root(image)
        sums = Sums(root, in_context=not step.source_stage)
        found: list[Source] = []
        try:
            for path in step.sources:
                found += self._source(step, root, path, sums)
        except CancelledError:
            raise
        except EngineError as error:
            raise ConflictError(f"{step.command} failed: {error.message}") from None
        if not found:
            raise ConflictError(f"{step.command} failed: no source files were specified")
        if len(found) > 1 and not step.destination.endswith("/"):
            raise ConflictError(
                f"When using {step.command} with more than one source file, "
                "the destination must be a directory and end with a /"
            )
        return found

    def _source(self, step: ins.Copy, root: Entry, path: str, sums: Sums) -> Sequence[Source]:
        from trine.image.build.download import fetch, is_url

        if not is_url(path):
            return find_sources(
                root, path, sums, in_context=not step.source_stage, may_unpack=step.command == "ADD"
            )
        if step.command == "COPY":
            raise ConflictError("source can't be a URL for COPY")
        download = fetch(path, self._workshop.store.content.tmp, self._workshop.operation)
        self._workshop.listener.text("\n")
        if not download.name:
            if step.destination.endswith("/"):
                raise ConflictError(f"cannot determine filename for source {path}")
            download.name = "__unnamed__"
        return [download_source(download)]

    def _image_root(self, image: Image | None) -> Entry:
        store = self._workshop.store
        diff_ids = image.diff_ids if image is not None else ()
        self._workshop.lease.pin(diff_ids)
        directories = store.layer_directories(diff_ids)
        if not directories:
            from trine.image.build.member import MemberEntry

            return MemberEntry(DIRECTORY, 0o040755)
        return layer_root(directories)
