"""The command `zoo serve`: a model over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import Trust, Verify


def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run, an exported model, or a network by name.")
    ],
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Where to listen; but for loopback, needs a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one.")
    ] = 8501,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            help="What requests have to bear; other users of this machine see it here, and not "
            "in ZOO_SERVE_TOKEN.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The model's; by default its folder's."),
    ] = None,
    trust: Trust = False,
    verify: Verify = None,
    max_batch: Annotated[
        int, typer.Option("--max-batch", metavar="N", help="Images computed at once, at most.")
    ] = 8,
    max_delay_ms: Annotated[
        float,
        typer.Option(
            "--max-delay-ms", metavar="MS", help="How long an image waits for others to join it."
        ),
    ] = 5.0,
    max_body_mb: Annotated[
        int, typer.Option("--max-body-mb", metavar="MB", help="Size of a request, at most.")
    ] = 32,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", metavar="N", help="Pixels of an image, at most.")
    ] = 2**26,
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting", metavar="N", help="Images in work; more are told to come again."
        ),
    ] = 256,
    timeout_s: Annotated[
        float,
        typer.Option(
            "--timeout-s", metavar="S", help="Seconds for a request to arrive, and to be answered."
        ),
    ] = 30.0,
) -> None:
    """Serve a model over HTTP, with a page to try it on, until Ctrl-C."""
    from pipelines.serving.serve import serve as serve_model
    from pipelines.serving.server.limits import Limits

    limits = Limits(
        max_batch=max_batch,
        max_delay_ms=max_delay_ms,
        max_body_mb=max_body_mb,
        max_pixels=max_pixels,
        max_waiting=max_waiting,
        timeout_s=timeout_s,
    )
    serve_model(
        model,
        host=host,
        port=port,
        token=token,
        name=name,
        trust=trust,
        verify=verify,
        limits=limits,
    )
