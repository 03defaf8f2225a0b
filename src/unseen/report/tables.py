"""What tables on a terminal look like."""

from __future__ import annotations

from rich.table import Table


def ruled_table(*heads: str) -> Table:
    """An empty table: names to the left, figures to the right, a line below the heads."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(heads[0], vertical="bottom", overflow="fold")
    for head in heads[1:]:
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    return table
