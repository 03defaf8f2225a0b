"""Commands of the service: serve."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter, validators

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.terminal import say

commands = App(version=__version__)


@commands.command(
    sort_key=30,
    help_epilogue="Example:\n"
    "  unseen serve saved/flows\n"
    "  unseen serve flows=saved/v3 --store postgresql://unseen@db/unseen --host 0.0.0.0 "
    "--proxy 10.0.0.2",
)
def serve(
    given: Annotated[
        tuple[str, ...],
        Parameter(
            name="DIR",
            help=(
                "folders of saved detectors; a model has its folder's name, or NAME=DIR says "
                "another; without any, those that the database knows"
            ),
        ),
    ] = (),
    /,
    *,
    store: flags.StoreUrl = None,
    home: flags.Home = flags.HOME,
    host: Annotated[
        str, Parameter(help="address to listen at; others than loopback need a token first")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="port to listen at; 0 is a free one")] = 8000,
    proxies: Annotated[
        tuple[str, ...],
        Parameter(
            name="--proxy",
            metavar="IP ...",
            help="proxies in front, which end TLS: their X-Forwarded headers are believed",
        ),
    ] = (),
    train: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="NAME=PATH ...",
            help="what models were trained on, to learn from again beside labels; without it a "
            "model learns from the rows that stayed with it",
        ),
    ] = (),
    keep: Annotated[
        int,
        Parameter(
            name="--keep-rows",
            metavar="N",
            help="rows of each model that passed of late, to keep for recalibration; 0 keeps none",
            validator=validators.Number(gte=0, lte=100_000),
        ),
    ] = 5000,
    trust: flags.Trust = (),
) -> None:
    """Score rows over HTTP, keep alarms in a database, and show them on a page for review."""
    from unseen.service import serving_extra

    with serving_extra():
        from unseen.service import run
        from unseen.service.store.store import Store, database_of

    opened, models = Store(database_of(store, home)), run.named_models(given)
    kept = run.named_models(train)
    service = run.opened_service(models, opened, home, trust=trust, keep=keep, train=kept, tell=say)
    if token := run.first_token(opened, host):
        say(f"first token, of role admin, shown only now: {token}")
    try:
        run.listen(service, host, port, proxies=proxies, ready=lambda at: say(f"serving on {at}"))
    finally:
        service.close()
