"""A service in a folder, with one small model and alerts that its detector raised."""

import threading
import time
from pathlib import Path

import numpy as np
import uvicorn
from fastapi.testclient import TestClient

from unseen import Bundle, Detector
from unseen.service.app import create_app
from unseen.service.registry import Registry
from unseen.service.state import Limits, Service
from unseen.service.store.store import Store
from unseen.service.store.tables import metadata
from unseen.service.tokens import add_token

COLUMNS = ("bytes_out", "seconds", "share", "service")
PEOPLE = {"ann": "review", "bob": "review", "root": "admin", "feed": "score"}


def rows(n, seed, far=None):
    """Rows of a little traffic; `far` moves columns away."""
    generator = np.random.default_rng(seed)
    found = [
        {
            "bytes_out": round(float(generator.normal(120, 20)), 1),
            "seconds": round(float(generator.normal(5, 1)), 2),
            "share": round(float(generator.normal(0.5, 0.1)), 3),
            "service": str(generator.choice(["http", "dns", "smtp"])),
        }
        for _ in range(n)
    ]
    return [row | (far or {}) for row in found]


def table(normal=200, leaks=8):
    """Training rows, their labels as the column "class"."""
    leak = [{"class": "leak", **row} for row in rows(leaks, 2, {"seconds": 40.0})]
    return [{"class": "normal", **row} for row in rows(normal, 1)] + leak


def saved(folder, method="mahalanobis"):
    """A saved detector, and its training rows beside it."""
    import pandas as pd

    frame = pd.DataFrame(table())
    detector = Detector(method, random_state=0).fit(frame[list(COLUMNS)], frame["class"])
    frame.to_csv(Path(folder) / "traffic.csv", index=False)
    facts = {"source": "traffic.csv", "label": "class"}
    Bundle(detector, facts).save(Path(folder) / "traffic")
    return Path(folder) / "traffic"


class Desk:
    """A service, a client of its API for each person, and what they ask of it."""

    def __init__(self, home, bundle, name="traffic"):
        self.home, self.name = Path(home), name
        self.home.mkdir(parents=True, exist_ok=True)
        self.store = Store(f"sqlite:///{self.home}/unseen.db")
        metadata.create_all(self.store.engine)
        self.registry = Registry(self.store, self.home)
        self.registry.add(name, bundle, "root")
        with self.store.writing() as connection:
            self.tokens = {who: add_token(connection, who, role) for who, role in PEOPLE.items()}
        train = {name: Path(bundle).with_suffix(".csv")}
        self.service = Service(self.store, self.registry, self.home, Limits(), train=train)
        self.app = create_app(self.service)
        self.client = TestClient(self.app)

    def browser(self, who=None, **how):
        """A client that keeps cookies, signed in as somebody."""
        client = TestClient(self.app, follow_redirects=False, **how)
        if who is not None:
            sent = {"token": self.tokens[who]}
            origin = {"origin": str(client.base_url)}
            answer = client.post("/review/sign-in", data=sent, headers=origin)
            assert answer.status_code == 303, answer.text
        return client

    def ask(self, who, method, path, **how):
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} | how.pop("headers", {})
        return self.client.request(method, f"/v1/models/{self.name}{path}", headers=headers, **how)

    def alerts(self, given, key="q"):
        """Score rows, and the alerts that they raised."""
        sent = {"rows": given}
        answer = self.ask("feed", "POST", "/score", json=sent, headers={"idempotency-key": key})
        assert answer.status_code == 200, answer.text
        return [row for row in answer.json()["rows"] if "alert" in row]

    def close(self):
        self.client.close()
        self.service.close()


class Served:
    """A desk that answers on a port of its own, in a thread of this process."""

    def __init__(self, desk):
        config = uvicorn.Config(desk.app, host="127.0.0.1", port=0, log_level="warning")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"

    def close(self):
        self.server.should_exit = True
        self.thread.join(10)
