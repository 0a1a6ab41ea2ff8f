"""Class names: a readable name for each class, and classes found by any unique name."""

from __future__ import annotations

import re

import pytest

from zoo.backbones.catalog import WEIGHTS
from zoo.errors import DataError
from zoo.models.class_names import ClassNames
from zoo.models.pretrained import list_classifiers
from zoo.weights.archive import read_card
from zoo.weights.fetch import fetch


def _names_of(network: str) -> ClassNames:
    card = read_card(fetch(WEIGHTS[network]))
    return ClassNames(card.class_names, card.display_names)


@pytest.fixture(scope="module")
def imagenet() -> ClassNames:
    return _names_of("efficientnet_lite0.imagenet")


@pytest.mark.parametrize("network", list_classifiers())
def test_every_class_is_found_by_its_readable_name_and_by_its_id(network: str) -> None:
    names = _names_of(network)
    everything = list(range(len(names.ids)))
    assert names.match(names.readable) == everything
    assert names.match(names.ids) == everything
    assert len(set(names.readable)) == len(everything)
    assert names.match([name.upper().replace(" ", "_") for name in names.readable]) == everything


@pytest.mark.parametrize(
    ("id_", "readable"),
    [
        ("n02219486", "ant"),
        ("n02206856", "bee"),
        ("n02099601", "golden retriever"),
        # Two classes are called so, and have no other name.
        ("n02012849", "crane (n02012849)"),
        ("n03126707", "crane (n03126707)"),
        # The first name is also that of another class.
        ("n03710721", "tank suit"),
        ("n02113186", "Cardigan Welsh corgi"),
        ("n02963159", "cardigan (n02963159)"),
        # A synonym of another class, whose first name is a different one.
        ("n01807496", "partridge"),
    ],
)
def test_readable_name_is_the_first_that_is_unique(
    id_: str, readable: str, imagenet: ClassNames
) -> None:
    assert imagenet.readable[imagenet.ids.index(id_)] == readable


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("n02219486", "n02219486"),
        ("N02219486", "n02219486"),
        ("Ant", "n02219486"),
        ("emmet", "n02219486"),
        ("ant, emmet, pismire", "n02219486"),
        ("Golden_Retriever", "n02099601"),
        ("golden-retriever", "n02099601"),
        ("goldenretriever", "n02099601"),
        ("black and tan coonhound", "n02089078"),
        # The first name of a class comes before the further name of another.
        ("partridge", "n01807496"),
        ("Crane (n03126707)", "n03126707"),
    ],
)
def test_class_is_found_by_any_name_that_is_its_own(
    name: str, id_: str, imagenet: ClassNames
) -> None:
    assert imagenet.match([name]) == [imagenet.ids.index(id_)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["ants", "bee"], "of these images: ants (near: ant"),
        (["zzzzzz"], "of these images: zzzzzz; expected names or ids of its classes"),
        (["crane"], "crane is one of crane (n02012849), crane (n03126707)"),
        (["panda", "catamount"], "panda is one of lesser panda, giant panda; catamount is one of"),
        (["Cardigan"], "Cardigan is one of Cardigan Welsh corgi, cardigan (n02963159)"),
        ([f"zzzz{i}" for i in range(8)], "zzzz4; and 3 more"),
        ([""], "does not know"),
    ],
)
def test_other_names_are_refused_in_one_line(
    given: list[str], message: str, imagenet: ClassNames
) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        imagenet.match(given)
    assert "\n" not in str(caught.value)


def test_classes_without_display_names_have_their_own() -> None:
    names = ClassNames(("cat", "sea_lion"))
    assert names.readable == names.ids
    assert names.match(["sea lion", "Cat"]) == [1, 0]
    with pytest.raises(DataError, match=r"cats \(near: cat\)"):
        names.match(["cats"])
