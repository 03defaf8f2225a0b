"""Backing up and restoring, by the commands that docs/guides/deploy.md shows."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select

from unseen.service.store import schema
from unseen.service.store.store import Store
from unseen.service.store.tables import tokens
from unseen.service.tokens import add_token

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "deploy.md").read_text()


def backed_up(tmp_path, url, which, rows):
    """Counts of rows and bytes of a version before, and after what the page says was done: back up
    by one of its blocks, lose everything, restore by another.
    """
    backup, restore = which
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    home, kept = tmp_path / "home", tmp_path / "kept"
    for folder in (home / "models" / "pumps" / "1", kept):
        folder.mkdir(parents=True)
    (home / "models" / "pumps" / "1" / "bundle.json").write_text("{}")
    store = Store(url)
    schema.upgrade(store)
    with store.writing() as connection:
        for name in rows:
            add_token(connection, name, "score")
    store.close()

    def run(block):
        text = blocks[block].replace("/var/lib/unseen", str(home)).replace("/backup", str(kept))
        settings = os.environ | {"UNSEEN_STORE": url}
        subprocess.run(["bash", "-euc", text], env=settings, check=True, capture_output=True)

    run(backup)
    with store.writing() as connection:
        add_token(connection, "later", "score")
    (home / "models" / "pumps" / "1" / "bundle.json").write_text("changed")
    store.close()
    run(restore)
    assert (home / "models" / "pumps" / "1" / "bundle.json").read_text() == "{}"
    with store.reading() as connection:
        found = connection.execute(select(tokens.c.name)).scalars().all()
    assert schema.state(store).is_current
    store.close()
    return sorted(found)


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="needs the program sqlite3")
def test_what_is_backed_up_comes_back_in_sqlite(tmp_path):
    (tmp_path / "home").mkdir()
    url = f"sqlite:///{tmp_path / 'home' / 'unseen.db'}"
    assert backed_up(tmp_path, url, (0, 2), ["anna", "ben"]) == ["anna", "ben"]


def test_what_is_backed_up_comes_back_in_postgresql(tmp_path, postgres):
    if not shutil.which("pg_dump"):
        pytest.skip("needs the program pg_dump")
    assert backed_up(tmp_path, postgres.fresh(), (1, 3), ["anna", "ben"]) == ["anna", "ben"]
