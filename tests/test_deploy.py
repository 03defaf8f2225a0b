"""What deploy/ holds fits the package: every path and flag that it names is there, and a service
runs with few rights. No engine of containers runs here, so their files are read, not built.
"""

import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unseen.cli.main import app
from unseen.service.app import create_app
from unseen.service.state import Limits

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXPOSED = 2.0  # of 10, by `systemd-analyze security`: the most that the unit may be exposed


def accepted(words):
    """What the command line makes of these words, which nothing runs."""
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    return command.__name__, bound.arguments


def test_a_flag_that_is_none_is_found():
    with pytest.raises(Exception, match="--hoste"):
        accepted(["serve", "--hoste", "0.0.0.0"])


@pytest.fixture(scope="module")
def container():
    """Instructions of the Containerfile in their order: (name, rest)."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def those(container, name):
    return [rest for each, rest in container if each == name]


def test_a_container_is_built_of_what_is_there_and_pinned(container):
    sources = [
        word
        for rest in those(container, "COPY")
        if "--from" not in rest
        for word in rest.split()[:-1]
    ]
    assert [name for name in sources if not (ROOT / name).exists()] == []
    assert all(
        re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+( AS \w+)?", each)
        for each in those(container, "FROM")
    )
    installs = [rest for rest in those(container, "RUN") if "pip install" in rest]
    first, second = map(shlex.split, installs)
    assert "--index-url" in first
    assert first[-1] == "$(grep '^torch==' constraints.txt)"
    assert second[second.index("-c") + 1] == "constraints.txt"
    extras = re.fullmatch(r"\.\[([\w,]+)\]", second[-1])[1].split(",")
    assert "serve" in extras
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    pinned = (ROOT / "constraints.txt").read_text()
    assert len(re.findall(r"^torch==", pinned, flags=re.MULTILINE)) == 1
    needed = [
        *PROJECT["dependencies"],
        *(n for e in extras for n in PROJECT["optional-dependencies"][e]),
    ]
    names = [re.match(r"[\w-]+", each)[0].replace("_", "-").lower() for each in needed]
    assert [n for n in names if not re.search(rf"(?im)^{n}==", pinned.replace("_", "-"))] == []


def test_a_container_runs_as_nobody_in_particular_and_fetches_nothing(container):
    last = max(k for k, (name, _) in enumerate(container) if name == "FROM")
    final = container[last:]
    (user,) = those(final, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert f"--uid {user.split(':')[0]} " in " ".join(those(final, "RUN"))
    assert not any("pip" in rest or "http" in rest for rest in those(final, "RUN"))
    assert not those(container, "ADD")
    (check,) = those(final, "HEALTHCHECK")
    asked = json.loads(check[check.index("CMD") + 3 :])
    assert re.search(r"127\.0\.0\.1:8000(/\w+)", asked[-1])[1] in routes()
    assert those(final, "EXPOSE") == ["8000"]
    assert those(final, "VOLUME") == ["/var/lib/unseen"]
    (entry,), (words,) = those(final, "ENTRYPOINT"), those(final, "CMD")
    assert json.loads(entry) == ["unseen"]
    name, arguments = accepted(json.loads(words))
    assert (name, arguments["host"], arguments["home"]) == (
        "serve",
        "0.0.0.0",
        Path("/var/lib/unseen"),
    )


def routes():
    """Paths that the service answers."""
    service: Any = SimpleNamespace(limits=Limits())
    return set(create_app(service).openapi()["paths"])


@pytest.fixture(scope="module")
def compose():
    return pytest.importorskip("yaml").safe_load((DEPLOY / "compose.yaml").read_text())


def test_a_password_stands_in_no_command_and_reaches_the_service(compose, tmp_path):
    service = compose["services"]["service"]
    text = (DEPLOY / "compose.yaml").read_text()
    assert "PASSWORD:" not in text
    assert compose["secrets"]["database"] == {"file": "./database.txt"}
    shell, flag, script, zeroth = service["entrypoint"]
    (tmp_path / "secret").write_text("of 'two' $words\n")
    (tmp_path / "unseen").write_text('#!/bin/sh\nprintf "%s|" "$PGPASSWORD" "$@"\n')
    (tmp_path / "unseen").chmod(stat.S_IRWXU)
    script = script.replace("$$", "$").replace("/run/secrets/database", str(tmp_path / "secret"))
    found = subprocess.run(
        [shell, flag, script, zeroth, "serve", "a b"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "of 'two' $words|serve|a b|"


def test_services_wait_for_one_another_and_only_loopback_is_open(compose):
    services = compose["services"]
    assert {name: each.get("ports") for name, each in services.items()} == {
        "database": None,
        "upgrade": None,
        "service": ["127.0.0.1:8000:8000"],
    }
    after = {name: each["condition"] for name, each in services["service"]["depends_on"].items()}
    assert after == {"database": "service_healthy", "upgrade": "service_completed_successfully"}
    for name in ("service", "upgrade"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["build"]["dockerfile"] == "deploy/Containerfile"
        accepted(services[name]["command"])
    volumes = [name.split(":")[0] for each in services.values() for name in each.get("volumes", [])]
    assert {name for name in volumes if not name.startswith(".")} == set(compose["volumes"])
    assert {name for each in services.values() for name in each["networks"]} == set(
        compose["networks"]
    )
    assert services["service"]["volumes"][0].endswith(":/var/lib/unseen")


def test_commands_in_comments_are_commands(compose):
    text = "".join(each.read_text() for each in sorted(DEPLOY.iterdir()))
    found = re.findall(r"^# +docker compose run --rm service (.*)$", text, flags=re.MULTILINE)
    assert found
    for line in found:
        accepted(shlex.split(line))


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """The unit, its program where this environment has it, and the programs's words."""
    text = (DEPLOY / "unseen.service").read_text()
    file = tmp_path_factory.mktemp("unit") / "unseen.service"
    file.write_text(text.replace("/opt/unseen/bin/unseen", sys.executable))
    lines = re.findall(r"^Exec\w+=/opt/unseen/bin/unseen (.*)$", text, flags=re.MULTILINE)
    return file, [line.replace("%S", "/var/lib").split() for line in lines]


def test_a_unit_runs_commands_that_there_are(unit):
    upgrade, serve = unit[1]
    assert upgrade[:2] == ["store", "upgrade"]
    assert accepted(upgrade)[1]["home"] == Path("/var/lib/unseen")
    name, arguments = accepted(serve)
    assert (name, arguments["home"]) == ("serve", Path("/var/lib/unseen"))
    assert "host" not in arguments  # loopback


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_a_unit_is_sound_and_has_few_rights(unit):
    for words in (["verify"], ["security", "--offline=true", f"--threshold={10 * EXPOSED:.0f}"]):
        found = subprocess.run(
            ["systemd-analyze", "--no-pager", *words, str(unit[0])],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        assert words != ["verify"] or "unseen.service" not in found.stderr, found.stderr
