"""A build from Dockerfile to image: stages, steps, their output, and undoing what fails.

Output and order are those of dockerd 20.10's classic builder. Runs in a thread of its own; all
that waits does so through the operation, so a caller that goes away ends it.
"""

from __future__ import annotations

import sqlite3

from trine.image import reference, spec
from trine.image.build.apply import expand_variables
from trine.image.build.build_args import BuildArgs
from trine.image.build.cache import BuildCache
from trine.image.build.cache_from import TrustedImages
from trine.image.build.context import Context
from trine.image.build.dockerfile import DockerfileError, parse
from trine.image.build.instructions import (
    Arg,
    InstructionError,
    Program,
    Stage,
    label_instruction,
    read_instruction,
    read_program,
)
from trine.image.build.options import BuildOptions, Listener
from trine.image.build.shell_words import ExpansionError, expand
from trine.image.build.stage import StageRun, Workshop
from trine.image.models import Image, LayerStatus, Line
from trine.image.operation import Operation
from trine.image.pull import pull_one
from trine.image.store import ImageStore, Lease
from trine.kit.errors import CancelledError, ConflictError, EngineError, InvalidArgumentError, NotFoundError

_DOCKERFILE_LIMIT = 16 << 20
FAILED = "BUILD_FAILED"


def read_dockerfile(options: BuildOptions, context: Context) -> Program:
    """Return the program to run. Raises InvalidArgumentError for what is wrong before any step."""
    name = options.dockerfile or "Dockerfile"
    content = options.dockerfile_content
    if content is None:
        content = context.read(name, _DOCKERFILE_LIMIT)
        if content is None:
            raise InvalidArgumentError(f"Cannot locate specified Dockerfile: {name}", reason="NO_DOCKERFILE")
    if not content:
        raise InvalidArgumentError(f"the Dockerfile ({name}) cannot be empty", reason="INVALID_DOCKERFILE")
    try:
        parsed = parse(content)
    except DockerfileError as error:
        raise InvalidArgumentError(
            f"failed to parse Dockerfile: {error}", reason="INVALID_DOCKERFILE"
        ) from None
    try:
        program = read_program(parsed)
        if options.target:
            program = program.up_to(options.target)
    except InstructionError as error:
        raise InvalidArgumentError(str(error), reason="INVALID_DOCKERFILE") from None
    if program.stages:
        for key in sorted(options.labels):
            program.stages[-1].instructions.append(label_instruction(key, options.labels[key]))
    return program


def _failed(message: str, exit_code: str = "1") -> ConflictError:
    """Return the error of a build that had begun; names of files may be no text, a message must be."""
    text = message.encode("utf-8", "replace").decode()
    return ConflictError(text, reason=FAILED, metadata={"exit_code": exit_code})


class Build:
    """One build. ``run`` may be called once."""

    def __init__(
        self,
        store: ImageStore,
        cache: BuildCache,
        options: BuildOptions,
        context: Context,
        operation: Operation,
        listener: Listener,
    ) -> None:
        """``context`` is complete; nothing happens before ``run``."""
        self._store = store
        self._cache = cache
        self._options = options
        self._context = context
        self._operation = operation
        self._listener = listener
        self._results: list[StageRun] = []
        self._number = 0

    def run(self) -> Image:
        """Build; return the image. Raises EngineError; reason BUILD_FAILED once steps have begun."""
        tags = [str(reference.parse_tagged(tag)) for tag in self._options.tags]
        if self._options.platform:
            spec.parse_platform(self._options.platform)
        program = read_dockerfile(self._options, self._context)
        self._context.apply_ignore_file()
        try:
            with self._store.lease() as lease:
                image = self._run_program(program, lease)
                for tag in tags:
                    self._store.tag(image.id, tag)
        except CancelledError:
            raise
        except (InstructionError, ExpansionError) as error:
            raise _failed(str(error)) from None
        except RecursionError:
            raise _failed("directories are nested too deeply") from None
        except sqlite3.OperationalError as error:
            text = "no space left on device" if "full" in str(error) else str(error)
            raise _failed(f"write {self._store.root}: {text}") from None
        except OSError as error:
            raise _failed(f"{error.filename or 'write'}: {str(error.strerror).lower()}") from None
        except EngineError as error:
            raise _failed(error.message, error.metadata.get("exit_code", "1")) from None
        self._listener.text(f"Successfully built {reference.short_id(image.id)}\n")
        for tag in tags:
            self._listener.text(f"Successfully tagged {reference.parse(tag).familiar}\n")
        return image

    def _run_program(self, program: Program, lease: Lease) -> Image:
        if program.warnings:
            self._listener.text("\x1b[91m" + "\n".join(program.warnings) + "\n\x1b[0m")
        total = program.steps()
        arguments = BuildArgs(self._options.build_args, self._options.unset_build_args)
        for argument in program.arguments:
            self._announce(argument.code, total)
            expanded = expand_variables(argument, arguments.for_from(), program.escape)
            assert isinstance(expanded, Arg)
            for name, default in expanded.pairs:
                arguments.declare_global(name, default)
        if not program.stages:
            raise ConflictError("unexpected EOF")
        workshop = Workshop(
            self._store,
            self._cache,
            self._options,
            self._context,
            self._operation,
            self._listener,
            lease,
            TrustedImages(self._store, self._options.cache_from),
        )
        base: Image | None = None
        for stage in program.stages:
            if stage.name and self._stage_named(stage.name) is not None:
                raise ConflictError(f"{stage.name} stage name already used")
            self._announce(stage.code, total)
            base = self._base_of(stage, arguments, program.escape)
            arguments.begin_stage()
            run = StageRun(workshop, stage.name, base, arguments, program.escape, self)
            self._begin(run)
            for step in stage.instructions:
                self._operation.check()
                self._announce(step.code, total)
                run.execute(step)
                self._show(run)
            self._results.append(run)
        image = self._results[-1].image
        unused = arguments.unused()
        if unused:
            names = " ".join(unused)
            self._listener.text(f"[Warning] One or more build-args [{names}] were not consumed\n")
        if image is None:
            raise ConflictError("No image was generated. Is your Dockerfile empty?")
        self._cache.touch(workshop.used_keys)
        if self._options.squash:
            from trine.image.build.squash import squash

            image = squash(self._store, image, base, lease, self._operation)
        return image

    def _announce(self, code: str, total: int) -> None:
        self._number += 1
        self._listener.text(f"Step {self._number}/{total} : {code}\n")

    def _show(self, run: StageRun) -> None:
        short = reference.short_id(run.image.id) if run.image is not None else ""
        self._listener.text(f" ---> {short}\n")

    def _begin(self, run: StageRun) -> None:
        """Run the ONBUILD triggers of the base image."""
        triggers = run.take_triggers()
        if triggers:
            plural = "s" if len(triggers) > 1 else ""
            self._listener.text(f"# Executing {len(triggers)} build trigger{plural}\n")
        for trigger in triggers:
            try:
                parsed = parse(trigger.encode())
            except DockerfileError as error:
                raise ConflictError(str(error)) from None
            if len(parsed.nodes) != 1:
                raise ConflictError("onbuild trigger should be a single expression")
            run.execute(read_instruction(parsed.nodes[0]))
        self._show(run)

    # --- where FROM and --from lead ------------------------------------------------------------
    def _stage_named(self, name: str) -> StageRun | None:
        for run in self._results:
            if run.name and run.name == name.lower():
                return run
        return None

    def _base_of(self, stage: Stage, arguments: BuildArgs, escape: str) -> Image | None:
        """Return the image a stage starts from, None for scratch."""
        name = expand(stage.base, arguments.for_from(), escape)
        platform = expand(stage.platform, arguments.for_from(), escape) if stage.platform else ""
        if platform:
            try:
                spec.parse_platform(platform)
            except EngineError as error:
                raise ConflictError(f"failed to parse platform {platform}: {error.message}") from None
        if not name:
            raise ConflictError(f"base name ({stage.base}) should not be blank")
        earlier = self._stage_named(name)
        if earlier is not None:
            return earlier.image
        if name == "scratch":
            return None
        return self.image_named(name, platform or self._options.platform)

    def source_image(self, name: str) -> Image | None:
        """Return what ``COPY --from=name`` reads: a stage by name or number, or any image.

        None for a stage that has no image. Raises ConflictError.
        """
        run = self._stage_named(name)
        if run is None and name.lstrip("+-").isdigit():
            index = int(name)
            if index == len(self._results):
                raise ConflictError(f"invalid from flag value {name}: refers to current build stage")
            if not 0 <= index < len(self._results):
                raise ConflictError(f"invalid from flag value {name}: index out of bounds")
            run = self._results[index]
        if run is not None:
            return run.image
        try:
            return self.image_named(name, self._options.platform)
        except CancelledError:
            raise
        except EngineError as error:
            raise ConflictError(f"invalid from flag value {name}: {error.message}") from None

    def image_named(self, name: str, platform: str) -> Image:
        """Return an image that is here, or pull it (always with --pull). Raises EngineError."""
        if not self._options.pull:
            found = self._store.find(name)
            if found is not None:
                return found
        parsed = reference.parse(name)
        pulled = pull_one(
            self._store,
            parsed.with_default_tag(),
            self._operation,
            self._tell_pull,
            platform,
            self._options.credentials.get(parsed.domain),
        )
        try:
            return self._store.image(pulled.image_id)
        except NotFoundError:
            return self._store.resolve(name)

    def _tell_pull(self, event: Line | LayerStatus) -> None:
        if isinstance(event, Line):
            self._listener.text(event.text + "\n")
        else:
            self._listener.layer(event)
