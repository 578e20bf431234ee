"""Hooks of MkDocs: generated parts of pages, notebooks, the list of decisions, links to generated pages."""

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from docs.hooks import architecture, links, notebooks, reference

SHIM = "https://unpkg.com/iframe-worker/shim"  # what the theme would fetch for a search on pages from the disk
OURS = "search_from_disk.js"
MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
GENERATED = {**reference.GENERATED, "architecture": architecture.draw}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the decisions, the packages and the notebooks into the menu: whoever adds one need not list it."""
    decisions = sorted((reference.ROOT / "docs/decisions").glob("*.md"))
    _fill(config.nav, "Decisions", [f"decisions/{path.name}" for path in decisions])
    _fill(config.nav, "Python API", [f"reference/api/{name}.md" for name in reference.api()])
    _fill(config.nav, "Notebooks", [f"notebooks/{name}.md" for name in notebooks.titles()])
    return config


def _fill(menu: Any, name: str, pages: list[str]) -> None:
    for entry in menu:
        for title, inner in entry.items() if isinstance(entry, dict) else ():
            if title == name:
                entry[title] = [*inner, *pages]
            elif isinstance(inner, list):
                _fill(inner, name, pages)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each package, and the executed notebooks."""
    for name, text in reference.api().items():
        files.append(File.generated(config, f"reference/api/{name}.md", content=text))
    for path, content in notebooks.pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace each marker of a page by what is read from the code, and have links lead to the pages of this site."""
    return links.on_the_site(MARKER.sub(lambda found: GENERATED[found[1]](), markdown), page.file.src_uri)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Use our script for searching from the disk instead of one that is fetched."""
    return output.replace(SHIM, get_relative_url(OURS, page.url))


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """The same on the page for broken links."""
    return output_content.replace(SHIM, f"/{OURS}")
