"""The pages: links lead somewhere, functions are where the walk says, every method is listed."""

import re
from pathlib import Path

import pytest

import unseen
import unseen.testing
from unseen.methods import IMAGES, METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
WORDS = 35_000  # outside of tables


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text())
    assert [
        (path, part) for path, part in links if "://" not in path and not leads(page, path, part)
    ] == []


def leads(page, path, part):
    """Whether a file is there, with the heading behind #; or a generated page, or a public name."""
    target = page.parent / path if path else page
    if target.parent.name == "generated":
        return target.stem in {*METHODS, *IMAGES, "index", "api", "command-line"}
    if not path and part.startswith("unseen."):
        return public(part)
    headings = (
        re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
        if part and target.is_file()
        else []
    )
    return target.exists() and (not part or part in {slug(heading) for heading in headings})


def public(name):
    """Whether a name such as unseen.Detector.pvalue is one of the package's."""
    thing = unseen
    for part in name.split(".")[1:]:
        thing = getattr(thing, part, None)
    return name.split(".")[1] in {*unseen.__all__, "testing"} and thing is not None


def slug(heading):
    """As GitHub and MyST make it: lower case, no punctuation, hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(
    ("path", "part", "there"),
    [
        ("calibration.md", "choosing-a-threshold", True),
        ("calibration.md", "choosing-a-treshold", False),
        ("nowhere.md", "", False),
        ("", "unseen.Detector.pvalue", True),
        ("", "unseen.Detector.pvalues", False),
        ("../methods/generated/nearest.rst", "", True),
        ("../methods/generated/farthest.rst", "", False),
    ],
)
def test_a_link_that_leads_nowhere_is_found(path, part, there):
    assert leads(DOCS / "guides" / "columns.md", path, part) is there


def test_functions_are_where_the_pages_say():
    for page in PAGES:
        for name, path in re.findall(r"\[`(\w+)`\]\(([^)]*/src/[^)]*\.py)\)", page.read_text()):
            source = (page.parent / path).read_text()
            begins = rf"^\s*(def|class) {name}\b(?!.*: \.\.\.$)"  # not a protocol's stub
            assert re.search(begins, source, flags=re.MULTILINE), f"{page.name}: {name} in {path}"


def test_every_method_has_its_place():
    """Two names of one class share a page, that of the first."""
    entries = re.findall(
        r"^generated/([\w-]+)$", (DOCS / "methods" / "index.md").read_text(), flags=re.MULTILINE
    )
    first = {}
    for name, method in (METHODS | IMAGES).items():
        first.setdefault(type(method), name)
    assert sorted(set(entries) - {"index"}) == sorted(first.values())
    assert len(entries) == len(set(entries))


def test_the_pages_stay_short():
    text = "\n".join(page.read_text() for page in PAGES if page.name != "CONTRIBUTING.md")
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert len(" ".join(prose).split()) <= WORDS
