"""Weight files: located, downloaded and verified.

`fetch` looks for a file in the package, in the folder or mirror that `ZOO_WEIGHTS` names,
in the cache and at the row's URL, and verifies what it finds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from zoo import files
from zoo.errors import FetchError, WeightsError
from zoo.weights.row import Weights, is_url

logger = logging.getLogger(__name__)

_MAX_RECORD_BYTES = 10_000

SHIPPED_FOLDER = Path(__file__).parents[1] / "pretrained"
"""The folder of the files that are part of the package."""


def fetch(weights: Weights) -> Path:
    """Returns the path of a verified local copy of a weight file, downloading it if necessary.

    A shipped row's file comes from the package. Others are looked for in the folder that
    `ZOO_WEIGHTS` names, the cache, the mirror that `ZOO_WEIGHTS` names and the row's URL,
    in this order. The cache precedes the mirror because its bytes are the same and
    nearer. A place without the file is skipped; a place with other bytes is an error, so
    that a wrong mirror is noticed.

    Every call verifies the SHA-256 before anything parses the file, since a cached file
    can be damaged; hashing took 0.6 s a GB. A row without a SHA-256 is compared with the
    one that its first fetch, from any place, recorded.

    Args:
        weights: The row of the file.

    Raises:
        WeightsError: The file is absent and cannot be downloaded, is not the row's, or
            `ZOO_WEIGHTS` is neither a folder nor a URL.
        FetchError: A download broke off, or the cache is not writable.
    """
    if weights.shipped:
        return _verified_shipped_path(weights)
    location = _user_location()
    if isinstance(location, Path) and (given := location / weights.file).is_file():
        # Two first fetches at once must not record two digests. Once a digest is known,
        # the cache need not be writable.
        with contextlib.nullcontext() if _known_sha256(weights) else _cache_lock(weights):
            _verify(
                weights,
                given,
                mend="put the right file there (this one stays unchanged), or unset ZOO_WEIGHTS",
            )
        return given
    cached = _cache_path(weights)
    if _is_verified(weights, cached):
        return cached
    with _cache_lock(weights):
        # Another process may have fetched the file while this one waited for the lock.
        if _is_verified(weights, cached):
            return cached
        if cached.exists() and _known_sha256(weights):
            # The damaged file stays, for inspection, until a verified one replaces it.
            logger.info(f"{cached} is damaged; downloading it again")
        urls = [weights.url]
        if isinstance(location, str):
            urls.insert(0, f"{location.rstrip('/')}/{quote(weights.file)}")
        _download_into(weights, cached, urls)
    return cached


def find_at_hand(weights: Weights) -> Path | None:
    """Returns where a weight file lies on this machine, or None if it had to be fetched.

    Looks in the package, the folder that `ZOO_WEIGHTS` names and the cache. A file in the
    cache is verified, others are when they are fetched.

    Args:
        weights: The row of the file.

    Raises:
        WeightsError: `ZOO_WEIGHTS` is neither a folder nor a URL.
    """
    if weights.shipped:
        path = SHIPPED_FOLDER / weights.url
        return path if path.is_file() else None
    location = _user_location()
    if isinstance(location, Path) and (given := location / weights.file).is_file():
        return given
    cached = _cache_path(weights)
    return cached if _is_verified(weights, cached) else None


def _verified_shipped_path(weights: Weights) -> Path:
    path = SHIPPED_FOLDER / weights.url
    mend = "install transfer-zoo again"
    if not path.is_file():
        raise WeightsError(f"the file of {weights.name} is missing", expected=str(path), mend=mend)
    _verify(weights, path, mend=mend)
    return path


def _download_into(weights: Weights, cached: Path, urls: list[str]) -> None:
    """Downloads from the first of `urls` that serves the file, verifies it and moves it."""
    # Imported here, so that listing weights loads no HTTP client.
    from zoo.weights.download import UnavailableError, download, remove_part

    part = cached.with_name(f"{cached.name}.part")
    verifiable = bool(_known_sha256(weights) or weights.md5)
    failures = []
    for url in urls:
        # A wrong digest after a resume may come from a stale part: start over once.
        for last_attempt in (False, True):
            try:
                resumed = download(
                    url,
                    part,
                    title=weights.name,
                    license=weights.license,
                    verifiable=verifiable,
                    max_bytes=weights.max_bytes,
                )
                _verify(
                    weights,
                    part,
                    source=f"the file at {url}",
                    mend=f"if it is a new version, {_manual_download(weights, 'the old one')}",
                )
            except UnavailableError as error:
                failures.append(f"{url}: {error}")
                break
            except WeightsError:
                remove_part(part)
                if last_attempt or not resumed:
                    raise
            else:
                # No fsync: the next fetch finds a file damaged by a power cut and replaces it.
                os.replace(part, cached)
                remove_part(part)
                return
    raise WeightsError(
        f"{weights.file} of {weights.name} is absent and cannot be downloaded",
        received=" and ".join(failures),
        mend=f"if this machine is offline or the address is wrong, {_manual_download(weights)}; "
        f"or take a network that is shipped: {', '.join(_list_shipped(weights))}",
    )


def _list_shipped(weights: Weights) -> list[str]:
    """Returns the names of shipped weights that can stand in for absent ones.

    These are the ones of the same tag, hence of the same training data, or else all.
    """
    names = sorted(path.stem for path in SHIPPED_FOLDER.glob("*.npz"))
    tag = weights.name.partition(".")[2]
    return [name for name in names if name.partition(".")[2] == tag] or names


def _verify(weights: Weights, path: Path, *, mend: str, source: str = "") -> None:
    """Compares a file with the digest of its row, or of the row's first fetch.

    Records the file's SHA-256 if neither exists; the caller then holds the cache lock.

    Args:
        weights: The row.
        path: The file, which is only read.
        mend: How the user can correct a mismatch.
        source: The file's name in the error; by default its path.

    Raises:
        WeightsError: The digests differ, or the file cannot be read.
    """
    known = _known_sha256(weights)
    try:
        received = files.sha256_of(path)
        md5 = _md5_of(path) if weights.md5 and not known else ""
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", mend=mend) from None
    if md5 and md5 != weights.md5:
        raise _mismatch(weights, source or str(path), f"MD5 {weights.md5}", md5, mend)
    if not known:
        files.write_json(_record_path(weights), {"sha256": received, "proof": weights.proof})
    elif received != known:
        expected = f"SHA-256 {known}"
        if not weights.sha256:
            expected += f" of the first fetch, as recorded in {_record_path(weights)}"
            mend += "; if the first fetch was wrong, remove that record"
        raise _mismatch(weights, source or str(path), expected, received, mend)


def _mismatch(
    weights: Weights, source: str, expected: str, received: str, mend: str
) -> WeightsError:
    problem = f"{source} is not the file of {weights.name}"
    return WeightsError(problem, expected=expected, received=received, mend=mend)


def _is_verified(weights: Weights, cached: Path) -> bool:
    """Returns whether the cached file exists and has the known SHA-256."""
    known = _known_sha256(weights)
    try:
        # Whoever else may write into a shared cache could swap what a link leads to.
        is_plain = cached.is_file() and not cached.is_symlink()
        return bool(known) and is_plain and files.sha256_of(cached) == known
    except OSError:
        return False


def _known_sha256(weights: Weights) -> str:
    """Returns the SHA-256 of the row or of its first fetch, or "" before the first fetch."""
    if weights.sha256:
        return weights.sha256
    record = _record_path(weights)
    try:
        with files.open_to_read(record) as file:
            known = str(json.loads(file.read(_MAX_RECORD_BYTES))["sha256"])
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        known = ""
    if not known:
        raise WeightsError(
            f"{record} cannot be read",
            expected="the SHA-256 of a first fetch",
            mend="remove it, and the next fetch records the SHA-256 again",
        )
    return known


def _cache_path(weights: Weights) -> Path:
    """Returns the path of a row's file in the cache.

    The folder's name depends on the digest, or on the URL if there is none: rows may
    share a file name, and a new revision must not meet the record of an old one.
    """
    proof = weights.sha256 or f"{weights.url} {weights.md5}"
    key = hashlib.sha256(proof.encode()).hexdigest()[:12]
    return files.cache_folder() / "weights" / f"{weights.name}-{key}" / weights.file


def _record_path(weights: Weights) -> Path:
    """Returns the path of the record of a first fetch: JSON with the file's SHA-256."""
    cached = _cache_path(weights)
    return cached.with_name(f"{cached.name}.first.json")


@contextlib.contextmanager
def _cache_lock(weights: Weights) -> Iterator[None]:
    """Holds the lock of a row's folder in the cache.

    Raises:
        FetchError: The folder cannot be written or locked.
    """
    from zoo.weights.download import locked

    cached = _cache_path(weights)
    waiting = f"waiting for another process that downloads {weights.name}"
    try:
        with locked(cached.with_name("lock"), waiting=waiting):
            yield
    except OSError as error:
        raise FetchError(
            f"{weights.file} cannot be stored in {cached.parent}: {error.strerror or error}",
            mend="set ZOO_CACHE to a writable folder with enough space, on a local disk",
        ) from None


def _user_location() -> Path | str | None:
    """Returns the location in `ZOO_WEIGHTS`: a path for a folder, a string for a mirror.

    Raises:
        WeightsError: It is neither a folder nor a URL.
    """
    location = os.environ.get("ZOO_WEIGHTS", "")
    if not location or is_url(location):
        return location or None
    folder = Path(location).expanduser()
    if not folder.is_dir():
        raise WeightsError(
            "ZOO_WEIGHTS is neither a folder nor a URL",
            expected="a folder that exists, or a URL that starts with http:// or https://",
            received=repr(location),
            mend="create the folder, or unset ZOO_WEIGHTS",
        )
    return folder


def _manual_download(weights: Weights, version: str = "") -> str:
    """Returns the instruction which file to download by hand, and where to put it."""
    location = _user_location()
    file = f"{version} ({weights.file})" if version else weights.file
    if isinstance(location, Path):
        return f"download {file} by hand and put it into {location}, which ZOO_WEIGHTS names"
    return f"download {file} by hand and set ZOO_WEIGHTS to the folder that holds it"


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        # Not for security: some publishers state nothing else, and the SHA-256 is recorded.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
