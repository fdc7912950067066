"""A cache of things that take long to make, under ~/.cache/bulkhead, keyed by what they were made of.

A thing is a directory `NAME-KEY`. It is made under another name and renamed when complete, so a directory
that exists is whole; a lock per name keeps two makers apart. Things that nobody used for two weeks are
removed when another of their name is made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path


class CacheError(Exception):
    """There is no place to cache anything; the text says what to do."""


UNUSED_AFTER_S = 14 * 24 * 3600


def cache_directory() -> Path:
    """Where everything cached lives: $XDG_CACHE_HOME/bulkhead, or ~/.cache/bulkhead."""
    configured = os.environ.get("XDG_CACHE_HOME")
    return (Path(configured) if configured else Path.home() / ".cache") / "bulkhead"


def key_of(parts: Iterable[str | bytes | Path]) -> str:
    """A short hash of everything a thing is made of; of a Path, what the file holds."""
    digest = hashlib.sha256()
    for part in parts:
        content = (
            part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        )
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def cached(name: str, parts: Iterable[str | bytes | Path], make: Callable[[Path], None]) -> Path:
    """The directory of a thing, made by `make` (into the empty directory it is given) unless it is there.

    Args:
        name: What kind of thing it is, such as "box".
        parts: What it is made of; see key_of().
        make: Fills the directory; whatever it raises is passed on, and nothing is left behind.

    Raises:
        CacheError: The cache can't be written.
    """
    base = cache_directory()
    try:
        base.mkdir(parents=True, exist_ok=True)
        (base / f".{name}.lock").touch()
    except OSError as error:
        raise CacheError(
            f"{base} can't be made or written ({error.strerror}); set XDG_CACHE_HOME to a directory that can"
        ) from error
    thing = base / f"{name}-{key_of(parts)}"
    with (base / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"waiting for another process that makes or looks up {name} in {base}\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not thing.is_dir():
            unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=base))
            try:
                make(unfinished)
                unfinished.chmod(0o755)
                unfinished.rename(thing)
            except BaseException:
                shutil.rmtree(unfinished)
                raise
            _remove_unused(base, name)
        os.utime(thing)
    return thing


def _remove_unused(base: Path, name: str) -> None:
    """Removes what nobody used for UNUSED_AFTER_S; the caller holds the lock of that name."""
    for thing in base.glob(f"{name}-*"):
        if time.time() - thing.stat().st_mtime > UNUSED_AFTER_S:
            shutil.rmtree(thing)
