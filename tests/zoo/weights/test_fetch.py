"""Downloads of weight files: complete, resumed, verified, and errors that say what to do."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support.progress import ProgressRecorder
from tests.support.weights_server import (
    GOOD,
    OTHER,
    Answer,
    Site,
    cached_files,
    free_port,
    part_of,
    row,
    sha256,
    unproven,
)
from zoo.errors import FetchError, WeightsError
from zoo.weights.fetch import SHIPPED_FOLDER, fetch


def test_fetch_downloads_verifies_and_caches(
    site: Site, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(row(site.url))
    assert path.read_bytes() == GOOD
    assert path.name == "net.h5"
    assert cached_files(cache) == {"net.h5", "lock"}
    output = capsys.readouterr()
    assert output.err == f"downloading net.set (0.3 MB, Apache-2.0) from {site.url}/v1/net.h5\n"
    assert output.out == ""
    assert fetch(row(site.url)) == path
    assert len(site.log) == 1
    assert site.log[0]["User-Agent"].startswith("transfer-zoo/")


def test_fetch_counts_the_bytes_it_receives(site: Site, progress: ProgressRecorder) -> None:
    site.serve(Answer(cut=100_000), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    (job,) = progress.jobs
    assert (job.description, job.unit) == ("net.set", "MB")
    assert job.updates[0].done == 0
    assert job.updates[-1].done == job.updates[-1].total == len(GOOD) / 1e6


def test_fetch_resumes_a_body_cut_off(site: Site) -> None:
    site.serve(Answer(cut=100_000, etag='"1"'), Answer(etag='"1"'))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=100000-"]
    assert site.log[1]["If-Range"] == '"1"'


def test_fetch_resumes_without_an_etag_since_the_digest_decides(site: Site) -> None:
    site.serve(Answer(cut=100_000), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=100000-"]


def test_fetch_resumes_a_stalled_body(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.weights.download.TIMEOUT_S", 1.0)
    gate = threading.Event()
    site.serve(Answer(gate=gate), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=60000-"]
    gate.set()


def test_fetch_gives_up_and_resumes_in_the_next_call(
    site: Site, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.serve(Answer(cut=50_000))
    with pytest.raises(
        FetchError, match=r"broke off.*300,000 bytes; received 200,000; run the command again"
    ):
        fetch(row(site.url))
    assert "net.h5" not in cached_files(cache)
    site.serve(Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["bytes=200000-"]
    assert "resumed at 0.2 MB" in capsys.readouterr().err
    assert cached_files(cache) == {"net.h5", "lock"}


def test_fetch_starts_over_if_the_server_ignores_ranges(site: Site) -> None:
    site.serve(Answer(cut=100_000, ranges=False), Answer(ranges=False))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=100000-"]


def test_fetch_starts_over_if_the_server_sends_another_range(site: Site) -> None:
    site.serve(Answer(cut=100_000), Answer(shift=7))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=100000-", ""]


def test_stale_part_with_an_etag_is_not_resumed(site: Site) -> None:
    part_of(row(site.url), site).write_bytes(OTHER[:100_000])
    site.serve(Answer(etag='"2"'))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["bytes=100000-"]


@pytest.mark.parametrize("size", [1, 100_000, 300_000, 300_001], ids="{}B".format)
def test_stale_part_without_an_etag_is_detected(site: Site, size: int) -> None:
    part = part_of(row(site.url), site)
    part.write_bytes((OTHER + b"more")[:size])
    part.with_name(part.name + ".json").unlink()
    site.serve(Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == [f"bytes={size}-", ""]


def test_part_is_not_resumed_without_digest_and_etag(site: Site) -> None:
    weights = unproven(site.url)
    part = part_of(weights, site)
    part.with_name(part.name + ".json").unlink()
    site.serve(Answer())
    assert fetch(weights).read_bytes() == GOOD
    assert site.ranges == [""]


def test_weak_etag_does_not_allow_a_resume(site: Site) -> None:
    site.serve(Answer(cut=100_000, etag='W/"1"'), Answer(etag='W/"1"'))
    assert fetch(unproven(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", ""]


def test_changed_etag_starts_over_if_the_server_ignores_if_range(site: Site) -> None:
    site.serve(Answer(OTHER, cut=100_000, etag='"1"'), Answer(etag='"2"', conditional=False))
    assert fetch(unproven(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=100000-", ""]


@pytest.mark.parametrize("cut", [None, 100_000])
def test_wrong_bytes_stay_out_of_the_cache(site: Site, cache: Path, cut: int | None) -> None:
    site.serve(Answer(body=OTHER, cut=cut), Answer(body=OTHER))
    pattern = f"{site.url}/v1/net.h5 .*expected SHA-256 {sha256(GOOD)}; received {sha256(OTHER)}; "
    with pytest.raises(WeightsError, match=pattern) as caught:
        fetch(row(site.url))
    assert "\n" not in str(caught.value)
    assert "net.h5" in str(caught.value)
    assert "ZOO_WEIGHTS" in str(caught.value)
    assert cached_files(cache) == {"lock"}


def test_missing_file_is_an_error_that_says_what_to_do(site: Site, cache: Path) -> None:
    site.serve(Answer(status=404))
    pattern = r"received http://\S+: HTTP 404 Not Found; .*download net\.h5 by hand.*ZOO_WEIGHTS"
    with pytest.raises(WeightsError, match=pattern):
        fetch(row(site.url))
    assert len(site.log) == 1
    assert cached_files(cache) == {"lock"}


def test_busy_server_is_retried(site: Site) -> None:
    site.serve(Answer(status=503), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    site.serve(Answer(status=503))
    with pytest.raises(WeightsError, match="HTTP 503 Service Unavailable, 4 times"):
        fetch(row(site.url, name="net.again", sha256=sha256(OTHER)))
    assert len(site.log) == 4


def test_web_page_instead_of_the_file_is_not_recorded(site: Site, cache: Path) -> None:
    site.serve(Answer(body=b"<html>log in</html>", kind="text/html; charset=utf-8"))
    with pytest.raises(WeightsError, match="sent a web page instead of the file"):
        fetch(unproven(site.url))
    assert cached_files(cache) == {"lock"}


def test_body_without_length_needs_a_digest(site: Site) -> None:
    site.serve(Answer(sized=False))
    with pytest.raises(WeightsError, match="does not state the size of the file"):
        fetch(unproven(site.url))
    assert fetch(row(site.url)).read_bytes() == GOOD


@pytest.mark.parametrize("sized", [True, False])
def test_endless_body_is_cut_off(sized: bool, site: Site, cache: Path) -> None:
    site.serve(Answer(sized=sized, etag='"1"'))
    with pytest.raises(WeightsError, match=r"the server sends 0 MB, where 0 are expected at most"):
        fetch(row(site.url, max_bytes=100_000))
    assert not [file for file in cache.rglob("*.part") if file.stat().st_size]


def test_body_of_a_byte_a_moment_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.weights.download.RATE_WINDOW_S", 0.1)
    site.serve(Answer(drip_s=0.01))
    with pytest.raises(FetchError, match=r"broke off \(slower than 1000 bytes a second\)"):
        fetch(row(site.url))


@pytest.mark.parametrize("name", ["lock", "net.h5.part"])
def test_link_in_a_shared_cache_is_not_followed(
    name: str, site: Site, cache: Path, tmp_path: Path
) -> None:
    weights = row(site.url)
    fetch(weights)
    (place,) = {file.parent for file in cache.rglob("net.h5")}
    (place / "net.h5").unlink()
    (tmp_path / "precious").write_text("mine")
    (place / name).unlink(missing_ok=True)
    (place / name).symlink_to(tmp_path / "precious")
    with pytest.raises(FetchError, match=r"net\.h5 cannot be stored in .*; set ZOO_CACHE to"):
        fetch(weights)
    assert (tmp_path / "precious").read_text() == "mine"


def test_unreachable_host_fails_at_once() -> None:
    start = time.monotonic()
    pattern = (
        r"absent and cannot be downloaded; .*offline.*download net\.h5 by hand and set ZOO_WEI"
    )
    with pytest.raises(WeightsError, match=pattern):
        fetch(row(f"http://127.0.0.1:{free_port()}"))
    assert time.monotonic() - start < 5


def test_unwritable_cache_is_an_error(site: Site, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(FetchError, match=r"net\.h5 cannot be stored in .*; set ZOO_CACHE to"):
        fetch(row(site.url))


@pytest.mark.parametrize(
    ("name", "shipped"),
    [
        (
            "mobilenet_v2.imagenet",
            "efficientnet_lite0.imagenet, efficientnet_lite1.imagenet, efficientnet_lite2.imagenet",
        ),
        ("net.cifar10", "micro_resnet_l.cifar10, micro_resnet_m.cifar10, micro_resnet_s.cifar10"),
        ("net.set", "efficientnet_lite0.imagenet, .*, micro_resnet_s.cifar10"),
    ],
)
def test_absent_file_is_met_with_the_shipped_networks_that_would_do(
    name: str, shipped: str
) -> None:
    with pytest.raises(WeightsError, match=f"take a network that is shipped: {shipped}$"):
        fetch(row(f"http://127.0.0.1:{free_port()}", name=name))


def test_shipped_networks_are_those_of_the_table() -> None:
    from zoo.backbones.catalog import WEIGHTS

    names = {weights.name for weights in WEIGHTS.values() if weights.shipped}
    assert {path.stem for path in SHIPPED_FOLDER.glob("*.npz")} == names
