"""A service on its feet: database and models opened, the address checked, requests answered until
a signal ends it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import Context
from ipaddress import ip_address
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from unseen.errors import DataError
from unseen.quiet import quiet
from unseen.service.app import create_app
from unseen.service.logs import logged
from unseen.service.recent import KEPT
from unseen.service.registry import Registry
from unseen.service.state import Limits, Service
from unseen.service.store.schema import check_current
from unseen.service.store.store import Store
from unseen.service.tokens import OPERATOR, add_token, any_valid_token

HEAD = 10.0  # seconds for the head of a request to arrive
CONNECTIONS = 500  # at once; more are refused with 503


def named_models(given: Sequence[str]) -> dict[str, Path]:
    """Folders of saved detectors by the names of their models: NAME=DIR, or a folder's own name.

    >>> named_models(["pumps=saved/v2", "saved/flows"])
    {'pumps': PosixPath('saved/v2'), 'flows': PosixPath('saved/flows')}
    """
    found = dict[str, Path]()
    for each in given:
        name, equals, folder = each.partition("=")
        place = Path(folder if equals else each)
        name = name if equals else place.absolute().name
        if name in found:
            raise DataError(
                f"model {name!r} is named twice: give one of them another name, as in other={place}"
            )
        found[name] = place
    return found


def opened_service(
    given: Mapping[str, Path],
    store: Store,
    home: Path,
    *,
    trust: Collection[str] = (),
    limits: Limits | None = None,
    keep: int = KEPT,
    train: Mapping[str, Path] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Service:
    """Database and models of a service, ready to answer.

    Parameters
    ----------
    given : dict of str to Path
        Saved detectors by the names of their models, beside those that the database knows.
    store : Store
        The database; one that is empty gets its tables.
    home : Path
        The folder of the service, made where there is none.
    trust : tuple of str
        As in `Bundle.load`.
    limits : Limits, optional
        What clients may ask for.
    keep : int
        Rows of each model that passed of late, to keep for recalibration; 0 keeps none.
    train : dict of str to Path, optional
        Training files or folders, by the names of their models, to learn from again.
    tell : callable
        Is told, in sentences, what an operator should know.

    Raises
    ------
    BundleError, DataError
        For a folder that is no saved detector, and a name that is none.
    StoreError
        Where the database cannot be reached.
    """
    home.mkdir(parents=True, exist_ok=True)
    check_current(store)
    registry = Registry(store, home, trust)
    for name, folder in given.items():
        number = registry.add(name, folder, OPERATOR)
        if (serves := registry.serving(name).version) != number:
            tell(
                f"model {name!r} goes on with version {serves}; {folder} is its version {number}: "
                f"promote it with POST /v1/models/{name}/versions/{number}/promote"
            )
    names = registry.names()
    if not names:
        raise DataError("there is no model to serve: name the folder of a saved detector")
    for name in names:  # loaded, or refused, before anybody asks
        serving = registry.serving(name)
        serving.bundle.detector.check_reach(serving.policy)  # warns where nothing can alarm
    for name, place in (train or {}).items():
        check_train(name, place, names)
    return Service(store, registry, home, limits or Limits(), keep=keep, train=dict(train or {}))


def check_train(name: str, place: Path, known: Collection[str]) -> None:
    """DataError for training data of a model that is not served, or that are not there."""
    if name not in known:
        raise DataError(
            f"--train {name}={place}: there is no model {name!r}; the models are {', '.join(known)}"
        )
    if not place.exists():
        raise DataError(f"--train {name}={place}: no such file or folder; check the spelling")


def first_token(store: Store, host: str) -> str | None:
    """A new admin token where there is no valid one, and the address is loopback; None where there
    are tokens. DataError for another address without tokens: whoever came first would be asked for
    nothing.
    """
    with store.writing() as connection:
        if any_valid_token(connection):
            return None
        if not is_loopback(host):
            raise DataError(
                f"--host {host}: others can reach this address, and there is no valid token yet: "
                f"make one with `unseen token add NAME --role admin --store {store.name}`, then "
                "serve again"
            )
        return add_token(connection, OPERATOR, "admin")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; DataError for what is none."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError as error:
        raise DataError(
            f"--host {host!r}: expected an IP address, such as 127.0.0.1, ::1 or 0.0.0.0, or "
            "localhost"
        ) from error


def listen(
    service: Service,
    host: str,
    port: int,
    *,
    proxies: Sequence[str] = (),
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Answer requests until SIGINT, SIGTERM or SIGHUP; those that were begun are answered first.

    Parameters
    ----------
    service : Service
        What answers.
    host, port : str and int
        Where to listen; port 0 is a free one.
    proxies : tuple of str
        Addresses of proxies that end TLS: their word counts for where a request came from.
    ready : callable
        Is told the address once requests are taken.

    Raises
    ------
    DataError
        Where the address cannot be had.
    """
    at, server = bound(host, port), server_of(service, proxies)
    service.begin()
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, server.handle_exit)
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{at.getsockname()[1]}")
    with at:
        # its own context: errors for clients name no flags of the command line
        Context().run(_served, server, at)


def server_of(service: Service, proxies: Sequence[str] = ()) -> uvicorn.Server:
    """What answers requests, as `listen` runs it."""
    config = uvicorn.Config(
        create_app(service),
        http=Patient,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=60,
        h11_max_incomplete_event_size=16 << 10,
        limit_concurrency=CONNECTIONS,
    )
    return uvicorn.Server(config)


class Patient(H11Protocol):
    """A connection that waits only so long for the head of a request, and sends what is ready at
    once.
    """

    patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # else the body of an answer waits until the client has acknowledged its head: 40 ms.
        # asyncio sets it for sockets that it made itself.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _wait(self) -> None:
        """Wait where a head has begun, or none came yet; else no more."""
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self.patience is None:
            self.patience = self.loop.call_later(HEAD, self.transport.close)

    def _stop(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None


def _served(server: uvicorn.Server, at: socket.socket) -> None:
    with quiet(), logged():  # notes of the library may show values of rows
        asyncio.run(server.serve(sockets=[at]))


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there; DataError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if not 0 <= port < 1 << 16:
            raise OSError("no such port")
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise DataError(
            f"--host {host} --port {port}: cannot listen there ({error}); choose another port, or "
            "stop what uses it"
        ) from error
