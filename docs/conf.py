"""The documentation site: `make docs` builds it into docs/_build, and stops at any warning."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "unseen"
copyright = "the authors of unseen, Apache-2.0"
html_title = "unseen"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_parser"]
exclude_patterns = ["_build", "**/.*"]
suppress_warnings = ["myst.xref_ambiguous"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the text has shapes and units
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {  # pages of tables and formulas have the whole width
        name: ["page-toc"]
        for name in (
            "tutorial/*",
            "guides/*",
            "reference/**",
            "design/*",
            "methods/index",
            "methods/default",
        )
    },
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app):
    """Write the pages that come from the code, before any page is read."""
    import generate

    app.connect("builder-inited", lambda _: generate.write(HERE))
    app.connect("source-read", generate.unbroken)
    app.connect("autodoc-process-docstring", generate.converted)
    app.connect("autodoc-skip-member", generate.foreign)
