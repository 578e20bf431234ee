"""Links to what the site has pages for: in the repository they lead to the file that the page is made of.

Read as plain sources, in an editor or on a host of Git repositories, the pages then have no broken links: there is no
page of a notebook or of a package there.
"""

import re
from posixpath import dirname, relpath

NOTEBOOK = re.compile(r"\]\((?:\.\./)+analysis/(\w+)\.ipynb\)")
PACKAGE = re.compile(r"\]\((?:\.\./)+(dmt_ray/(?:\w+/)?)__init__\.py\)")


def on_the_site(markdown: str, page: str) -> str:
    """The text of a page with links to notebooks and packages leading to their pages; `page`: its path below docs/."""

    def link(target: str) -> str:
        return f"]({relpath(target, dirname(page))})"

    markdown = NOTEBOOK.sub(lambda found: link(f"notebooks/{found[1]}.md"), markdown)
    return PACKAGE.sub(lambda found: link(f"reference/api/{found[1].rstrip('/').rpartition('/')[2]}.md"), markdown)
