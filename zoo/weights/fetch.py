"""How a weight file is located, downloaded and verified.

`fetch` looks in four places and proves what it finds: the package itself, the
folder or mirror that `ZOO_WEIGHTS` names, the cache, the row's URL.
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


def fetch(weights: Weights, *, progress: bool | None = None) -> Path:
    """Returns the path of a local file that is proven to be the row's.

    In this order: the package, for a shipped row; the folder that `ZOO_WEIGHTS`
    names; the cache; the mirror that `ZOO_WEIGHTS` names; the row's URL. The cache
    comes before the mirror because its bytes are proven the same and are nearer.
    A place that lacks the file is passed over; one that has other bytes is an
    error, since a wrong mirror should be noticed.

    The SHA-256 is checked on every call, before anything parses the file: a cached
    file can rot, and hashing takes 0.6 s a GB here. A row without a SHA-256 is held
    to the one recorded when its file was first seen, wherever that was.

    Args:
        weights: The row whose file is wanted.
        progress: Whether to draw a bar on standard error; by default where that
            is a terminal.

    Raises:
        WeightsError: The file is not to be had (offline and absent), is not the
            one the row names, or `ZOO_WEIGHTS` names no place.
        FetchError: A download broke off, or the cache cannot be written.
    """
    if weights.shipped:
        return _shipped(weights)
    chosen = _chosen_place()
    if isinstance(chosen, Path) and (given := chosen / weights.file).is_file():
        # Two first fetches at once must not record two digests; with one known, a
        # cache that cannot be written does no harm.
        with contextlib.nullcontext() if _known(weights) else _holding(weights):
            _prove(
                weights,
                given,
                mend="put the right file there (this one is left as it is), or unset ZOO_WEIGHTS",
            )
        return given
    cached = _cached(weights)
    if _is_proven(weights, cached):
        return cached
    with _holding(weights):
        # Another process may have fetched it while this one waited for the lock.
        if _is_proven(weights, cached):
            return cached
        if cached.exists() and _known(weights):
            # It stays until a proven file replaces it: should that not come, the
            # damaged one is all there is to look into, and it is never handed out.
            logger.info(f"{cached} is damaged; fetching it again")
        mirror = f"{chosen.rstrip('/')}/{quote(weights.file)}" if isinstance(chosen, str) else ""
        _fetch_into(weights, cached, [mirror, weights.url] if mirror else [weights.url], progress)
    return cached


def _shipped(weights: Weights) -> Path:
    path = Path(__file__).parents[1] / "pretrained" / weights.url
    mend = "install transfer-zoo again"
    if not path.is_file():
        raise WeightsError(f"the file of {weights.name} is missing", expected=str(path), mend=mend)
    _prove(weights, path, mend=mend)
    return path


def _fetch_into(weights: Weights, cached: Path, urls: list[str], progress: bool | None) -> None:
    """Downloads from the first of `urls` that serves the file; proves, then places it."""
    # Here and not above: listing the weights should not load an HTTP client.
    from zoo.weights.download import UnavailableError, download, drop

    part = cached.with_name(f"{cached.name}.part")
    provable = bool(_known(weights) or weights.md5)
    tried = []
    for url in urls:
        # Bytes joined to a stale beginning prove nothing about the server: once more, from zero.
        for fresh in (False, True):
            try:
                joined = download(
                    url,
                    part,
                    title=weights.name,
                    license=weights.license,
                    provable=provable,
                    progress=progress,
                )
                _prove(
                    weights,
                    part,
                    source=f"what {url} serves",
                    mend=f"if it is a new version, {_by_hand(weights, 'the old one')}",
                )
            except UnavailableError as error:
                tried.append(f"{url}: {error}")
                break
            except WeightsError:
                drop(part)
                if fresh or not joined:
                    raise
            else:
                # No fsync: a file torn by a power cut fails its proof at the next start.
                os.replace(part, cached)
                drop(part)
                return
    raise WeightsError(
        f"{weights.file} of {weights.name} is absent and cannot be fetched",
        received=" and ".join(tried),
        mend=f"if this machine is offline or the address wrong, {_by_hand(weights)}",
    )


def _prove(weights: Weights, path: Path, *, mend: str, source: str = "") -> None:
    """Compares a file with what the row, or the first fetch, says of it.

    Where neither knows a SHA-256, the file's is recorded: the caller holds the lock.

    Args:
        weights: The row.
        path: The file, which is only read.
        mend: What the user can do about another file.
        source: What the error calls the file, by default its path.

    Raises:
        WeightsError: The digests differ, or the file cannot be read.
    """
    known = _known(weights)
    try:
        received = files.sha256_of(path)
        md5 = _md5_of(path) if weights.md5 and not known else ""
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", mend=mend) from None
    if md5 and md5 != weights.md5:
        raise _mismatch(weights, source or str(path), f"MD5 {weights.md5}", md5, mend)
    if not known:
        files.write_json(_record(weights), {"sha256": received, "proof": weights.proof})
    elif received != known:
        expected = f"SHA-256 {known}"
        if not weights.sha256:
            expected += f" of the first fetch, as recorded in {_record(weights)}"
            mend += "; if the first fetch was the wrong one, remove that record"
        raise _mismatch(weights, source or str(path), expected, received, mend)


def _mismatch(
    weights: Weights, source: str, expected: str, received: str, mend: str
) -> WeightsError:
    what = f"{source} is not the file of {weights.name}"
    return WeightsError(what, expected=expected, received=received, mend=mend)


def _is_proven(weights: Weights, cached: Path) -> bool:
    """Whether the cached file is there, and is the one that is known."""
    known = _known(weights)
    try:
        return bool(known) and cached.is_file() and files.sha256_of(cached) == known
    except OSError:
        return False


def _known(weights: Weights) -> str:
    """Returns the SHA-256 of the row or of its first fetch, or "" before that."""
    if weights.sha256:
        return weights.sha256
    record = _record(weights)
    try:
        known = str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        known = ""
    if not known:
        raise WeightsError(
            f"{record} cannot be read",
            expected="the SHA-256 of a first fetch",
            mend="remove it, and the next fetch records it anew",
        )
    return known


def _cached(weights: Weights) -> Path:
    """Returns where the cache keeps the file.

    Two rows may share a file name, and a row may move on to another revision: the
    folder tells them apart, and a record of a first fetch dies with its URL.
    """
    proof = weights.sha256 or f"{weights.url} {weights.md5}"
    key = hashlib.sha256(proof.encode()).hexdigest()[:12]
    return files.cache_folder() / "weights" / f"{weights.name}-{key}" / weights.file


def _record(weights: Weights) -> Path:
    cached = _cached(weights)
    return cached.with_name(f"{cached.name}.first.json")


@contextlib.contextmanager
def _holding(weights: Weights) -> Iterator[None]:
    """Holds the lock of the row's folder in the cache.

    Raises:
        FetchError: The folder cannot be written to, or locked.
    """
    from zoo.weights.download import locked

    cached = _cached(weights)
    waiting = f"waiting for another process that fetches {weights.name}"
    try:
        with locked(cached.with_name("lock"), waiting=waiting):
            yield
    except OSError as error:
        raise FetchError(
            f"{weights.file} cannot be stored in {cached.parent}: {error.strerror or error}",
            mend="set ZOO_CACHE to a writable folder with enough space, on a local disk",
        ) from None


def _chosen_place() -> Path | str | None:
    """Returns the folder, as a path, or the mirror, as a URL, that `ZOO_WEIGHTS` names.

    Raises:
        WeightsError: It names neither.
    """
    chosen = os.environ.get("ZOO_WEIGHTS", "")
    if not chosen or is_url(chosen):
        return chosen or None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise WeightsError(
            "ZOO_WEIGHTS names no place",
            expected="a folder that exists, or a URL with http:// or https://",
            received=repr(chosen),
            mend="create the folder, or unset it",
        )
    return folder


def _by_hand(weights: Weights, which: str = "") -> str:
    """Says which file to put where."""
    chosen = _chosen_place()
    wanted = f"{which} ({weights.file})" if which else weights.file
    if isinstance(chosen, Path):
        return f"download {wanted} by hand and put it into {chosen}, which ZOO_WEIGHTS names"
    return f"download {wanted} by hand and set ZOO_WEIGHTS to the folder that holds it"


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        # Not for security: it is all that some publishers print, and then the SHA-256 is kept.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
