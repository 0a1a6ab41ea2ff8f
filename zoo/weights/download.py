"""Resumable HTTP downloads, and a file lock between processes.

Downloaded bytes are not trusted here: `zoo.weights.fetch` verifies their digest before
anything parses them.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo import files
from zoo.errors import FetchError
from zoo.file_lock import try_lock
from zoo.installed import installed_version
from zoo.progress import Progress, track
from zoo.reading import parse_json

logger = logging.getLogger(__name__)

# Limit for opening a connection, and for each read: a stalled download is cut and resumed.
TIMEOUT_S = 15.0
# Pauses between attempts, once the server has answered.
BACK_OFF_S = (0.5, 1.0, 2.0)
CHUNK_BYTES = 1 << 16
# A server that sends less, over that time, does not answer: a byte a second would go on for years.
MIN_BYTES_PER_S = 1000
RATE_WINDOW_S = 30.0
# HTTP statuses that are worth another attempt.
RETRY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_MAX_VERSION_BYTES = 10_000
# What a header may hold.
_ETAG = re.compile(r"[\x21-\x7e\x80-\xff]*")

_NETWORK_ERRORS = (OSError, http.client.HTTPException)


class UnavailableError(Exception):
    """A server does not have the file or does not answer; another one may."""


def download(
    url: str,
    part: Path,
    *,
    title: str,
    license: str,
    verifiable: bool,
    max_bytes: int,
) -> bool:
    """Downloads `url` into `part`, resuming an earlier attempt.

    Resumes a download that breaks off a few times, then gives up. Gives up at once if the
    server never answers, since waiting does not help offline. The caller holds the lock
    of `part`.

    Args:
        url: http or https; the environment names the proxies.
        part: The file to append to. It stays when the download breaks off, with the
            server's ETag in a file beside it.
        title: The name of the file, for the log line and the progress.
        license: The file's license, logged before the first byte is read.
        verifiable: Whether the caller knows a digest of the file. Without one, a part is
            only resumed if an ETag shows that the version is the same, and a body
            without a detectable end is refused.
        max_bytes: Size of the file, at most; what exceeds it is no such file.

    Returns:
        Whether `part` holds bytes of several responses, so that a wrong digest may come
        from a stale part.

    Raises:
        UnavailableError: The server cannot be reached or does not serve the file.
        FetchError: The download broke off too often.
    """
    received, total, resumed, answered = 0, None, False, False
    progress: Progress | None = None
    with contextlib.ExitStack() as stack:
        for pause in (*BACK_OFF_S, None):
            try:
                response, start = _open(url, part, verifiable)
            except urllib.error.HTTPError as error:
                error.close()
                reason = f"HTTP {error.code} {error.reason}"
                if error.code not in RETRY_STATUSES:
                    raise UnavailableError(reason) from None
            except (*_NETWORK_ERRORS, ValueError) as error:
                # ValueError: the URL is malformed.
                reason = _describe(error)
                if not answered:
                    raise UnavailableError(reason) from None
            else:
                with response:
                    received, total = start, _total_bytes(response, start, verifiable)
                    if total is not None and total > max_bytes:
                        raise _too_large(total, max_bytes)
                    resumed, answered = start > 0, True
                    if progress is None:
                        _log_start(title, license, url, received, total)
                        progress = stack.enter_context(
                            track(title, _megabytes(total), unit="MB", done=received / 1e6)
                        )
                    if not start:
                        _start_part(part, url, response.headers.get("ETag", ""))
                    with files.open_to_write(part, append=True) as file:
                        # Outside the try: a full disk must not count as a network error.
                        for chunk in (body := _Body(response)):
                            file.write(chunk)
                            received += len(chunk)
                            if received > max_bytes:
                                break
                            progress.update(received / 1e6, _megabytes(total))
                if received > max_bytes:
                    remove_part(part)
                    raise _too_large(received, max_bytes)
                reason = body.reason
                if not reason and (total is None or received >= total):
                    return resumed
            if pause is not None:
                time.sleep(pause)
    if not answered:
        raise UnavailableError(f"{reason}, {len(BACK_OFF_S) + 1} times")
    size = f"{total:,}" if total is not None else "an unknown number of"
    raise FetchError(
        f"the download of {url} broke off ({reason or 'the connection was closed'})",
        expected=f"{size} bytes",
        received=f"{received:,}",
        mend="run the command again to resume the download",
    )


def remove_part(part: Path) -> None:
    """Removes a partial download and the record of its version, if they exist."""
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, *, waiting: str) -> Iterator[None]:
    """Holds an exclusive lock that no other process or thread can hold.

    The operating system releases the lock when its holder ends, so a lock is never stale.
    The file itself stays: after a removal, two processes could lock two different files
    of the same name.

    Args:
        path: The lock file; created with its missing parents.
        waiting: The line to log while another process or thread holds the lock.

    Raises:
        OSError: The folder is not writable, or its file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.open_to_write(path, append=True) as file:
        if not try_lock(file.fileno()):
            logger.info(waiting)
            while not try_lock(file.fileno()):
                time.sleep(0.1)
        yield  # closing the file releases the lock


class _Body:
    """Iterates over the chunks of a body; `reason` is what ended it too early, or ""."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.reason = ""

    def __iter__(self) -> Iterator[bytes]:
        window_started, window_bytes = time.monotonic(), 0
        while True:
            try:
                chunk = self.response.read1(CHUNK_BYTES)
            except _NETWORK_ERRORS as error:
                self.reason = _describe(error)
                return
            if not chunk:
                return
            yield chunk
            window_bytes += len(chunk)
            elapsed_s = time.monotonic() - window_started
            if elapsed_s >= RATE_WINDOW_S:
                if window_bytes < MIN_BYTES_PER_S * elapsed_s:
                    self.reason = f"slower than {MIN_BYTES_PER_S} bytes a second"
                    return
                window_started, window_bytes = time.monotonic(), 0


def _open(url: str, part: Path, verifiable: bool) -> tuple[Any, int]:
    """Requests the bytes that `part` lacks; returns the response and its first byte's index."""
    start = part.stat().st_size if part.exists() else 0
    etag = _etag(part, url)
    headers = {"User-Agent": f"transfer-zoo/{installed_version('transfer-zoo') or 'unknown'}"}
    if start and (etag or verifiable):
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
        # The part is as long as the file or longer, so it belongs to another version.
        error.close()
        remove_part(part)
        return _open(url, part, verifiable)
    if "Range" not in headers or response.status != 206:
        return response, 0
    content_range = response.headers.get("Content-Range", "")
    version = response.headers.get("ETag", etag)
    if not content_range.startswith(f"bytes {start}-") or (etag and version != etag):
        response.close()
        remove_part(part)
        return _open(url, part, verifiable)
    return response, start


def _total_bytes(response: Any, start: int, verifiable: bool) -> int | None:
    """Returns the size of the whole file, or None if the server does not state it."""
    if response.headers.get_content_type() == "text/html":
        # The log-in page of a network, or a "not found" page under status 200.
        raise UnavailableError("the server sent a web page instead of the file")
    total: str = response.headers.get("Content-Range", "").rpartition("/")[2]
    if start and total.isdecimal():
        return int(total)
    if (length := response.headers.get("Content-Length", "")).isdecimal():
        return start + int(length)
    if not (verifiable or response.chunked):
        raise UnavailableError("the server does not state the size of the file")
    return None


def _start_part(part: Path, url: str, etag: str) -> None:
    """Empties `part` and records the URL and the version that it will hold."""
    files.open_to_write(part).close()
    # A weak ETag stands for equivalent contents, not for equal bytes.
    etag = "" if etag.startswith("W/") else etag
    files.write_json(_version_file(part), {"url": url, "etag": etag})


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _etag(part: Path, url: str) -> str:
    """Returns the recorded ETag of `part`, or "" if there is none or for another URL."""
    try:
        with files.open_to_read(_version_file(part)) as file:
            version = parse_json(file.read(_MAX_VERSION_BYTES))
        etag = str(version["etag"]) if version["url"] == url else ""
        return etag if _ETAG.fullmatch(etag) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _log_start(title: str, license: str, url: str, received: int, total: int | None) -> None:
    size = "size unknown" if total is None else f"{total / 1e6:.1f} MB"
    resumed = f", resumed at {received / 1e6:.1f} MB" if received else ""
    logger.info(f"downloading {title} ({size}, {license}{resumed}) from {url}")


def _too_large(num_bytes: int, max_bytes: int) -> UnavailableError:
    return UnavailableError(
        f"the server sends {num_bytes / 1e6:,.0f} MB, "
        f"where {max_bytes / 1e6:,.0f} are expected at most"
    )


def _megabytes(num_bytes: int | None) -> float | None:
    return None if num_bytes is None else num_bytes / 1e6


def _describe(error: Exception) -> str:
    """Describes a network error in a few words."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection was closed"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
