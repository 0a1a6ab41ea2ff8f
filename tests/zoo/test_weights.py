"""Weight files: fetched whole, resumed, proven, and never taken from the user.

A real HTTP server on the loopback plays the publisher and the mirror.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zoo.download import locked
from zoo.errors import FetchError, WeightsError
from zoo.weights import Weights, fetch

ROOT = Path(__file__).parents[2]
GOOD = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Answer:
    """How the server treats one request."""

    body: bytes = GOOD
    status: int = 200
    cut: int | None = None  # bytes of the answer after which the connection closes
    ranges: bool = True
    etag: str = ""
    conditional: bool = True  # whether If-Range is honoured
    sized: bool = True
    kind: str = "application/octet-stream"
    gate: threading.Event | None = None  # what the rest of the body waits for, after a fifth
    shift: int = 0  # how far a partial answer starts from where it was asked to


@dataclass
class Site:
    """What the server answers, request by request (the last one repeats), and its log."""

    url: str
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    log: list[dict[str, str]] = field(default_factory=list)

    def serve(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.log.clear()

    @property
    def ranges(self) -> list[str]:
        return [request.get("Range", "") for request in self.log]


@pytest.fixture
def site() -> Iterator[Site]:
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with turn:
                here.log.append({"path": self.path, **self.headers})
                answer = here.answers.pop(0) if len(here.answers) > 1 else here.answers[0]
            with contextlib.suppress(ConnectionError):  # of clients that are killed
                self.give(answer)

        def give(self, answer: Answer) -> None:
            status, start = answer.status, 0
            if answer.ranges and "Range" in self.headers and status == 200:
                asked = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                wanted = self.headers.get("If-Range", answer.etag)
                if wanted == answer.etag or not answer.conditional:
                    status, start = 206, asked + answer.shift
            if start >= len(answer.body):
                status = 416
            self.send_response(status)
            body = answer.body[start:] if status in (200, 206) else b""
            if status == 206:
                last = len(answer.body) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
            if answer.sized:
                self.send_header("Content-Length", str(len(body)))
            if answer.etag:
                self.send_header("ETag", answer.etag)
            self.send_header("Content-Type", answer.kind)
            self.end_headers()
            body = body[: answer.cut]
            fifth = len(body) // 5
            self.wfile.write(body[:fifth])
            if answer.gate:
                answer.gate.wait(30)
            self.wfile.write(body[fifth:])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield here
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("ZOO_WEIGHTS", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    # Attempts as many as ever, only closer together.
    monkeypatch.setattr("zoo.download.BACK_OFF_S", (0.01, 0.01, 0.01))
    return tmp_path / "cache"


def row(host: str, **changes: object) -> Weights:
    plain = Weights(
        name="net.set",
        url=f"{host}/v1/net.h5",
        file="net.h5",
        sha256=sha256(GOOD),
        licence="Apache-2.0",
        data="a set",
        input_size=224,
        normalisation="none",
        origin="a test",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def unproven(host: str, **changes: object) -> Weights:
    return row(host, sha256="", **changes)


def cached_files(cache: Path) -> set[str]:
    return {p.name for p in cache.rglob("*") if p.is_file()}


def part_of(weights: Weights, site: Site) -> Path:
    """Leaves a part behind by a download that breaks off each time."""
    site.serve(Answer(cut=100_000, etag='"1"'), Answer(status=404))
    with pytest.raises((FetchError, WeightsError), match=r"HTTP 404|broke off"):
        fetch(weights)
    (part,) = Path(os.environ["ZOO_CACHE"]).rglob("*.part")
    return part


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- one download ---------------------------------------------------------------


def test_fetch_whole(site: Site, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fetch(row(site.url))
    assert path.read_bytes() == GOOD
    assert path.name == "net.h5"
    assert cached_files(cache) == {"net.h5", "lock"}
    told = capsys.readouterr()
    assert told.err == f"fetching net.set (0.3 MB, Apache-2.0) from {site.url}/v1/net.h5\n"
    assert told.out == ""
    assert fetch(row(site.url)) == path
    assert len(site.log) == 1
    assert site.log[0]["User-Agent"].startswith("transfer-zoo/")


def test_fetch_draws_a_bar_on_request(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(row(site.url), progress=True).read_bytes() == GOOD
    assert capsys.readouterr().out == ""


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
    monkeypatch.setattr("zoo.download.TIMEOUT_S", 1.0)
    gate = threading.Event()
    site.serve(Answer(gate=gate), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=60000-"]
    gate.set()


def test_fetch_gives_up_and_continues_when_run_again(
    site: Site, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.serve(Answer(cut=50_000))
    with pytest.raises(FetchError, match=r"broke off.*300,000 bytes; received 200,000; the part"):
        fetch(row(site.url))
    assert "net.h5" not in cached_files(cache)
    site.serve(Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["bytes=200000-"]
    assert "continued at 0.2 MB" in capsys.readouterr().err
    assert cached_files(cache) == {"net.h5", "lock"}


def test_fetch_starts_over_where_ranges_are_ignored(site: Site) -> None:
    site.serve(Answer(cut=100_000, ranges=False), Answer(ranges=False))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=100000-"]


def test_fetch_starts_over_where_another_range_comes(site: Site) -> None:
    site.serve(Answer(cut=100_000), Answer(shift=7))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", "bytes=100000-", ""]


def test_stale_part_with_an_etag_is_not_continued(site: Site) -> None:
    part_of(row(site.url), site).write_bytes(OTHER[:100_000])
    site.serve(Answer(etag='"2"'))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["bytes=100000-"]


@pytest.mark.parametrize("size", [1, 100_000, 300_000, 300_001], ids="{}B".format)
def test_stale_part_without_an_etag_is_found_out(site: Site, size: int) -> None:
    part = part_of(row(site.url), site)
    part.write_bytes((OTHER + b"more")[:size])
    part.with_name(part.name + ".json").unlink()
    site.serve(Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == [f"bytes={size}-", ""]


def test_part_is_not_joined_where_nothing_could_tell_versions_apart(site: Site) -> None:
    weights = unproven(site.url)
    part = part_of(weights, site)
    part.with_name(part.name + ".json").unlink()
    site.serve(Answer())
    assert fetch(weights).read_bytes() == GOOD
    assert site.ranges == [""]


def test_weak_etag_does_not_show_that_bytes_are_equal(site: Site) -> None:
    site.serve(Answer(cut=100_000, etag='W/"1"'), Answer(etag='W/"1"'))
    assert fetch(unproven(site.url)).read_bytes() == GOOD
    assert site.ranges == ["", ""]


def test_version_is_watched_where_the_server_does_not(site: Site) -> None:
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


def test_missing_file_is_refused_with_the_way_out(site: Site, cache: Path) -> None:
    site.serve(Answer(status=404))
    pattern = r"received http://\S+: HTTP 404 Not Found; .*download net\.h5 by hand.*ZOO_WEIGHTS"
    with pytest.raises(WeightsError, match=pattern):
        fetch(row(site.url))
    assert len(site.log) == 1
    assert cached_files(cache) == {"lock"}


def test_busy_server_is_asked_again(site: Site) -> None:
    site.serve(Answer(status=503), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    site.serve(Answer(status=503))
    with pytest.raises(WeightsError, match="HTTP 503 Service Unavailable, 4 times"):
        fetch(row(site.url, name="net.again", sha256=sha256(OTHER)))
    assert len(site.log) == 4


def test_web_page_in_place_of_the_file_is_no_first_fetch(site: Site, cache: Path) -> None:
    site.serve(Answer(body=b"<html>log in</html>", kind="text/html; charset=utf-8"))
    with pytest.raises(WeightsError, match="a web page came in place of the file"):
        fetch(unproven(site.url))
    assert cached_files(cache) == {"lock"}


def test_body_without_length_needs_a_digest(site: Site) -> None:
    site.serve(Answer(sized=False))
    with pytest.raises(WeightsError, match="does not say where the file ends"):
        fetch(unproven(site.url))
    assert fetch(row(site.url)).read_bytes() == GOOD


def test_unreachable_host_is_refused_at_once() -> None:
    start = time.monotonic()
    pattern = r"absent and cannot be fetched; .*offline.*download net\.h5 by hand and set ZOO_WEI"
    with pytest.raises(WeightsError, match=pattern):
        fetch(row(f"http://127.0.0.1:{free_port()}"))
    assert time.monotonic() - start < 5


def test_cache_that_cannot_be_made_is_said(site: Site, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(FetchError, match=r"net\.h5 cannot be stored in .*; set ZOO_CACHE to"):
        fetch(row(site.url))


# --- places ---------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "by hand").mkdir()
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path / "by hand"))
    return tmp_path / "by hand"


def test_folder_with_the_file_comes_first(site: Site, folder: Path, cache: Path) -> None:
    (folder / "net.h5").write_bytes(GOOD)
    assert fetch(row(site.url)) == folder / "net.h5"
    assert site.log == []
    assert not cache.exists()  # with a digest known, nothing needs to be written


def test_folder_with_a_wrong_file_is_an_error_that_touches_nothing(
    site: Site, folder: Path
) -> None:
    given = folder / "net.h5"
    given.write_bytes(OTHER)
    os.utime(given, (1_000_000_000, 1_000_000_000))
    pattern = rf"net\.h5 is not the file of net\.set; expected SHA-256 {sha256(GOOD)}; received"
    with pytest.raises(WeightsError, match=pattern):
        fetch(row(site.url))
    assert given.read_bytes() == OTHER
    assert given.stat().st_mtime == 1_000_000_000
    assert os.listdir(folder) == ["net.h5"]
    assert site.log == []


def test_folder_without_the_file_is_passed_over(site: Site, folder: Path, cache: Path) -> None:
    assert cache in fetch(row(site.url)).parents
    site.serve(Answer(status=404))
    with pytest.raises(WeightsError, match=r"put it into .*by hand, which ZOO_WEIGHTS names"):
        fetch(row(site.url, sha256=sha256(OTHER)))


def test_place_that_is_none_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", "no/such/folder")
    with pytest.raises(WeightsError, match=r"ZOO_WEIGHTS names no place; .*'no/such/folder'"):
        fetch(row(site.url))


@pytest.mark.parametrize("slash", ["", "/"])
def test_mirror_comes_before_the_url(
    site: Site, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", f"{site.url}/mirror{slash}")
    weights = row("http://nowhere.invalid", file="net 1.h5")
    assert fetch(weights).read_bytes() == GOOD
    assert [request["path"] for request in site.log] == ["/mirror/net%201.h5"]
    assert fetch(weights).read_bytes() == GOOD  # from the cache
    assert len(site.log) == 1


def test_mirror_without_the_file_is_passed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", f"{site.url}/mirror")
    site.serve(Answer(status=404), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert [request["path"] for request in site.log] == ["/mirror/net.h5", "/v1/net.h5"]
    site.serve(Answer(status=404), Answer(status=410))
    both = r"/mirror/net\.h5: HTTP 404 Not Found and http\S+/v1/net\.h5: HTTP 410 Gone"
    with pytest.raises(WeightsError, match=both):
        fetch(row(site.url, sha256=sha256(OTHER)))


def test_mirror_with_a_wrong_file_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", f"{site.url}/mirror")
    site.serve(Answer(body=OTHER), Answer())
    with pytest.raises(WeightsError, match=r"/mirror/net\.h5 serves is not the file of net\.set"):
        fetch(row(site.url))
    assert len(site.log) == 1


def test_shipped_file_is_proven_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    # A package of its own: a test must not write into the real one.
    package = tmp_path / "zoo"
    (package / "pretrained").mkdir(parents=True)
    monkeypatch.setattr("zoo.weights.__file__", str(package / "weights.py"))
    weights = row("", url="net.h5")
    with pytest.raises(WeightsError, match=r"missing; .*net\.h5; install transfer-zoo again"):
        fetch(weights)
    shipped = package / "pretrained" / "net.h5"
    shipped.write_bytes(GOOD)
    assert fetch(weights) == shipped
    shipped.write_bytes(OTHER)
    with pytest.raises(WeightsError, match=r"is not the file of .*install transfer-zoo again"):
        fetch(weights)
    assert shipped.read_bytes() == OTHER
    assert not cache.exists()


def test_rows_of_one_file_name_do_not_meet(site: Site) -> None:
    first = fetch(row(site.url))
    site.serve(Answer(body=OTHER))
    second = fetch(row(site.url, sha256=sha256(OTHER)))
    third = fetch(unproven(f"{site.url}/v2"))
    assert len({first, second, third}) == 3
    assert [p.read_bytes() for p in (first, second, third)] == [GOOD, OTHER, OTHER]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "abc"},
        {"sha256": "A" * 64},
        {"md5": "abc"},
        {"file": "../net.h5"},
        {"file": ""},
        {"url": "net.h5", "sha256": ""},
    ],
    ids=str,
)
def test_row_that_proves_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^net\.set: "):
        row("http://host", **wrong)


# --- the cache, and rows without a SHA-256 ----------------------------------------


def test_damaged_copy_is_replaced_once_a_good_one_is_proven(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(row(site.url))
    path.write_bytes(GOOD[:-1])
    site.serve(Answer(status=404))
    with pytest.raises(WeightsError, match="HTTP 404"):
        fetch(row(site.url))
    assert path.read_bytes() == GOOD[:-1]  # kept: it is all there is to look into
    assert f"{path} is damaged" in capsys.readouterr().err
    site.serve(Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD


def test_first_fetch_is_recorded_and_later_ones_held_to_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = unproven(site.url)
    path = fetch(weights)
    (record,) = path.parent.glob("*.first.json")
    assert json.loads(record.read_text())["sha256"] == sha256(GOOD)
    assert fetch(weights) == path
    assert len(site.log) == 1

    path.unlink()
    site.serve(Answer(body=OTHER))
    pattern = f"SHA-256 {sha256(GOOD)} of the first fetch.*received {sha256(OTHER)}.*remove that"
    with pytest.raises(WeightsError, match=pattern):
        fetch(weights)

    (tmp_path / "net.h5").write_bytes(OTHER)
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=pattern):
        fetch(weights)
    (tmp_path / "net.h5").write_bytes(GOOD)
    assert fetch(weights) == tmp_path / "net.h5"


def test_first_file_may_come_from_the_folder(site: Site, folder: Path) -> None:
    (folder / "net.h5").write_bytes(GOOD)
    assert fetch(unproven(site.url)) == folder / "net.h5"
    (folder / "net.h5").unlink()
    site.serve(Answer(body=OTHER))
    with pytest.raises(WeightsError, match=f"SHA-256 {sha256(GOOD)} of the first fetch"):
        fetch(unproven(site.url))


def test_md5_stands_in_for_the_first_fetch(site: Site, cache: Path) -> None:
    md5 = hashlib.md5(GOOD, usedforsecurity=False).hexdigest()
    site.serve(Answer(body=OTHER))
    with pytest.raises(WeightsError, match=f"expected MD5 {md5}; received "):
        fetch(unproven(site.url, md5=md5))
    assert cached_files(cache) == {"lock"}
    site.serve(Answer())
    path = fetch(unproven(site.url, md5=md5))
    (record,) = path.parent.glob("*.first.json")
    assert json.loads(record.read_text())["sha256"] == sha256(GOOD)


def test_cached_file_without_its_record_is_fetched_anew(site: Site) -> None:
    path = fetch(unproven(site.url))
    (record,) = path.parent.glob("*.first.json")
    record.unlink()
    site.serve(Answer(body=OTHER))
    assert fetch(unproven(site.url)).read_bytes() == OTHER


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": ""}'])
def test_damaged_record_is_said(site: Site, text: str) -> None:
    path = fetch(unproven(site.url))
    (record,) = path.parent.glob("*.first.json")
    record.write_text(text)
    with pytest.raises(WeightsError, match=r"first\.json cannot be read; .*; remove it"):
        fetch(unproven(site.url))


# --- several processes ------------------------------------------------------------

FETCH = """
import json, sys
from zoo.weights import Weights, fetch
print(fetch(Weights(**json.loads(sys.argv[1])), progress=False))
"""


def start_fetching(weights: Weights, err: Path) -> subprocess.Popen[str]:
    with err.open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", FETCH, json.dumps(vars(weights))],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("num_processes", [2, 4])
def test_processes_share_one_download(
    site: Site, tmp_path: Path, num_processes: int, known: bool
) -> None:
    gate = threading.Event()
    site.serve(Answer(gate=gate))
    weights = row(site.url) if known else unproven(site.url)
    told = [tmp_path / f"{i}.err" for i in range(num_processes)]
    processes = [start_fetching(weights, err) for err in told]
    wait_until(lambda: sum("waiting" in e.read_text() for e in told) == num_processes - 1)
    gate.set()
    paths = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * num_processes
    assert len(site.log) == 1
    assert [Path(path).read_bytes() for path in paths] == [GOOD]


def test_killed_process_leaves_a_part_to_continue_and_no_lock(
    site: Site, tmp_path: Path, cache: Path
) -> None:
    gate = threading.Event()
    site.serve(Answer(gate=gate, etag='"1"'))
    process = start_fetching(row(site.url), tmp_path / "err")
    wait_until(lambda: [p.stat().st_size for p in cache.rglob("*.part")] == [60_000])
    process.kill()
    process.communicate()
    gate.set()
    site.serve(Answer(etag='"1"'))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["bytes=60000-"]


def test_lock_keeps_threads_apart(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with locked(tmp_path / "lock", waiting="waiting"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_import_is_cheap() -> None:
    heavy = ["keras", "tensorflow", "numpy", "pydantic", "rich", "urllib.request", "http.client"]
    code = f"import sys, zoo.weights; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
