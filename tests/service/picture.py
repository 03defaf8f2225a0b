"""The picture of the guide: `python tests/service/picture.py docs/_static/review.png`."""

import shutil
import sys
import tempfile
from pathlib import Path

from desk import Desk, Served, rows, saved
from playwright.sync_api import sync_playwright


def pictured(target):
    """Serve a small model, answer two alerts, and take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder) / "home", saved(folder))
        given = [
            *rows(5, 5, {"bytes_out": 340000.0}),
            *rows(3, 6, {"seconds": 40.0}),
            *rows(4, 7, {"service": "telnet"}),
        ]
        flows = [{"flow": f"flow-{4200 + 7 * k}"} | row for k, row in enumerate(given)]
        desk.ask("feed", "POST", "/score?key=flow", json={"rows": flows})
        server = Served(desk)
        with sync_playwright() as engine:
            chromium = shutil.which("chromium")
            browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 1040})
            page.goto(f"{server.address}/review")
            page.keyboard.type(desk.tokens["ann"])
            page.keyboard.press("Enter")
            page.wait_for_url("**/review")
            page.goto(f"{server.address}/review/models/traffic?alert=7")
            page.keyboard.press("1")
            page.wait_for_selector("#told:not(:empty)")
            page.goto(f"{server.address}/review/models/traffic?alert=2")
            page.locator("#title").wait_for()
            page.screenshot(path=target, caret="initial")
            browser.close()
        server.close()
        desk.close()


if __name__ == "__main__":
    pictured(sys.argv[1])
