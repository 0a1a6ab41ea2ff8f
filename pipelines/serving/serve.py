"""Serve a model over HTTP: REST, metrics, and a page to try it on."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import logging
import os
import socket
from pathlib import Path

from pipelines.serving.server.limits import Limits
from pipelines.storage.run_folder import RunFolder
from zoo.errors import InputError

logger = logging.getLogger(__name__)

TOKEN = "ZOO_SERVE_TOKEN"
"""The environment variable with the token that requests have to bear."""

MIN_TOKEN = 16
"""Characters of a token, at least."""

_PACKAGES = ("starlette", "uvicorn", "prometheus_client", "python_multipart")


def serve(
    model: RunFolder | str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    token: str | None = None,
    name: str | None = None,
    trust: bool = False,
    verify: str | Path | None = None,
    limits: Limits | None = None,
) -> None:
    """Serves a model until Ctrl-C or SIGTERM; requests in flight are answered.

    Of a folder with several versions the newest is served, and a newer one taken up when it is
    there. Answers are those of `predict`.

    Args:
        model: A finished run, a model that `zoo export` wrote or its folder of versions, or
            a pretrained network with a top, by name or as a file.
        host: The address to listen on. Any but a loopback address can be reached by other
            machines, and needs a token.
        port: The port; 0 takes a free one, which the log names.
        token: What requests have to bear, `Authorization: Bearer TOKEN`, 16 characters or more;
            None takes that of the environment variable `ZOO_SERVE_TOKEN`, if it is set.
        name: By which clients know the model; None takes the name of its folder.
        trust: Whether to run a SavedModel that this user did not export: it is a program.
        verify: The public key of whoever signed the SavedModel, a PEM file; checked for each
            new version, too.
        limits: What the server takes on; None takes `pipelines.serving.server.limits.Limits()`.

    Raises:
        InputError: The extra `serve` is not installed; or the host or the port cannot be
            listened on, or needs a token; or a limit is out of range.
        RunError: `model` is none of these, or damaged, or not known to be an export of yours.
        UnknownNameError: `model` is nearly the name of a pretrained network.
        WeightsError: The pretrained network has no top, or its file is absent or damaged.
    """
    _check_installed()
    from pipelines.serving.server.application import build_application
    from pipelines.serving.server.program import run_application
    from pipelines.serving.server.service import Service
    from pipelines.serving.server.versions import ModelSource

    limits = limits or Limits()
    limits.check()
    token = os.environ.get(TOKEN, "") if token is None else token
    if trust and verify:
        raise InputError(
            "a SavedModel is either trusted or verified",
            expected="--trust or --verify",
            received="both",
            mend="omit --trust (in Python: trust=True)",
        )
    with contextlib.closing(_bind(host, port)) as listener:
        address = listener.getsockname()
        is_local = ipaddress.ip_address(address[0]).is_loopback
        _check_token(token, host, required=not is_local)
        source = ModelSource(
            model if isinstance(model, RunFolder) else Path(model),
            trust=trust,
            verify=Path(verify) if verify else None,
        )
        service = Service(name or source.name, source, limits)
        hosts = {"localhost", host.lower(), address[0]} if is_local else set()
        application = build_application(service, token=token, hosts=hosts)
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        run_application(
            application,
            listener,
            greeting=f"{service.name}, version {service.versions.current.version}, is served at "
            f"http://{shown}:{address[1]}/ until Ctrl-C",
            timeout_s=limits.timeout_s,
        )


def _check_installed() -> None:
    for package in _PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise InputError(
                "a server needs packages that are not installed",
                expected="starlette, uvicorn, prometheus-client and python-multipart",
                received=str(error),
                mend="pip install 'transfer-zoo[serve]'",
            ) from None


def _bind(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to an address, and does not listen yet.

    Raises:
        InputError: There is no such address here, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    # A port beyond 65535 is an OverflowError; a host that no encoding has, a UnicodeError.
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot listen on {host}, port {port}: {reason}",
            expected="an address of this machine, and a port that nobody listens on",
            mend="add --port 0 to take a free one",
        ) from None
    return listener


def _check_token(token: str, host: str, *, required: bool) -> None:
    problem = ""
    if required and not token:
        problem = f"other machines can reach {host}, and nobody has to show a token"
    elif token and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
        problem = "the token can be guessed, or not be sent"
    if problem:
        raise InputError(
            problem,
            expected=f"a token of {MIN_TOKEN} characters of ASCII or more",
            received=f"{len(token)} characters",
            mend=f"set {TOKEN} to one, as `openssl rand -hex 16` prints, or add --token",
        )
