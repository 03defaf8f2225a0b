"""The report page: what it says, and that a browser shows it whole and by itself."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from unseen import Bundle, Detector
from unseen.cli.main import main
from unseen.detector.policy import Policy
from unseen.report.charts import histogram, pvalue_plot
from unseen.report.page import Judged, doubted, report_page, slider

CHROMIUM = shutil.which("chromium")
BROWSER = [
    *(CHROMIUM or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--hide-scrollbars", "--enable-logging=stderr"),
]
browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def frame(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, 3)), columns=["flow", "heat", "<b>load</b>"])


@pytest.fixture(scope="module")
def bundle():
    x = frame()
    x.iloc[-6:] += 6.0
    y = ["normal"] * 194 + ["<script>alert(1)</script>"] * 3 + ["leak"] * 3
    return Bundle(Detector(random_state=0).fit(x, y), {"normals": 194})


def few(alerts=()):
    p = np.array([0.001, 0.02, 0.5, 0.9])
    return Judged("new & <old>.csv", 4, 2, -np.log(p), p, list(alerts))


def test_shares_by_hand():
    chart = histogram({"normal": np.array([0.0, 0.0, 0.0, 1.0])}, title="T", mark=0.5)
    assert re.findall(r"normal: ([\d.]+%)", chart) == ["75.0%", "25.0%"]
    assert ">75%</text>" in chart  # the top of the axis
    points = re.search(r'class="found" points="([^"]*)"', pvalue_plot(few().pvalue, title="T"))
    shares = [float(pair.split(",")[1]) for pair in points[1].split()]
    # 204 is 0%, 12 is 100%: at p = 0 none of four, at 0.02 two, at 1 all
    assert [shares[0], shares[2], shares[100]] == [204.0, 108.0, 12.0]


def test_values_that_are_all_the_same_are_drawn():
    assert "nan" not in histogram({"a": np.zeros(5), "b": np.zeros(0)}, title="T", mark=0.0)


def test_slider_by_hand(bundle):
    found = slider(bundle.detector, few())
    steps = json.loads(found["steps"])
    by_level = {step["level"]: step for step in steps}
    assert by_level["0.05"] == {"level": "0.05", "normal": 50.0, "flagged": 2}
    assert steps[found["start"]]["level"] == "0.05"
    assert steps[0]["normal"] == float(f"{1000 / 195:.3g}")  # 194 normals calibrate
    assert slider(bundle.detector, None)["shown"][-1]["flagged"] is None


def test_doubted_rows_are_those_that_score_highest(bundle):
    member = bundle.detector.members_[0]
    number, pvalue = doubted(bundle.detector)[0]
    assert number == member.held_out[np.argmax(member.calibration)] + 1
    assert pvalue == "0.0051"  # 1 / 195


def test_page_is_whole_and_what_comes_from_outside_is_text(bundle):
    alerts = [{"<i>key</i>": "</td><img src=x>", "score": 6.9, "pvalue": 0.001}]
    text = report_page(bundle, few(alerts), Policy.alpha(0.05))
    assert "2 of 4 rows (50.0%)" in text
    assert "<script>alert" not in text
    assert "<b>load" not in text
    assert "&lt;i&gt;key" in text
    assert "<img" not in text
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", text)
    assert len(text) < 3_000_000
    assert re.findall(r"<h1", text) == ["<h1"]


def test_without_data_and_without_labels():
    bare = Bundle(Detector("mahalanobis", random_state=0).fit(frame()), {})
    text = report_page(bare, None, Policy.fdr(0.1))
    assert "how blind it is to new kinds is not known" in text
    assert "What it judges by" not in text


def test_command(bundle, tmp_path, capsys):
    bundle.save(tmp_path / "m")
    x = frame(seed=1)
    x.iloc[:5] += 9.0
    x.assign(id=np.arange(200) + 1000).to_csv(tmp_path / "new.csv", index=False)
    words = ["report", tmp_path / "m", "--data", tmp_path / "new.csv", "--keep", "id"]
    assert main([*map(str, words), "--out", str(tmp_path / "r.html")]) == 0
    assert "written to" in capsys.readouterr().out
    text = (tmp_path / "r.html").read_text()
    alerts = text[text.index('id="alarms"') : text.index('id="scores"')]
    first = re.findall(r"<td[^>]*>(10\d\d)</td>", alerts)[:5]
    assert sorted(first) == ["1000", "1001", "1002", "1003", "1004"]
    assert main([*map(str, words), "--out", str(tmp_path / "r.html")]) == 2  # it is there


def shown(page, tmp_path, *flags, width=1400):
    """What a browser makes of a page: its document, or a file; and what it says."""
    run = subprocess.run(
        [
            *BROWSER,
            f"--user-data-dir={tmp_path}/profile",
            f"--window-size={width},900",
            *flags,
            page,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in run.stderr, run.stderr
    return run.stdout


@browser
@pytest.mark.parametrize("width", [360, 1400])
def test_a_browser_shows_it(bundle, tmp_path, width):
    page = tmp_path / "r.html"
    wide = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    page.write_text(report_page(bundle, few(), Policy.alpha(0.05)).replace("</body>", wide))
    document = shown(f"file://{page}", tmp_path, "--dump-dom", width=width)
    assert "Flagging at p ≤ 0.05: about 50 of 1,000 normal rows, 500 false alarms a day" in document
    if width == 1400:  # a window of 360 pixels is as wide as the browser lets it be
        assert int(re.search(r"<title>(\d+)</title>", document)[1]) <= width
    moved = shown(f"file://{page}#level=0", tmp_path, "--dump-dom", width=width)
    assert "about 5.13 of 1,000 normal rows" in moved


@browser
def test_it_prints(bundle, tmp_path):
    page, paper = tmp_path / "r.html", tmp_path / "r.pdf"
    page.write_text(report_page(bundle, few(), Policy.alpha(0.05)))
    shown(f"file://{page}", tmp_path, f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")


def contrast(one, other):
    """WCAG 2.2: (lighter + .05) / (darker + .05), of relative luminances."""

    def luminance(colour):
        parts = colour * 2 if len(colour) == 3 else colour
        if len(colour) == 3:
            parts = "".join(c * 2 for c in colour)
        each = [int(parts[k : k + 2], 16) / 255 for k in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in each]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast(bundle):
    assert contrast("000", "ffffff") == pytest.approx(21)
    style = report_page(bundle, None, Policy.alpha(0.05))
    for theme in re.findall(r":root \{([^}]*)\}", style):
        colours = dict(re.findall(r"--(\w+): #(\w+)", theme))
        for ground in ("ground", "card"):
            for text in ("text", "faint"):
                assert contrast(colours[text], colours[ground]) >= 4.5
        for line in ("first", "second"):
            assert contrast(colours[line], colours["ground"]) >= 3
