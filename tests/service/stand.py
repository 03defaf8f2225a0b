"""A service with one small model, in memory or on a socket, and tokens of each role."""

import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from unseen import Bundle, Detector
from unseen.service.app import create_app
from unseen.service.registry import Registry
from unseen.service.run import bound, server_of
from unseen.service.state import Limits, Service
from unseen.service.store.schema import check_current
from unseen.service.store.store import Store
from unseen.service.tokens import add_token

ROLES = ("score", "review", "admin")


def saved(folder):
    """A saved detector of two numbers and a word, with one kind of anomaly."""
    generator = np.random.default_rng(0)
    rows = [
        {"load": float(a), "heat": float(b), "valve": str(c)}
        for a, b, c in zip(
            generator.normal(3, 1, 300),
            generator.normal(60, 5, 300),
            generator.choice(["open", "shut"], 300),
            strict=True,
        )
    ]
    kinds = ["normal"] * 292 + ["leak"] * 8
    rows[-8:] = [row | {"heat": 120.0 + k} for k, row in enumerate(rows[-8:])]
    detector = Detector("mahalanobis", random_state=0).fit(rows, kinds)
    Bundle(detector, {"source": "pumps.csv"}).save(Path(folder) / "pumps")
    return Path(folder) / "pumps"


class Stand:
    """A service in a folder, and what is asked of it."""

    def __init__(self, home, bundle, **limits):
        self.home = Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        store = Store(f"sqlite:///{self.home}/unseen.db")
        check_current(store)
        registry = Registry(store, self.home)
        registry.add("pumps", bundle, "admin")
        self.service = Service(store, registry, self.home, Limits(**limits))
        with store.writing() as connection:
            self.tokens = {role: add_token(connection, role, role) for role in ROLES}
        self.app = create_app(self.service)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def bearer(self, role="score"):
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def ask(self, method="POST", path="/v1/models/pumps/score", role="score", **how):
        headers = ({} if role is None else self.bearer(role)) | how.pop("headers", {})
        return self.client.request(method, path, headers=headers, **how)

    def close(self):
        self.client.close()
        self.service.close()

    @contextmanager
    def live(self):
        """The port of a real server, which runs meanwhile."""
        at, server = bound("127.0.0.1", 0), server_of(self.service)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield at.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def spoken(port, *parts, pause=0.0, seconds=5.0):
    """What a server answers to bytes that come in parts, until it closes the connection."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as line:
        try:
            for part in parts:
                line.sendall(part)
                time.sleep(pause)
            while more := line.recv(1 << 16):
                heard += more
        except (ConnectionError, TimeoutError):
            pass
    return heard


def saved_images(folder):
    """A saved detector of small images, and `pumps-images`, the folder that it was trained on."""
    from PIL import Image

    from unseen import Features, Images, Maps
    from unseen.methods import Nearest, Patches

    generator = np.random.default_rng(0)
    for kind, width, count in (("normal", 0, 130), ("crack", 20, 3)):
        place = Path(folder) / "pumps-images" / kind
        place.mkdir(parents=True)
        for k in range(count):
            pixels = generator.normal(90, 10, (32, 32, 3))
            pixels[8:24, 8 : 8 + width] = generator.choice([0, 255], (16, width, 1))
            pixels = pixels.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{k}.png")
    maps = Maps.of(Images.read(Path(folder) / "pumps-images"), Features(size=64))
    detector = Detector(Patches(Nearest(k=1)), random_state=0, features=Features(size=64))
    detector.fit(maps, maps.labels)
    Bundle(detector, {"source": "pumps-images"}).save(Path(folder) / "saved-images")
    return Path(folder) / "saved-images"
