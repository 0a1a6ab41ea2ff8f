"""HTTP downloads that resume, and the lock that keeps two processes apart.

What arrives here is not trusted: `zoo.weights.fetch` proves it before anything reads it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo import files
from zoo.errors import FetchError

logger = logging.getLogger(__name__)

# For a connection to open, and again for each read. A stalled one is cut and resumed.
TIMEOUT_S = 15.0
# Pauses between attempts once the server has shown that it is there.
BACK_OFF_S = (0.5, 1.0, 2.0)
CHUNK = 1 << 16
# Answers that the same server often takes back a moment later.
TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})

_NETWORK_ERRORS = (OSError, http.client.HTTPException)


class UnavailableError(Exception):
    """A place does not have the file, or does not answer; another one may."""


def download(
    url: str,
    part: Path,
    *,
    title: str,
    license: str,
    provable: bool,
    progress: bool | None = None,
) -> bool:
    """Fetches `url` into `part`, continuing what an earlier attempt left there.

    A body that breaks off is continued a few times. A place that does not answer
    at all is given up at once: offline, waiting helps nobody. The caller holds
    the lock of `part`.

    Args:
        url: http or https; proxies are taken from the environment.
        part: Where the bytes gather. It stays when the download breaks off, with
            the server's ETag in a file beside it.
        title: What is fetched, for the line and the bar on standard error.
        license: Its license, said in that line before the first byte is taken.
        provable: Whether the caller knows a digest of the whole. Without one,
            bytes are joined only where an ETag shows them to be of one version,
            and a body whose end cannot be told is refused.
        progress: Whether to draw a bar; by default where standard error is a terminal.

    Returns:
        Whether `part` was joined from several answers, so that a wrong digest may
        come from a stale beginning.

    Raises:
        UnavailableError: The server cannot be reached or does not serve the file.
        FetchError: The body broke off too often.
    """
    done, total, joined, came = 0, None, False, False
    tell: Callable[[int, int | None], None] | None = None
    with contextlib.ExitStack() as stack:
        for pause in (*BACK_OFF_S, None):
            try:
                response, start = _open(url, part, provable)
            except urllib.error.HTTPError as error:
                error.close()
                reason = f"HTTP {error.code} {error.reason}"
                if error.code not in TEMPORARY:
                    raise UnavailableError(reason) from None
            except (*_NETWORK_ERRORS, ValueError) as error:
                # ValueError: a URL that cannot be one.
                reason = _reason(error)
                if not came:
                    raise UnavailableError(reason) from None
            else:
                with response:
                    done, total = start, _length(response, start, provable)
                    joined, came = start > 0, True
                    if tell is None:
                        _announce(title, license, url, done, total)
                        tell = stack.enter_context(_bar(title, progress))
                    if not start:
                        _begin(part, url, response.headers.get("ETag", ""))
                    with part.open("ab") as file:
                        # Outside the try: a full disk is no fault of the network.
                        for chunk in (body := _Body(response)):
                            file.write(chunk)
                            done += len(chunk)
                            tell(done, total)
                reason = body.reason
                if not reason and (total is None or done >= total):
                    return joined
            if pause is not None:
                time.sleep(pause)
    if not came:
        raise UnavailableError(f"{reason}, {len(BACK_OFF_S) + 1} times")
    whole = f"{total:,}" if total is not None else "an unknown number of"
    raise FetchError(
        f"the download of {url} broke off ({reason or 'the connection was closed'})",
        expected=f"{whole} bytes",
        received=f"{done:,}",
        mend="the part is kept, so run the command again to continue it",
    )


def drop(part: Path) -> None:
    """Removes a part and the note about it, where there are any."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, *, waiting: str) -> Iterator[None]:
    """Holds an exclusive lock, shared with no other process or thread.

    The operating system releases it when its holder dies, however that happens,
    so a lock is never stale. The file itself stays: removing it would let two
    processes lock two different files of the same name.

    Args:
        path: The lock file; it and its missing parents are created.
        waiting: The line for standard error if somebody else holds the lock.

    Raises:
        OSError: The folder cannot be written, or its file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if not _try_lock(file.fileno()):
            logger.info(waiting)
            while not _try_lock(file.fileno()):
                time.sleep(0.1)
        yield  # closing the file releases the lock


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class _Body:
    """Iterates over a body's chunks; `reason` says why it ended early, or nothing."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.reason = ""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                chunk = self.response.read1(CHUNK)
            except _NETWORK_ERRORS as error:
                self.reason = _reason(error)
                return
            if not chunk:
                return
            yield chunk


def _open(url: str, part: Path, provable: bool) -> tuple[Any, int]:
    """Opens `url` from where `part` ends; returns the response and its first byte."""
    start = part.stat().st_size if part.exists() else 0
    etag = _etag(part, url)
    headers = {"User-Agent": f"transfer-zoo/{_version()}"}
    if start and (etag or provable):
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        if error.code != 416 or "Range" not in headers:
            raise
        # The part is as long as the file or longer, so it is of another version.
        error.close()
        drop(part)
        return _open(url, part, provable)
    if "Range" not in headers or response.status != 206:
        return response, 0
    served = response.headers.get("Content-Range", "")
    version = response.headers.get("ETag", etag)
    if not served.startswith(f"bytes {start}-") or (etag and version != etag):
        response.close()
        drop(part)
        return _open(url, part, provable)
    return response, start


def _length(response: Any, start: int, provable: bool) -> int | None:
    """Returns the bytes of the whole file, or None where the server does not say."""
    if response.headers.get_content_type() == "text/html":
        # A log-in page of the network, or a host's "not found" under status 200.
        raise UnavailableError("a web page came in place of the file")
    whole: str = response.headers.get("Content-Range", "").rpartition("/")[2]
    if start and whole.isdecimal():
        return int(whole)
    if (length := response.headers.get("Content-Length", "")).isdecimal():
        return start + int(length)
    if not (provable or response.chunked):
        raise UnavailableError("the server does not say where the file ends")
    return None


def _begin(part: Path, url: str, etag: str) -> None:
    """Empties `part` and notes what version of which file it is going to hold."""
    part.write_bytes(b"")
    # A weak ETag names equivalent contents, not equal bytes.
    etag = "" if etag.startswith("W/") else etag
    files.write_json(_note(part), {"url": url, "etag": etag})


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _etag(part: Path, url: str) -> str:
    """Returns the ETag of what `part` holds, if it came from `url`; else nothing."""
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        return str(note["etag"]) if note["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _announce(title: str, license: str, url: str, done: int, total: int | None) -> None:
    size = "size unknown" if total is None else f"{total / 1e6:.1f} MB"
    resumed = f", continued at {done / 1e6:.1f} MB" if done else ""
    logger.info(f"fetching {title} ({size}, {license}{resumed}) from {url}")


@contextlib.contextmanager
def _bar(title: str, progress: bool | None) -> Iterator[Callable[[int, int | None], None]]:
    """Yields what to tell the bytes done and the bytes in all, drawn if wanted."""
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    columns = (BarColumn(), DownloadColumn(), SpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _reason(error: Exception) -> str:
    """Says in a few words why the network failed."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection was closed"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def _version() -> str:
    try:
        return metadata.version("transfer-zoo")
    except metadata.PackageNotFoundError:
        return "unknown"  # run from a checkout that is not installed
