"""The table of an ablation as text, for those who show it beside its runs."""

from pathlib import Path

from dmt_ray.store import Store


def in_markdown(folder: Path, store: Store) -> str:
    """The table of what is there now.

    Raises:
        ValueError: If that cannot be put in a table.
        StoreError: If the folder holds no ablation.
    """
    # pandas and scipy take a while to import, and only whoever publishes needs them.
    from dmt_ray.report.tables import text
    from dmt_ray.report.tables.files import table_of
    from dmt_ray.results import tidy

    return text.markdown(table_of(tidy.of_ablation(folder, store)))
