"""The report page: what it says, and that a browser shows it whole, by itself, and to everybody."""

import json
import re
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from browser import CHROMIUM, Browser
from unseen import Bundle, Detector
from unseen.cli.main import main
from unseen.detector.drift import Drift
from unseen.detector.policy import Policy
from unseen.report.charts import histogram, pvalue_plot
from unseen.report.gathering import Alert, Judged, Picture, gathered
from unseen.report.knowledge import Blind, doubted, shown_level
from unseen.report.page import report_page, slider, write_page
from unseen.scoring.scored import Scored

browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def frame(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, 3)), columns=["flow", "heat", "<b>load</b>"])


@pytest.fixture(scope="module")
def bundle():
    x = frame()
    x.iloc[-12:-6] += 6.0
    x.iloc[-6:] -= 7.0
    y = ["normal"] * 188 + [HOSTILE] * 6 + ["leak"] * 6
    detector = Detector(random_state=0).fit(x, y)
    return Bundle(detector, {"normals": 188, "source": HOSTILE})


def few(alerts=(), name="new & <old>.csv"):
    p = np.array([0.001, 0.02, 0.5, 0.9])
    return Judged(name, 4, 0, 2, 0.05, -np.log(p), p, list(alerts))


def page_of(bundle, found=None, level=0.05):
    return report_page(bundle, found, Policy.alpha(level))


def test_shares_by_hand():
    values = {"normal": np.array([0.0, 0.0, 0.0, 1.0])}
    chart = histogram(values, title="T", words="W", mark=0.5)
    assert re.findall(r"normal: ([\d.]+%)", chart.drawing) == ["75.0%", "25.0%"]
    assert ">75%</text>" in chart.drawing  # the top of the axis
    plot = pvalue_plot(few().pvalue, title="T", words="W")
    points = re.search(r'class="found" points="([^"]*)"', plot.drawing)
    shares = [float(pair.split(",")[1]) for pair in points[1].split()]
    # 210 is 0%, 14 is 100%: at p = 0 none of four, at 0.02 two, at 1 all
    assert [shares[0], shares[2], shares[100]] == [210.0, 112.0, 14.0]
    assert plot.rows[:2] == [["0.01", "25%", "1%"], ["0.05", "50%", "5%"]]
    assert 'aria-label="T. W"' in plot.drawing


def scored(keys, scores, kinds=None):
    n = len(scores)
    told = None if kinds is None else pa.table({"kind": kinds})
    return Scored(
        pa.table({"id": keys}),
        np.array(scores),
        np.full(n, 0.01),
        np.where(np.isnan(scores), "failed", "anomaly"),
        0.05,
        told,
    )


def test_alarms_of_each_kind_are_shown_the_highest_of_all_first():
    many = [float(k) for k in range(100, 160)]
    parts = [
        scored([f"leak {k}" for k in range(60)], many, ["leak"] * 60),
        scored(["new 0", "new 1", "lost"], [3.0, 5.0, np.nan], ["new kind", "new kind", None]),
    ]
    found = gathered(iter(parts), "new.csv")
    assert (found.rows, found.failed, found.flagged) == (62, 1, 62)
    assert found.by_kind == [["leak", "60"], ["new kind", "2"]]
    assert [alert.keys["id"] for alert in found.alerts] == [
        *(f"leak {k}" for k in range(59, 41, -1)),
        *("new 1", "new 0"),
    ]
    assert found.places[-2:] == [61, 60]
    plain = gathered(iter([scored(["a", "b"], [1.0, 2.0])]), "new.csv")
    assert [(alert.place, alert.kind) for alert in plain.alerts] == [(1, ""), (0, "")]
    assert plain.by_kind == []


def test_values_that_are_all_the_same_are_drawn():
    chart = histogram({"a": np.zeros(5), "b": np.zeros(0)}, title="T", words="", mark=0.0)
    assert "nan" not in chart.drawing
    assert [row[0] for row in chart.rows] == ["a"]


def test_slider_by_hand(bundle):
    policy = Policy.alpha(0.05)
    blind = Blind.of(bundle.detector, shown_level(policy, None))
    steps = slider(bundle.detector, few(), policy, blind)
    step = {step["level"]: step for step in steps}["0.05"]
    assert (step["normal"], step["flagged"]) == (50.0, 2)
    assert step["caught"] == blind.spots.expected
    assert steps[0]["normal"] == float(f"{1000 / 189:.3g}")  # 188 normals calibrate
    places = [step["x"] for step in steps]
    assert places == sorted(places, reverse=True)  # a higher level has a lower threshold
    assert {step["flagged"] for step in slider(bundle.detector, None, policy, blind)} == {None}


def test_data_of_which_no_row_was_judged(bundle):
    nothing = np.zeros(0)
    for failed in (0, 3):
        none = Judged("none.csv", 0, failed, 0, 0.05, nothing, nothing)
        blind = Blind.of(bundle.detector, 0.05)
        steps = slider(bundle.detector, none, Policy.alpha(0.05), blind)
        assert {step["flagged"] for step in steps} == {0}
        assert "of 0 rows in none.csv raise an alarm" in page_of(bundle, none)


def test_a_report_of_a_file_without_rows(bundle, tmp_path, capsys):
    bundle.save(tmp_path / "m")
    columns = ",".join(bundle.detector.schema_.needed)
    (tmp_path / "none.csv").write_text(f"{columns}\n")
    command = ["report", str(tmp_path / "m"), "--data", str(tmp_path / "none.csv")]
    assert main([*command, "--out", str(tmp_path / "r.html")]) == 0
    assert "Not told: drift needs rows" in (tmp_path / "r.html").read_text()


def test_the_slider_begins_at_the_level_that_is_asked_for(bundle):
    page = page_of(bundle, level=0.037)
    steps = json.loads(re.search(r"const steps = (\[.*?\]),", page)[1])
    start = int(re.search(r'id="level"[^>]*value="(\d+)"', page)[1])
    assert steps[start]["level"] == "0.037"
    assert "37 of 1,000" in page
    assert "at 3.7% false alarms" in page


def test_doubted_rows_are_those_that_score_highest(bundle):
    member = bundle.detector.members_[0]
    source, rows = doubted(bundle)
    assert rows[0] == [f"{member.held_out[np.argmax(member.calibration)] + 1:,}", "0.0053"]  # 1/189
    assert source == HOSTILE
    recent = Bundle(bundle.detector, {"recalibrated": {"source": "week.csv", "rows": 7}})
    assert doubted(recent)[0] == "week.csv"


def test_what_comes_from_outside_is_text(bundle):
    alerts = [Alert(0, {HOSTILE: HOSTILE}, 6.9, 0.001, kind=HOSTILE, reasons=HOSTILE)]
    text = page_of(bundle, few(alerts, name=HOSTILE))
    assert "<img" not in text
    assert text.count("<script>") == text.count("</script>") == 1
    assert "<b>load" not in text
    assert "alert(1)" in text  # as text
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", text)


def test_what_it_says(bundle):
    text = page_of(bundle, few())
    assert "It learned what is normal from 188 rows, and 2 kinds of anomalies" in text
    assert "of 4 rows in new &amp; &lt;old&gt;.csv raise an alarm." in text
    held = re.search(r'<th scope="row">leak</th><td class="number">6</td><td[^>]*>(\d+)%', text)
    spots = bundle.detector.blind_spots(0.05)
    [leak] = [each for each in spots.classes if each.name == "leak"]
    assert held[1] == f"{100 * leak.found(0.05):.0f}"
    assert f"{spots}. Known classes tell" in text.replace("&#39;", "'")
    moves = bundle.detector.smallest_moves(0.05).to_pylist()
    ways = [row for row in moves if row["ranges"] and row["ranges"] < np.inf]
    late = {row["what"]: f"{row['distance']:.4g}" for row in ways}
    longest = max(row["ranges"] for row in ways)
    first = re.search(r"caught last</caption>.*?<tbody><tr>(.*?)</tr>", text, re.DOTALL)[1]
    name, distance = (
        re.search(r'row">(.*?)</th>', first)[1],
        re.findall(r">([\d.]+)</td>", first)[1],
    )
    assert late[name] == distance
    assert longest in [row["ranges"] for row in ways if row["what"] == name]
    assert f"{bundle.detector.unseen_chance().estimate:.1%} that the next anomaly is" in text
    assert "Training rows to check" in text
    assert "No evaluation was given" in text


def drift(**told):
    usual = {"rows": 100, "far": 1, "far_expected": 0.01, "far_chance": 1.0, "anomalies": 0.05}
    usual |= {"level": 0.01, "noun": "rows", "chance": 1.0, "alarm": None, "since": None}
    usual |= {"flagged": 0.05, "flagged_expected": 0.05, "flagged_chance": 1.0, "effect": 0.0}
    return Drift(**(usual | {"columns": ()} | told))


@pytest.mark.parametrize(
    ("told", "figure", "text"),
    [
        ({}, "none", "come as in training: the figures on this page hold"),
        ({"far": 40, "far_chance": 1e-9}, "unclear", "More rows lie far out than expected"),
        ({"chance": 1e-9, "effect": 0.5}, "yes", "Normal rows no longer come as in training"),
    ],
)
def test_the_first_screen_says_whether_rows_have_changed(bundle, told, figure, text):
    found = replace(few(), drift=drift(**told))
    page = page_of(bundle, found)
    [tile] = re.findall(r"<dt>Change since training</dt><dd><strong>(\w+)</strong>(.*?)</dd>", page)
    assert tile[0] == figure
    assert text in tile[1]
    for line in found.drift.in_words():
        assert f"<li>{line}</li>".replace("<=", "&lt;=") in page


def test_facts_of_any_form_and_names_of_any_bytes(bundle, tmp_path):
    """A bundle's facts are somebody's JSON, and Linux has names that are no text."""
    facts = {
        "normals": "many",
        "source": 7,
        "evaluation": {"a": 1},
        "recalibrated": [],
        "adapted": 3,
    }
    text = page_of(Bundle(bundle.detector, facts), few(name="gr\udcfcn"))
    assert "Trained on “7”. It learned what is normal from 188 rows" in text
    write_page(tmp_path / "r.html", text)
    assert b"4 rows in gr\\udcfcn" in (tmp_path / "r.html").read_bytes()


def test_without_data_and_without_labels():
    bare = Bundle(Detector("mahalanobis", random_state=0).fit(frame()), {})
    text = report_page(bare, None, Policy.fdr(0.1))
    assert "of the alarms, at most, are false" in text
    assert "not known: label a few" in text
    assert "What it judges by" not in text
    assert "What it found" not in text


@pytest.mark.parametrize("policy", [Policy.cost(100, 1), Policy.per_day(20, 1000)])
def test_other_policies(bundle, policy):
    text = report_page(bundle, few(), policy)
    if policy.kind == "cost":
        assert "from which on an alarm is worth its cost" in text
    else:
        assert "20 a day" in text
        assert 'id="traffic" min="1" value="1000"' in text


def test_a_level_that_no_row_can_reach(bundle):
    text = page_of(bundle, level=0.001)
    assert "<strong>no</strong>alarms: no p-value is below 0.0053. Ask for that." in text
    assert "flagged at p ≤ 0.0053" in text  # as far as moves are told


def test_a_policy_that_needs_all_stands_where_it_came_to(bundle):
    found = replace(few(), threshold=0.03)
    text = report_page(bundle, found, Policy.fdr(0.1))
    start = int(re.search(r'id="level" [^>]*value="(\d+)"', text)[1])
    steps = json.loads(re.search(r"const steps = (\[.*?\]), level", text)[1])
    assert steps[start]["at"] == 0.03
    assert "at 3% false alarms" in text
    assert shown_level(Policy.fdr(0.1), None) == 0.05
    assert shown_level(Policy.fdr(0.1), replace(found, flagged=0)) == 0.05
    assert shown_level(Policy.alpha(0.02), found) == 0.02


EVALUATION = {
    "method": "<mine>",
    "protocol": {"seeds": 2},
    "unseen": {
        "auroc": {"mean": 0.91, "sd": 0.02},
        "tpr_at_5_fpr": {"mean": 0.75, "sd": 0.04},
    },
    "seen": {"auroc": {"mean": None, "sd": None}, "tpr_at_5_fpr": {"mean": None, "sd": None}},
    "normals_flagged_at_5": 0.062,
    "classes": [
        {"class": "crack", "role": "unseen", "averaged": True, "auroc": 0.8, "tpr_at_5_fpr": 0.4}
    ],
}


def test_an_evaluation_that_is_given(bundle, tmp_path, capsys):
    bundle.save(tmp_path / "m")
    words = ["report", tmp_path / "m", "--evaluation", tmp_path / "e.json"]
    (tmp_path / "e.json").write_text(json.dumps({"format": 1, "methods": [EVALUATION]}))
    assert main([*map(str, words), "--out", str(tmp_path / "e.html")]) == 0
    text = (tmp_path / "e.html").read_text()
    table = re.search(r"&lt;mine&gt;</caption>(.*?)</table>", text, re.DOTALL)[1]
    cells = re.findall(r">([^<]+)</td>", table)
    assert cells == ["0.910±.020", "0.750±.040", "-", "-", "6.2%"]
    assert "&#39;crack&#39; is found worst, AUROC 0.800" in text
    assert "misses 60% of its rows" in text
    for content in ("{}", "[1]", "[" * 10_000, "no JSON", '{"methods": [{"protocol": 3}]}'):
        (tmp_path / "e.json").write_text(content)
        assert main([*map(str, words), "--out", str(tmp_path / "r.html")]) == 2
        assert (
            "e.json: expected what `unseen evaluate --json FILE` writes" in capsys.readouterr().err
        )
    (tmp_path / "e.json").unlink()
    assert main([*map(str, words), "--out", str(tmp_path / "r.html")]) == 2
    assert "name the file of an evaluation" in capsys.readouterr().err
    own = Bundle(bundle.detector, {"evaluation": [EVALUATION]})
    assert "0.910±.020" in page_of(own)
    assert "No evaluation was given" in page_of(Bundle(bundle.detector, {"evaluation": [3]}))


def test_it_stays_small():
    """Hundreds of columns and classes of long names, wide alerts: all of signs that become five
    characters each.
    """
    rng = np.random.default_rng(0)
    names = [f"{k}{'&' * 3000}" for k in range(400)]
    x = pd.DataFrame(rng.normal(size=(120, 400)).round(2), columns=names)
    x[names[0]] = [f"{k % 7}{'<' * 5000}" for k in range(120)]
    y = ["normal"] * 60 + [f"{k % 20}{'&' * 5000}" for k in range(60)]
    detector = Detector("mahalanobis", random_state=0).fit(x, y)
    keys = {f"{k}{'&' * 9000}": "&" * 9000 for k in range(12)}
    picture = Picture(f"data:image/webp;base64,{'A' * 37_500}", 300, 300, "&" * 9000)
    alerts = [
        Alert(k, keys, 9.0, 0.001, "&" * 9000, "&" * 9000, (picture, picture)) for k in range(20)
    ]
    found = Judged(
        "&" * 9000, 10**6, 0, 10**6, 0.05, rng.normal(size=200_000), rng.random(200_000), alerts
    )
    facts = {"source": "&" * 9000, "drop": ["&" * 9000] * 900, "evaluation": [EVALUATION]}
    text = page_of(Bundle(detector, facts), found)
    assert 1_500_000 < len(text.encode()) < 3_000_000
    assert "(9,000 characters)" in text


def test_command(bundle, tmp_path, capsys):
    bundle.save(tmp_path / "m")
    x = frame(seed=1)
    x.iloc[:5] += 9.0
    x.assign(id=np.arange(200) + 1000, site="kept").to_csv(tmp_path / "new.csv", index=False)
    words = ["report", tmp_path / "m", "--data", tmp_path / "new.csv", "--keep", "id", "site"]
    assert main([*map(str, words), "--out", str(tmp_path / "r.html")]) == 0
    assert "written to" in capsys.readouterr().out
    text = (tmp_path / "r.html").read_text()
    alerts = text[text.index('id="found"') : text.index('id="drift"')]
    first = re.findall(r'"faint">id</span> (10\d\d)</span>', alerts)[:5]
    assert sorted(first) == ["1000", "1001", "1002", "1003", "1004"]
    assert re.findall(r'"faint">site</span> (\w+)</span>', alerts)[:1] == ["kept"]
    drift = text[text.index('id="drift"') : text.index('id="blind"')]
    assert "rift in 200 rows." in drift
    assert main([*map(str, words), "--out", str(tmp_path / "r.html")]) == 2  # it is there
    assert main([*map(str, words), "--by-group", "--out", str(tmp_path / "s.html")]) == 2
    assert "was fitted without one" in capsys.readouterr().err
    words[3] = "-"
    assert main([*map(str, words), "--out", str(tmp_path / "s.html")]) == 2
    assert "save it to a file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def shown(bundle, tmp_path_factory):
    """A browser, and a page with all that a page may have."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    folder = tmp_path_factory.mktemp("browser")
    pixel = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA="
    picture = Picture(f"data:image/webp;base64,{pixel}", 365, 362, "a tile")
    keys = {"a long column of keys": "x" * 250, "id": 7}
    alerts = [
        Alert(0, keys, 6.9, 0.001, "leak", "flow 7.2 (nearest normal: 0.1) 90%"),
        Alert(1, {"file": "a/b.png"}, 4.0, 0.02, pictures=(picture, picture)),
    ]
    own = Bundle(bundle.detector, bundle.facts | {"evaluation": [EVALUATION]})
    found = replace(few(alerts), drift="there are too few rows", scale=picture)
    (folder / "r.html").write_text(page_of(own, found))
    window = Browser(folder / "profile")
    yield window, folder / "r.html"
    window.close()


@browser
def test_it_asks_for_nothing_and_nothing_goes_wrong(shown):
    window, file = shown
    window.open(file)
    assert [url for url in window.requests if not url.startswith("data:")] == [file.as_uri()]
    assert window.errors == []
    assert window.run("typeof alert") == "function"  # scripts run, and none of a stranger's did
    assert window.run("document.images.length") == 3
    assert window.run("[...document.images].every(image => image.naturalWidth > 0)")


@browser
def test_the_slider_moves_by_keys(shown):
    window, file = shown
    window.open(file)
    says = "document.getElementById('says').textContent"
    assert "Flagging at p ≤ 0.05: about 50 of 1,000 normal rows, 500 false alarms a day." in (
        window.run(says)
    )
    place = "document.querySelector('.mark').getAttribute('transform')"
    before = window.run(place)
    reached = []
    for _ in range(20):
        window.press("Tab")
        reached.append(window.run("document.activeElement.id || document.activeElement.className"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert window.run(outline) != "none", reached  # focus is seen
        if reached[-1] == "level":
            break
    assert reached[0] == "skip"
    window.press("ArrowLeft")
    assert "Flagging at p ≤ 0.04: about 40 of 1,000 normal rows, 400 false alarms a day." in (
        window.run(says)
    )
    assert window.run(
        "document.getElementById('level').ariaValueText || "
        "document.getElementById('level').getAttribute('aria-valuetext')"
    ) == ("p at most 0.04")
    assert window.run(place) != before  # the line in the chart goes along
    window.press("Home")
    assert "about 5.29 of 1,000 normal rows" in window.run(says)
    window.press("Tab")
    assert window.run("document.activeElement.id") == "traffic"
    assert window.errors == []


LUMINANCE = """
function parts(colour) {
  const canvas = document.createElement("canvas"), brush = canvas.getContext("2d");
  canvas.width = canvas.height = 1;
  brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1);
  return [...brush.getImageData(0, 0, 1, 1).data];
}
function luminance(colour) {
  const linear = parts(colour).slice(0, 3).map(c => c / 255).map(
    c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
function ground(element) {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if (parts(colour)[3] === 255) return colour;
  }
  return "white";
}
"""
# text of which the contrast is below that of WCAG 2.2 AA, 1.4.3
FAINT = (
    LUMINANCE
    + """
[...document.querySelectorAll("body *")].filter(element =>
  [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()) &&
  !["SCRIPT", "TITLE", "title"].includes(element.tagName)
).map(element => {
  const style = getComputedStyle(element), drawn = element.tagName === "text";
  return [element.tagName, contrast(drawn ? style.fill : style.color, ground(element))];
}).filter(each => each[1] < 4.5)
"""
)


@browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(shown, scheme):
    window, file = shown
    window.open(file, **{"color-scheme": scheme})
    assert window.run(LUMINANCE + "contrast('#000', '#fff')") == pytest.approx(21)
    dark = window.run(LUMINANCE + "luminance(ground(document.body)) < 0.1")
    assert dark == (scheme == "dark")
    assert window.run(FAINT) == []
    for shape in (".series0", ".series1", ".found"):  # 1.4.11: shapes 3 to 1
        style = "fill" if shape[1] == "s" else "stroke"
        colour = f"getComputedStyle(document.querySelector('{shape}')).{style}"
        assert window.run(f"{LUMINANCE} contrast({colour}, ground(document.body))") >= 3


SMALL = """
[...document.querySelectorAll("body *")].filter(element =>
  [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()) &&
  element.getClientRects().length
).map(element => {
  const size = parseFloat(getComputedStyle(element).fontSize), chart = element.closest("svg");
  const scale = chart ? chart.getBoundingClientRect().width / chart.viewBox.baseVal.width : 1;
  return [element.tagName, size * scale];
}).filter(each => each[1] < 11)
"""
OUTSIDE = """
[...document.querySelectorAll("body *:not(.skip)")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(element => element.outerHTML.slice(0, 80))
"""


@browser
@pytest.mark.parametrize("width", [360, 1400])
def test_it_is_readable_without_scrolling_sideways(shown, width):
    window, file = shown
    window.open(file, width=width)
    window.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert window.run("document.documentElement.scrollWidth") <= width
    assert window.run(OUTSIDE) == []
    assert window.run(SMALL) == []


@browser
def test_headings_landmarks_and_alternatives(shown):
    window, file = shown
    window.open(file)
    levels = window.run("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    for landmark in ("header", "main", "nav[aria-label]"):
        assert window.run(f"document.querySelectorAll('{landmark}').length") == 1
    named = (
        "[...document.querySelectorAll('section')].every(section => document.getElementById("
        "section.getAttribute('aria-labelledby')).textContent.trim())"
    )
    assert window.run(named)
    links = "[...document.querySelectorAll('a')].every(a => document.querySelector(a.hash))"
    assert window.run(links)
    charts = (
        "[...document.querySelectorAll('svg')].map(s => [s.getAttribute('role'), "
        "s.getAttribute('aria-label').length > 40, !!s.parentElement.querySelector('table')])"
    )
    assert window.run(charts) == [["img", True, True]] * 2
    assert window.run("[...document.images].every(image => image.alt)")
    ids = window.run("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    assert window.run("document.documentElement.lang") == "en"


@browser
def test_it_prints_on_a4(shown):
    window, file = shown
    window.open(file, **{"color-scheme": "dark"})
    paper = window.paper()
    sizes = re.findall(rb"/MediaBox ?\[ ?0 0 ([\d.]+) ([\d.]+)", paper)
    assert sizes
    for width, height in sizes:  # 210 x 297 mm in points
        assert float(width) == pytest.approx(595.3, abs=1)
        assert float(height) == pytest.approx(841.9, abs=1)
    window.call("Emulation.setEmulatedMedia", media="print")
    assert window.run("getComputedStyle(document.querySelector('.live')).display") == "none"
    assert window.run(LUMINANCE + "luminance(ground(document.body))") == pytest.approx(1)


def flows(shared, folder):
    """NSL-KDD: the default, of 400 normal rows and ten of three attacks, judges 500 of test."""
    train, test = (pd.read_parquet(shared(f"nsl_kdd/{part}.parquet")) for part in ("train", "test"))
    normals = train[train["attack"] == "normal"][:400]
    known = [train[train["attack"] == name][:10] for name in ("neptune", "satan", "guess_passwd")]
    pd.concat([normals, *known]).to_parquet(folder / "train.parquet", index=False)
    test[:500].to_parquet(folder / "test.parquet", index=False)
    return ["train.parquet", "--label", "attack", "--drop", "family"], ["test.parquet"]


def tiles(shared, folder):
    """Magnetic tiles: patches, of 24 normal images and 3 blowholes, judge 6 cracks."""
    root = shared("images/magnetic_tile")
    for part, kind, count in (("a", "Free", 24), ("a", "Blowhole", 3), ("b", "Crack", 6)):
        (folder / part / kind).mkdir(parents=True)
        for file in sorted((root / f"MT_{kind}" / "Imgs").glob("*.jpg"))[:count]:
            for each in (file, file.with_suffix(".png")):
                shutil.copy(each, folder / part / kind)
    return ["a", "--normal", "Free", "--method", "patches", "--size", "64"], ["b"]


@browser
@pytest.mark.parametrize("real", [flows, tiles])
def test_reports_of_real_data(shown, shared, real, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, test = real(shared, tmp_path)
    assert main(["fit", *train, "--out", "m"]) == 0
    assert main(["report", "m", "--data", *test, "--alpha", "0.2", "--out", "r.html"]) == 0
    window, _ = shown
    for width in (360, 1400):
        for scheme in ("light", "dark"):
            window.open("r.html", width=width, **{"color-scheme": scheme})
            window.run("document.querySelectorAll('details').forEach(each => each.open = true)")
            asked = [url for url in window.requests if not url.startswith("data:")]
            assert len(asked) == 1
            assert window.errors == []
            assert window.run(OUTSIDE) == []
            assert window.run(SMALL) == []
            assert window.run(FAINT) == []
    alarms = window.run("document.querySelectorAll('.alerts > li').length")
    assert alarms >= 1
    assert window.run("document.images.length") == (2 * alarms + 1 if real is tiles else 0)
    assert (tmp_path / "r.html").stat().st_size < 3_000_000
