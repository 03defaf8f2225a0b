"""A browser without a window that a test drives: Chromium's own protocol over two pipes."""

import base64
import json
import os
import shutil
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--remote-debugging-pipe"),
)
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "Tab": 9, "Enter": 13}


class Browser:
    """One page of a headless Chromium: what it shows, what it asks of the network, and what goes
    wrong on it.
    """

    def __init__(self, profile):
        ends = [*os.pipe(), *os.pipe()]
        read, self._to, self._from, write = (fcntl(end, F_DUPFD_CLOEXEC, 10) for end in ends)
        self._process = os.posix_spawn(
            CHROMIUM,
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, read, 3),  # the browser reads from 3 and writes to 4
                (os.POSIX_SPAWN_DUP2, write, 4),
                *((os.POSIX_SPAWN_OPEN, k, os.devnull, os.O_WRONLY, 0) for k in (1, 2)),
            ],
        )
        for end in (*ends, read, write):
            os.close(end)
        self._number, self._session, self._rest = 0, None, b""
        self.requests, self.errors = [], []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self._session = None
        self.call("Browser.close")
        os.waitpid(self._process, 0)
        os.close(self._to)
        os.close(self._from)

    def call(self, method, **parameters):
        """The result of a command of the protocol; what is told meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (found := self._next()).get("id") != self._number:
            self._note(found)
        assert "error" not in found, found
        return found["result"]

    def open(self, file, width=1400, height=900, **media):
        """Show a file in a window of so many pixels, with media features such as a dark scheme."""
        self.requests, self.errors = [], []
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": f"prefers-{name}", "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", media="", features=features)
        self.call("Page.navigate", url=Path(file).absolute().as_uri())
        while self._note(self._next()) != "Page.loadEventFired":
            pass

    def run(self, script):
        """The value of an expression on the page."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=KEYS[key])

    def picture(self, whole=False):
        """A PNG of the window, or of all of the page."""
        return base64.b64decode(
            self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        )

    def paper(self):
        """The page as a PDF on A4."""
        found = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])

    def _next(self):
        while b"\0" not in self._rest:
            more = os.read(self._from, 1 << 16)
            assert more, "the browser has ended"
            self._rest += more
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message):
        """What an event is called; requests and errors are kept."""
        name, told = message.get("method"), message.get("params", {})
        if name == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        if name == "Runtime.exceptionThrown":
            self.errors.append(told["exceptionDetails"])
        if name == "Runtime.consoleAPICalled":
            self.errors.append(told["args"])
        if name == "Log.entryAdded":
            self.errors.append(told["entry"])
        return name
