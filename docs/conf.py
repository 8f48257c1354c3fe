"""Sphinx's settings for the site; tools/build_site.py prepares the pages and calls it."""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

project = "mrcnn_lite"
html_title = "Mask R-CNN, a course"
language = "en"
extensions = ["myst_nb"]

nb_execution_mode = "off"  # what is committed is what is shown
myst_all_links_external = True  # links are checked by tests/test_site.py, in the built pages

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["roi_explorer.css", "site.css"]
html_js_files = [(name, {"defer": ""}) for name in ("roi_explorer.js", "course.js", "site.js")]
html_copy_source = False  # the sources here are copies; the notebooks are the sources
html_show_sourcelink = False
html_show_copyright = False
html_use_index = False
html_domain_indices = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')


class AnchorsNameSections(SphinxTransform):
    """`<a id="x"></a>` above a heading becomes its section's id: one, not two of one name."""

    default_priority = 500

    def apply(self) -> None:
        """Change this page's tree in place."""
        wanted = {}
        for paragraph in list(self.document.findall(nodes.paragraph)):
            anchor = ANCHOR.fullmatch("".join(child.astext() for child in paragraph))
            section = paragraph.next_node(nodes.section, descend=False, siblings=True, ascend=True)
            if anchor and section is not None:
                wanted[anchor[1]] = section
                paragraph.parent.remove(paragraph)
        for section in self.document.findall(nodes.section):
            mine = [name for name, owner in wanted.items() if owner is section]
            kept = [name for name in section["ids"] if name not in wanted]
            section["ids"] = mine or kept or [f"section-{section['ids'][0]}"]


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.add_transform(AnchorsNameSections)
