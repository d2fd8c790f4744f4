"""What is in force, and from where: precedence, conversion, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.errors import SettingsError
from sonar_core.reference import Registry
from sonar_core.settings import Settings, about, option_names
from tests.core.outcome import outcome

HERE = Registry.parse("registry.example.com:5000")


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "sonar.toml"
    file.write_text(text)
    return Settings.load(file, environ=environ)


def test_precedence(tmp_path: Path) -> None:
    """Options, variables, the registry's section, the top of the file, the default; each says where it is from."""
    text = (
        'timeout = 1\njobs = 1\npages = 1\n[registry."registry.example.com:5000"]\ntimeout = 2\njobs = 2\npages = 2\n'
    )
    settings = load(tmp_path, text, SONAR_JOBS="3", SONAR_PAGES="3").with_options(pages=4, attempts=None)
    assert (settings.timeout, settings.jobs, settings.pages, settings.attempts) == (1, 3, 4, 5)
    here = settings.for_registry(HERE)
    assert (here.timeout, here.jobs, here.pages, here.attempts) == (2, 3, 4, 5)
    file = str(tmp_path / "sonar.toml")
    section = f'{file} [registry."registry.example.com:5000"]'
    assert [here.sources.get(name) for name in ("timeout", "jobs", "pages", "attempts")] == [
        section,
        "SONAR_JOBS",
        "--pages",
        None,
    ]
    assert settings.for_registry(Registry.parse("other")) == settings


def test_where_the_file_is(tmp_path: Path) -> None:
    """--config, SONAR_CONFIG, XDG_CONFIG_HOME, ~/.config; a usual place may be empty, a named one must not."""
    for number, folder in enumerate(("xdg/sonar", "home/.config/sonar"), 1):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.toml").write_text(f"jobs = {number}")
    (tmp_path / "named.toml").write_text("jobs = 3")
    (tmp_path / "option.toml").write_text("jobs = 4")
    home, xdg = {"HOME": str(tmp_path / "home")}, {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    named = {"SONAR_CONFIG": str(tmp_path / "named.toml")}
    assert Settings.load(environ=home).jobs == 2
    assert Settings.load(environ={**home, **xdg}).jobs == 1
    assert Settings.load(environ={**home, **xdg, **named}).jobs == 3
    assert Settings.load(tmp_path / "option.toml", environ={**home, **xdg, **named}).jobs == 4
    assert Settings.load(environ={"HOME": str(tmp_path / "nobody")}).jobs == Settings().jobs
    with pytest.raises(SettingsError, match=r"cannot read the config file .*gone\.toml: No such file or directory"):
        Settings.load(environ={**home, "SONAR_CONFIG": str(tmp_path / "gone.toml")})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timeout = ", "is not TOML"),
        ("timeot = 5", "there is no setting `timeot`; did you mean `timeout`?"),
        ("zzzzzz = 5", "there is no setting `zzzzzz`; `sonar config show` lists those that exist"),
        ("registries = 5", "there is no setting `registries`"),
        ('timeout = "soon"', "`timeout` is 'soon'; a number is wanted"),
        ("timeout = 0", "`timeout` is 0; at least 0.01 is wanted"),
        ("timeout = -1", "at least 0.01"),
        ("timeout = inf", "`timeout` is inf"),
        ("timeout = nan", "`timeout` is nan"),
        ("timeout = true", "`timeout` is True; a number is wanted"),
        ("timeout = []", "a number is wanted"),
        ("jobs = 1.5", "`jobs` is 1.5; a whole number is wanted"),
        ("jobs = 0", "at least 1 is wanted"),
        ('insecure = "maybe"', "`insecure` is 'maybe'; true or false is wanted"),
        ("insecure = 2", "true or false is wanted"),
        ("ca_file = 5", "a path is wanted"),
        ("registry = 5", "`registry` must hold tables"),
        ("[registry]\nlocalhost = 5", '`registry` must hold tables, as [registry."NAME"]'),
        ("plugin = []", "`plugin` must hold tables"),
        ('[registry."a b"]\ntimeout = 5', "'a b' is not the host of a registry"),
        ('[registry."https://x.example/v2/"]\ntimeout = 5', 'write [registry."x.example"]'),
        ('[registry."index.docker.io"]\ntimeout = 5', 'write [registry."docker.io"]'),
        ("[registry.x]\ntimeot = 5", "did you mean `timeout`?"),
        ("[registry.x]\ntimeout = 0", '[registry."x"]: `timeout` is 0'),
        ("\ufeffx", "is not TOML"),
    ],
)
def test_a_file_that_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """A misspelt setting would be silently without effect."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)
    assert str(tmp_path / "sonar.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path, words in ((tmp_path / "binary", "is not TOML"), (tmp_path, "Is a directory")):
        with pytest.raises(SettingsError, match=words):
            Settings.load(path, environ={})


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("yes", True), ("On", True), ("0", False), ("no", False), ("off", False)],
)
def test_booleans_of_the_environment(text: str, value: bool) -> None:
    assert Settings.load(environ={"SONAR_INSECURE": text}).insecure is value


def test_an_empty_variable_is_none() -> None:
    """As a CI job sets it that has no value for it."""
    assert Settings.load(environ={"SONAR_TIMEOUT": "", "SONAR_INSECURE": ""}) == Settings()


def test_a_variable_that_is_refused_is_named() -> None:
    with pytest.raises(SettingsError, match="SONAR_JOBS: `jobs` is 'many'; a whole number is wanted"):
        Settings.load(environ={"SONAR_JOBS": "many"})


def test_paths_are_expanded() -> None:
    settings = Settings.load(environ={"SONAR_CA_FILE": "~/ca.pem"})
    assert settings.ca_file == Path("~/ca.pem").expanduser()
    assert Settings().with_options(ca_file="~no-such-user/ca.pem").ca_file == Path("~no-such-user/ca.pem")


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the user may have no name and no HOME."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert Settings.load(environ={}) == Settings()


def test_tables_of_plugins(tmp_path: Path) -> None:
    """`[plugin.NAME]` is the plugin's own, with whatever is in it."""
    settings = load(tmp_path, "[plugin.acme]\nanything = [1, {a = 2}]\n")
    assert settings.plugin("acme") == {"anything": [1, {"a": 2}]}
    assert settings.plugin("other") == {}


def test_settings_are_values() -> None:
    settings = Settings()
    assert settings.with_options(timeout=1).timeout == 1
    assert settings.timeout == 30
    with pytest.raises(AttributeError):
        settings.timeout = 5  # type: ignore[misc]
    assert "sources" not in repr(settings)


def test_each_setting_says_what_it_does() -> None:
    assert {"timeout", "attempts", "insecure", "ca_file"} <= set(option_names())
    for name in option_names():
        assert about(name)


@given(
    st.sampled_from(option_names()), st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.none(), st.binary())
)
def test_any_value_is_taken_or_refused(name: str, value: object) -> None:
    found = outcome(Settings().with_options, **{name: value})
    assert isinstance(found, Settings | SettingsError)
