"""The pages: every link leads somewhere, every page is in the menu, and what is generated holds everything."""

import re
from pathlib import Path

import pytest
import yaml

import dmt_ray
from dmt_ray.config import Config
from dmt_ray.methods import METHODS
from dmt_ray.recipes import RECIPES
from docs.hooks import architecture, links, reference
from tests.helpers.pages import DOCS, PAGES
from tests.helpers.paths import ROOT

LINK = re.compile(r"\]\(([^)\s#]*)(#[^)]*)?\)")


def heading_ids(page: Path) -> set[str]:
    """The anchors of a page's headings, as the site makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", text) for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    lost = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor[1:] not in heading_ids(path)):
            lost.append(f"{target}{anchor}")
    assert lost == []


def test_links_to_notebooks_and_packages_lead_to_their_pages_on_the_site() -> None:
    packages = {f"reference/api/{name}.md" for name in reference.api()}
    notebooks = {f"notebooks/{path.stem}.md" for path in (ROOT / "analysis").glob("*.ipynb")}
    led = set()
    for page in (DOCS / "how-to" / "notebooks.md", DOCS / "reference" / "api.md"):
        own = page.relative_to(DOCS).as_posix()
        for target, _ in LINK.findall(links.on_the_site(page.read_text(encoding="utf-8"), own)):
            path = (page.parent / target).resolve()
            assert path.is_relative_to(DOCS), f"{own} leads to {target}, which is no page"
            led |= set() if path.exists() else {path.relative_to(DOCS).as_posix()}
    assert led == notebooks | {"reference/api/dmt_ray.md", "reference/api/testing.md"}
    assert led <= notebooks | packages


def test_a_link_into_the_code_is_left_as_it_is_where_the_site_has_no_page_of_it() -> None:
    text = "[a](../../dmt_ray/engine/loop.py) [b](../how-to/search.md)"
    assert links.on_the_site(text, "explanation/idea.md") == text


def test_every_page_that_code_and_texts_name_exists() -> None:
    folders = ("dmt_ray", "searches", "ablations", "benchmarks", "analysis", "tests", ".github")
    kinds = (".py", ".ipynb", ".yml")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    files += [ROOT / name for name in ("Makefile", "CITATION.cff", "SECURITY.md", "pyproject.toml", "CHANGELOG.md")]
    named = {
        f"{path.relative_to(ROOT)}: {page}"
        for path in files
        for page in re.findall(r"(?<!runs/)\bdocs/[\w./-]*\w", path.read_text(encoding="utf-8"))
        if not (ROOT / page).exists()
    }
    assert named == set()


def test_every_page_is_in_the_menu() -> None:
    class Loader(yaml.SafeLoader):
        """Takes the tags of MkDocs for what they are not needed for here."""

    menu = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]
    listed = set(re.findall(r"[\w/-]+\.md", str(menu)))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    apart = ("decisions/", "explanation/results/tables/")  # listed by a hook; reached from the results
    assert {page for page in pages if not page.startswith(apart)} == listed


def test_every_option_is_explained_once() -> None:
    page = reference.write_options()
    options = {option for command in reference.commands() for option, _, _ in command.options}
    assert len(options) > 30
    for option in options:
        assert len(re.findall(rf"^## `{re.escape(option)}(?![\w-])[^\n]*`", page, re.MULTILINE)) == 1, option


def test_every_command_is_on_the_page_of_commands_and_links_its_options() -> None:
    page = reference.write_commands()
    names = [command.name for command in reference.commands()]
    assert {"dmt run", "dmt sweep QUESTION", "dmt ablate QUESTION", "dmt store gc", "dmt data check"} <= set(names)
    for command in reference.commands():
        section = page.partition(f"## {command.name} {{")[2].partition("\n## ")[0]
        assert all(f"[`{option}`](options.md#" in section for option, _, _ in command.options), command.name


def test_every_setting_has_a_meaning_and_its_values() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*?) \| (.*?) \|$", reference.write_settings(), re.MULTILINE)
    named = {name for name, *_ in rows}
    assert {"percentiles", "split.labelled", "TRAINING.learning_rate", "weight.gamma1", "data.test_share"} <= named
    assert [name for name, meaning, _, values in rows if not meaning or not values] == []


def test_no_table_of_settings_names_one_twice() -> None:
    sections = re.split(r"^## ", reference.write_settings(), flags=re.MULTILINE)[1:]
    assert len(sections) > 20
    for section in sections:
        named = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
        assert len(named) == len(set(named)) > 0, section.partition("\n")[0]


def test_every_name_of_the_package_is_on_its_page_of_the_api() -> None:
    assert re.findall(r"^::: dmt_ray\.(\w+)$", reference.api()["dmt_ray"], re.MULTILINE) == dmt_ray.__all__


def test_ranges_and_defaults_are_those_of_the_models() -> None:
    (row,) = re.findall(r"^\| `dms_alpha` .*$", reference.write_settings(), re.MULTILINE)
    _, _, default, values, _ = (cell.strip() for cell in row.removeprefix("|").split("|"))
    assert float(default.strip("`")) == Config.model_fields["dms_alpha"].default
    assert re.search(r"0[.]5.* 1\b", values)


def test_recipes_methods_and_weight_rules_are_all_there() -> None:
    assert all(f"| `{name}` |" in reference.write_recipes() for name in RECIPES)
    assert all(f"| `{name}` |" in reference.write_methods() for name in METHODS)
    (rules,) = re.findall(r"^\| `weight.rule` .*$", reference.write_settings(), re.MULTILINE)
    assert all(rule in rules for rule in reference.weight_rules())


def test_every_package_is_in_the_picture_of_the_architecture() -> None:
    picture = architecture.draw()
    packages = {path.parent.name for path in (ROOT / "dmt_ray").glob("*/__init__.py")}
    assert all(f">{package}</text>" in picture for package in packages | {"searches", "ablations"})
