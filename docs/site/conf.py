"""Sphinx's configuration for the documentation site. `cargo xtask site` runs it (`xtask/src/site.rs`)."""

import re

project = "Tidings"
html_title = "Tidings"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["files"]

# Links to headings are written as GitHub makes them.
myst_heading_anchors = 4

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = html_logo = "static/icon.svg"
# The colours of the hub's own pages.
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5fa5", "color-brand-content": "#0b5fa5", "color-brand-visited": "#0b5fa5"},
    "dark_css_variables": {"color-brand-primary": "#7dc0ff", "color-brand-content": "#7dc0ff", "color-brand-visited": "#7dc0ff"},
}
templates_path = ["templates"]
html_copy_source = False
html_show_copyright = False
html_use_index = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
# An example in a language that Pygments does not know, or in part of one, has fewer colours.
suppress_warnings = ["misc.highlighting_failure"]

EMPTY_HEADING = re.compile(r'<th class="head[^"]*">(?:<p></p>)?</th>')


def for_screen_readers(_app, _page, _template, context, _doctree):
    """Corrects what axe finds in the theme: headings without a level, and cells of tables that name nothing."""
    if "furo_navigation_tree" in context:
        context["furo_navigation_tree"] = context["furo_navigation_tree"].replace(' role="heading"', "")
    if "body" in context:
        context["body"] = EMPTY_HEADING.sub("<td></td>", context["body"])


def setup(app):
    # After the theme, which has the usual priority of 500.
    app.connect("html-page-context", for_screen_readers, priority=600)
