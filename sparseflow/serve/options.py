"""What ``sparseflow serve`` can be told; see :mod:`sparseflow.steps.options`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from ..steps.cpu.options import Kernel, Threads
from ..steps.options import ModelFile, Said
from .limits import Limits

__all__ = ["ServeOptions"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DAY = 86400


@dataclass(frozen=True)
class ServeOptions:
    """Of ``sparseflow serve``."""

    model: ModelFile
    host: Annotated[
        str, Said("Address to listen at; any other than this machine's own opens it to others.")
    ] = "127.0.0.1"
    port: Annotated[int, Said("0 for any that is free.", least=0, most=65535)] = 8000
    name: Annotated[
        str | None,
        Said("Of the model in the protocol. Default: that of its file, without .safetensors."),
    ] = None
    kernel: Kernel = None
    threads: Threads = 1
    max_streams: Annotated[
        int, Said("Streams whose states are kept at a time.", least=1, most=65536)
    ] = Limits.streams
    idle_timeout: Annotated[
        float,
        Said("Seconds without a frame, after which a stream is forgotten.", least=1, most=_DAY),
    ] = Limits.idle
    max_request_bytes: Annotated[
        int, Said("Of the body of a request.", least=1024, most=1 << 30)
    ] = Limits.request_bytes
    max_frames: Annotated[
        int, Said("Of one request, those of all its sequences together.", least=1, most=1 << 20)
    ] = Limits.frames
    max_queue: Annotated[int, Said("Requests that wait.", least=1, most=1 << 20)] = Limits.queue
    max_connections: Annotated[int, Said("Open at a time.", least=1, most=1 << 20)] = (
        Limits.connections
    )
    deadline: Annotated[
        float, Said("Seconds that a request may wait; then it is refused.", least=0.01, most=3600)
    ] = Limits.deadline
    drain: Annotated[
        float, Said("Seconds for requests in work when the server is ended.", least=0, most=3600)
    ] = Limits.drain

    @property
    def limits(self) -> Limits:
        """The same for the server."""
        return Limits(
            streams=self.max_streams,
            connections=self.max_connections,
            request_bytes=self.max_request_bytes,
            frames=self.max_frames,
            queue=self.max_queue,
            idle=self.idle_timeout,
            deadline=self.deadline,
            drain=self.drain,
        )

    @property
    def address(self) -> str:
        """Where to listen.

        Raises
        ------
        ValueError
            If that is everywhere, and nobody has said so.
        """
        if self.host.strip() in ("", "*"):
            text = f"host {self.host!r} is every address of this machine: give one of them"
            raise ValueError(f"{text}, as 127.0.0.1; 0.0.0.0 if all are meant")
        return self.host

    @property
    def served_name(self) -> str:
        """The model's name in paths.

        Raises
        ------
        ValueError
            If it cannot stand in one.
        """
        file = self.model.name.removesuffix(".safetensors")
        found = file if self.name is None else self.name
        if _NAME.fullmatch(found):
            return found
        takes = "letters, digits, dots, - and _, at most 100, a letter or digit first"
        if self.name is None:
            text = (
                f"{self.model}: the file's name, {file[:100]!r}, is none for paths of the protocol"
            )
            raise ValueError(f"{text}: give another with --name ({takes})")
        raise ValueError(f"name {found[:100]!r}: --name takes {takes}")
