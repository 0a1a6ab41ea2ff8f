"""Images that the scan decoded are those that the input pipeline would decode, and fit."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.input_pipeline.decoded_images import build_reader
from pipelines.sources.examining.examination import DECODING_BUDGET, examine_image
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.source import Examples, join_examples
from tests.support.image_matrix import build_matrix
from tests.support.photographs import Fill, encode, photo
from zoo.decoding.image_decoder import WHITE, ImageDecoder
from zoo.preprocessing import Preprocessing

DECODER = ImageDecoder()

OPTIONS = ({"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"quality": 30})


@pytest.fixture
def data(fill: Fill) -> str:
    for index, options in enumerate(OPTIONS):
        names = {f"{i}__jpg": encode(photo(10 * index + i, (61, 47)), **options) for i in range(5)}
        fill(f"class_{index}", 0, **names)
    fill("class_0", 0, gray__jpg=encode(photo(77, (30, 40), "L")))
    fill("class_1", 0, large__jpg=encode(photo(78, (999, 501)), quality=50))
    fill("class_2", 0, a__png=encode(photo(79, (20, 30)), "PNG"))
    return str(fill("class_3", 0, b__gif=encode(photo(80, (20, 30)), "GIF")))


def _read_all(examples: Examples) -> list[np.ndarray]:
    read = build_reader(examples, DECODER, ahead_mib=0)
    return [read(np.int64(index))[0].numpy() for index in range(len(examples))]


@pytest.mark.parametrize("limit_mib", [0, 1, 16])
def test_kept_images_equal_the_decoded_files(
    data: str,
    limit_mib: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    kept = KeptImages(DECODER, limit_mib)
    examples = join_examples(list(open_source(data, kept=kept).splits.values()))
    assert examples.kept is kept
    assert {0: 0, 1: 23, 16: 24}[limit_mib] == len(kept), "the large one needs 1.4 MiB"
    for image, index in zip(_read_all(examples), range(len(examples)), strict=True):
        np.testing.assert_array_equal(image, DECODER(examples.read(index)).numpy())


@pytest.mark.parametrize("background", [WHITE, (10, 200, 77)], ids=str)
def test_files_of_every_kind_are_kept_as_the_decoder_yields_them(
    background: tuple[int, int, int],
) -> None:
    decoder = ImageDecoder(background)
    kept = KeptImages(decoder, 8)
    for name, content in build_matrix().items():
        found = examine_image(name, content)
        if found.pixels is not None:
            continue  # another file is read
        before = len(kept)
        kept.keep(content, found)
        if len(kept) == before:
            assert content[24] == 16, name
            continue
        image, frame = (part.numpy() for part in decoder.decode(content))
        start, height, width = kept.places[-1]
        np.testing.assert_array_equal(
            kept.pixels[start:].reshape(-1)[: image.size].reshape(height, width, 3), image, name
        )
        np.testing.assert_array_equal(kept.frames[-1], frame, name)
    assert len(kept) > 50


def test_file_that_ends_anywhere_in_its_header_is_answered() -> None:
    content = encode(photo(1), "PNG")
    for end in range(8, 40):
        assert examine_image("a.png", content[:end]).scan.problem, end


def test_images_of_16_bits_are_not_kept_and_the_depth_of_others_does_not_matter(
    fill: Fill, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    deep = cv2.imencode(".png", np.arange(1200, dtype=np.uint16).reshape(30, 40))[1].tobytes()
    fill("ants", 5, deep__png=deep)
    kept = KeptImages(DECODER, 16)
    examples = open_source(str(fill("bees", 6)), kept=kept).train
    assert len(kept) == 11
    for depth in (8, 11):
        decoder = replace(DECODER, depth=depth)
        read = build_reader(examples, decoder, ahead_mib=0)
        for index in range(len(examples)):
            expected = decoder(examples.read(index)).numpy()
            np.testing.assert_array_equal(read(np.int64(index))[0], expected)
    other = replace(DECODER, background=(1, 2, 3))
    assert (kept.find_for(other, examples.binary_digests, examples.shapes) == -1).all()


@pytest.mark.parametrize("size", [32, 224, 300])
def test_turned_and_reduced_images_are_those_of_the_decoder(
    size: int, fill: Fill, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    for label, side in (("ants", 40), ("bees", 487), ("wasps", 1033)):
        exif = {i: Image.Exif() for i in range(1, 9)}
        for orientation, tags in exif.items():
            tags[0x0112] = orientation
        names = {
            f"{i}__jpg": encode(photo(i, (side + 100, side)), exif=tags) for i, tags in exif.items()
        }
        fill(label, 0, **names)
    decoder = Preprocessing(size=size).decoder
    kept = KeptImages(decoder, 64)
    examples = open_source(str(fill(".")), kept=kept).train
    assert len(kept) == 24
    found = kept.find_for(decoder, examples.binary_digests, examples.shapes)
    for (start, height, width), frame, index in zip(
        kept.places[found].tolist(), kept.frames[found], range(len(examples)), strict=True
    ):
        image = kept.pixels[start : start + 3 * height * width].reshape(height, width, 3)
        expected, expected_frame = decoder.decode(examples.read(index))
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(frame, expected_frame)
    # A decoder that reduces some of them by another factor is served the others.
    larger = Preprocessing(size=2 * size).decoder
    same = decoder.reductions(examples.shapes) == larger.reductions(examples.shapes)
    assert 0 < same.sum() < len(same)
    served = kept.find_for(larger, examples.binary_digests, examples.shapes) >= 0
    assert (served == same).all()


def test_kept_images_are_not_read_again(
    data: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    train = open_source(data, kept=KeptImages(Preprocessing(size=32).decoder, 16)).train
    preprocessing = Preprocessing(size=32)
    expected = np.concatenate(
        list(build_image_dataset(open_source(data).train, preprocessing, 8).as_numpy_iterator())
    )
    for file in train.files or ():
        file.unlink()
    found = np.concatenate(list(build_image_dataset(train, preprocessing, 8).as_numpy_iterator()))
    np.testing.assert_array_equal(found, expected)


def test_threads_may_add_at_the_same_time() -> None:
    images = {
        hashlib.sha256(bytes([i])).digest(): np.full((i % 7 + 1, 5, 3), i, np.uint8)
        for i in range(200)
    }
    kept = KeptImages(DECODER, 1)
    with ThreadPoolExecutor(8) as pool:
        frames = [np.full(4, image[0, 0, 0], np.float32) for image in images.values()]
        assert all(pool.map(kept.add, images, images.values(), frames))
    keys = np.frombuffer(b"".join(images), np.uint8).reshape(-1, 32)
    rows = kept.find(keys)
    np.testing.assert_array_equal(kept.frames[rows], frames)
    places = kept.places[rows]
    for (start, height, width), image in zip(places.tolist(), images.values(), strict=True):
        found = kept.pixels[start : start + 3 * height * width].reshape(height, width, 3)
        np.testing.assert_array_equal(found, image)
    assert kept.find(np.zeros((1, 32), np.uint8)).tolist() == [-1]
    too_large = np.zeros((600, 600, 3), np.uint8)
    assert not kept.add(bytes(32), too_large, np.zeros(4, np.float32)), "more than is left"


def test_decoding_waits_for_the_memory_that_others_hold() -> None:
    content = encode(photo(1, (900, 700)))
    found, kept = examine_image("it", content), KeptImages(DECODER, 16)
    assert found.reduction > 1, "decoded anew at its full size"
    thread = threading.Thread(target=kept.keep, args=(content, found))
    with DECODING_BUDGET.reserve(DECODING_BUDGET.num_bytes):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert len(kept) == 0
    thread.join(60)
    assert len(kept) == 1
