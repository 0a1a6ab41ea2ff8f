"""Signatures: a model that the key's owner signed is accepted unchanged, and refused otherwise."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.key_pairs import write_pair
from zoo.errors import InputError, RunError
from zoo.export.seal import check_seal, seal
from zoo.export.signature import check_signature, open_signer

Change = Callable[[Path], object]

FILES = ("saved_model.pb", "variables/variables.index", "assets/labels é.txt")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pairs `mine` and `other`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        write_pair(folder, name)
    return folder


@pytest.fixture
def model(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed and sealed folder of a SavedModel's layout."""
    monkeypatch.setenv("ZOO_KEY", str(tmp_path / "seal.key"))
    folder = tmp_path / "model" / ".1.0badcafe"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    open_signer(keys / "mine.pem")(folder, "model/1")
    seal(folder)
    return folder.rename(tmp_path / "model" / "1")


def test_signed_model_is_accepted_by_whoever_has_the_public_key(
    model: Path, keys: Path, tmp_path: Path
) -> None:
    check_signature(model, keys / "mine.pub")
    check_seal(model)
    moved = shutil.copytree(model, tmp_path / "elsewhere")
    (moved / "seal.json").unlink()
    check_signature(moved, keys / "mine.pub")


def test_signature_is_of_the_digests_by_the_formulas(model: Path, keys: Path) -> None:
    """The oracle is cryptography's ECDSA over DSSE's encoding, and hashlib."""
    bundle = json.loads((model / "model.sig").read_bytes())
    envelope = bundle["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    public: Any = serialization.load_pem_public_key((keys / "mine.pub").read_bytes())
    public.verify(
        base64.b64decode(envelope["signatures"][0]["sig"]),
        f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload,
        ec.ECDSA(hashes.SHA256()),
    )
    statement = json.loads(payload)
    assert statement["subject"][0]["name"] == "model/1"
    stated = {r["name"]: r["digest"] for r in statement["predicate"]["resources"]}
    assert stated == {n: hashlib.sha256(n.encode()).hexdigest() for n in FILES}


def _write(name: str, text: str = "other") -> Change:
    return lambda folder: (folder / name).write_text(text)


def _edit(change: Callable[[Any], object]) -> Change:
    def edit(folder: Path) -> None:
        bundle = json.loads((folder / "model.sig").read_bytes())
        change(bundle)
        (folder / "model.sig").write_text(json.dumps(bundle))

    return edit


def _forge(change: Callable[[Any], object]) -> Change:
    """Changes what is signed, and not the signature."""

    def forge(bundle: Any) -> None:
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        change(statement["predicate"])
        payload = base64.b64encode(json.dumps(statement).encode())
        bundle["dsseEnvelope"]["payload"] = payload.decode()

    return _edit(forge)


def _flip(folder: Path) -> None:
    content = bytearray((folder / "saved_model.pb").read_bytes())
    content[3] ^= 1
    (folder / "saved_model.pb").write_bytes(content)


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (_flip, r"saved_model\.pb, which has changed since it was signed"),
        (_write("variables/variables.index"), r"variables/variables\.index, which has changed"),
        (_write("saved_model.cpb"), r"saved_model\.cpb, which has changed"),
        (_write(".gitattributes"), r"\.gitattributes, which has changed"),
        (lambda folder: (folder / "assets/labels é.txt").unlink(), "assets/labels é.txt, which"),
        (
            lambda folder: (folder / "saved_model.pb").rename(folder / "saved_model.pbtxt"),
            r"saved_model\.pb, which has changed",
        ),
        (lambda folder: (folder / "link").symlink_to("saved_model.pb"), "link, which is no regu"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe, which is no regular file"),
        (lambda folder: (folder / "model.sig").unlink(), "no signature"),
        (
            lambda folder: (folder / "model.sig").unlink() or os.mkfifo(folder / "model.sig"),
            "a damaged signature",
        ),
        (_write("model.sig"), "a damaged signature"),
        (_write("model.sig", "[" * 10_000), "a damaged signature"),
        (_write("model.sig", " " * 2**21), "a damaged signature"),
        (_edit(lambda bundle: bundle["dsseEnvelope"].update(signatures=[])), "a damaged signatu"),
        (_edit(lambda bundle: bundle["dsseEnvelope"].update(payload="é")), "a damaged signature"),
        (_edit(lambda bundle: bundle["dsseEnvelope"].update(payload=3)), "a damaged signature"),
        (_edit(lambda bundle: bundle.update(mediaType="text/plain")), "a damaged signature"),
        (_edit(lambda bundle: bundle["verificationMaterial"].clear()), "a damaged signature"),
        (
            _edit(lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint="")),
            "a signature of another kind",
        ),
        (
            _edit(lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint="00")),
            "a signature of another key",
        ),
        (_forge(lambda told: told["resources"].pop()), "a damaged signature"),
        (_forge(lambda told: told["serialization"].update(method="shards")), "a signature of an"),
    ],
)
def test_changed_model_is_refused(
    change: Change,
    received: str,
    model: Path,
    keys: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(model)
    with pytest.raises(RunError, match=rf"is a program.*; received {received}"):
        check_signature(model, keys / "mine.pub")
    assert capsys.readouterr().out == ""


def test_model_of_another_key_is_refused(model: Path, keys: Path) -> None:
    with pytest.raises(
        RunError, match=r"signature that .*other\.pub verifies; received a signature of"
    ):
        check_signature(model, keys / "other.pub")
    open_signer(keys / "other.pem")(model, "model/1")
    with pytest.raises(RunError, match="received a signature of another key"):
        check_signature(model, keys / "mine.pub")


def test_refusal_of_a_foreign_seal_names_the_signature(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_KEY", str(tmp_path / "other.key"))
    with pytest.raises(RunError, match=r"model\.sig is checked by --verify and the public key"):
        check_seal(model)


def test_other_tools_verify_the_signature_and_sign_for_us(
    model: Path, keys: Path, tmp_path: Path
) -> None:
    tool = [sys.executable, "-W", "ignore", "-m", "model_signing"]
    public, private = keys / "mine.pub", keys / "other.pem"
    signature = ["--signature", str(model / "model.sig")]
    verify = [*tool, "verify", "key", str(model), *signature, "--public_key", str(public)]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    (model / "model.sig").unlink()
    sign = [*tool, "sign", "key", str(model), *signature, "--private_key", str(private)]
    subprocess.run(sign, capture_output=True, check=True)
    check_signature(model, keys / "other.pub")
    (model / "seal.json").write_text("{}")
    with pytest.raises(RunError, match=r"received seal\.json, which has changed since it was sign"):
        check_signature(model, keys / "other.pub")


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_longer_and_encrypted_keys_sign(
    curve: ec.EllipticCurve, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ec.generate_private_key(curve)
    private, public = write_pair(tmp_path, "key", key, password="secret é")
    with pytest.raises(InputError, match=r"no private key that can.* or ZOO_SIGN_PASSWORD with"):
        open_signer(private)
    monkeypatch.setenv("ZOO_SIGN_PASSWORD", "secret é")
    open_signer(private)(model, "model/1")
    check_signature(model, public)


def _write_rsa(folder: Path) -> tuple[Path, Path]:
    return write_pair(folder, "rsa", rsa.generate_private_key(65537, 2048))


def _write_other_curve(folder: Path) -> tuple[Path, Path]:
    return write_pair(folder, "k1", ec.generate_private_key(ec.SECP256K1()))


def _write_text(folder: Path) -> tuple[Path, Path]:
    (folder / "text").write_text("-----BEGIN NOTHING-----\n")
    return folder / "text", folder / "text"


def _exchange(folder: Path) -> tuple[Path, Path]:
    private, public = write_pair(folder, "key")
    return public, private


def _make_pipe(folder: Path) -> tuple[Path, Path]:
    os.mkfifo(folder / "pipe")
    return folder / "pipe", folder / "pipe"


@pytest.mark.parametrize(
    "make",
    [
        _write_rsa,
        _write_other_curve,
        _write_text,
        _exchange,
        _make_pipe,
        lambda folder: (folder / "absent", folder / "absent"),
        lambda folder: (folder, folder),
        lambda folder: (Path("/dev/zero"), Path("/dev/zero")),
    ],
)
def test_what_is_no_key_is_refused_in_one_line(
    make: Callable[[Path], tuple[Path, Path]], model: Path, tmp_path: Path
) -> None:
    private, public = make(tmp_path)
    for half, use in (
        ("private", lambda: open_signer(private)),
        ("public", lambda: check_signature(model, public)),
    ):
        with pytest.raises(InputError, match=rf"holds no {half} key that.* P-256") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_missing_packages_are_named(
    model: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("signing", "verifying"):
        monkeypatch.setitem(sys.modules, f"model_signing.{name}", None)
    for use in (
        lambda: open_signer(keys / "mine.pem"),
        lambda: check_signature(model, keys / "mine.pub"),
    ):
        with pytest.raises(InputError, match=r"pip install 'transfer-zoo\[sign\]'"):
            use()
