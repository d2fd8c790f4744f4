"""docs/authentication.md says what is so: the order of the sources, the files that it shows, the tables."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path

import pytest

from sonar_core.plugins import Plugins
from sonar_core.reference import Registry, Repository
from sonar_core.settings import Settings, option_names
from sonar_core.testing.scripted import Answer, Origin, Request
from sonar_plugins.credentials import helper
from sonar_plugins.credentials.auth_file import AuthFile
from tests.auth.test_sources import ORDER
from tests.docs.blocks import ROOT, blocks, module

PAGE = "docs/authentication.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def test_the_order_of_the_sources_is_the_one_in_which_they_are_asked() -> None:
    assert tuple(re.findall(r"^\| \d \| `credentials-([a-z]+)` \|", TEXT, re.MULTILINE)) == ORDER


def test_the_schemes_are_those_that_there_are() -> None:
    documented = {name.lower() for name, _ in re.findall(r"^\| `(\w+)` \| `(basic|bearer)` \|", TEXT, re.MULTILINE)}
    assert documented == set(Plugins.discover(only=("basic", "bearer")).auth_schemes())


def test_the_file_of_logins_is_read_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example, helpers = (json.loads(block) for found in blocks(PAGE, "json").values() for block in found)
    pair = {"auth": "YTpi"}  # a:b
    auths = {key: {**entry, **pair} for key, entry in example["auths"].items()}
    file = AuthFile(tmp_path / "config.json", {**example, "auths": auths})
    monkeypatch.setattr(helper, "get", lambda name, server, **_: None)
    for name, kind in (
        ("registry.example.com/team/app", "password"),
        ("docker.io/library/nginx", "password"),
        ("myregistry.azurecr.io/app", "identity_token"),
    ):
        repository = Repository.parse(name)
        found = file.credentials(repository.registry, repository, seconds=1)
        assert found is not None
        assert getattr(found, kind)
    assert file.helper(Registry.parse("europe-docker.pkg.dev")) == "gcloud"
    assert file.helper(Registry.parse("other.example")) == "pass"
    assert set(helpers) == {"credHelpers"}


def test_the_config_file_is_valid(tmp_path: Path) -> None:
    (source,) = blocks(PAGE, "toml")["TLS"]
    (tmp_path / "config.toml").write_text(source)
    settings = Settings.load(tmp_path / "config.toml", environ={})
    (host,) = tomllib.loads(source)["registry"]
    assert settings.for_registry(Registry.parse(host)).cert is not None


def test_every_setting_of_the_table_exists() -> None:
    table = TEXT[TEXT.index("\n## TLS") : TEXT.index("For one registry, in sonar's config file")]
    named = set(re.findall("`([a-z_]+)`", table))
    assert {"ca_file", "cert", "key", "insecure", "plain_http", "certs_dir"} <= named <= set(option_names())


def test_the_program_runs(scripted: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: Request) -> Answer:
        if request.header("Authorization") == "Basic " + base64.b64encode(b"robot:its password").decode():
            return Answer(200, json={"tags": ["v1"]})
        return Answer(401, {"WWW-Authenticate": 'Basic realm="r"'})

    scripted.default = answer
    (source,) = blocks(PAGE)["More ways, by plugins"]
    module(source.replace("registry.example.com", scripted.host), "example_of_credentials")
    assert capsys.readouterr().out == "['v1']\n"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT):
        if "://" not in target:
            assert (ROOT / "docs" / target).exists(), target
