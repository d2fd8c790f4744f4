"""A broken plugin is named with its distribution, and the rest works (issue 2, point 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sonar_core.testing.program import Run, Sonar
    from sonar_core.testing.scripted import Origin
    from tests.plugin.packages import Packages

IMPORTS = "from __future__ import annotations\nfrom sonar_core import hookimpl, Command, Endpoint, AuthScheme\n"


def declare(hook: str, values: str) -> str:
    return f"{IMPORTS}\n@hookimpl\ndef {hook}():\n    return {values}\n"


BROKEN = {
    "fails at import": ("raise RuntimeError('no \\x1b[31m luck')", "import failed: RuntimeError: no \\x1b[31m luck"),
    "is no Python": ("def (", "import failed: SyntaxError"),
    "exits at import": ("import sys; sys.exit(7)", "import failed: SystemExit: 7"),
    "raises in a hook": (
        f"{IMPORTS}\n@hookimpl\ndef sonar_commands():\n    raise ValueError('not today')\n",
        "sonar_commands failed: ValueError: not today",
    ),
    "exits in a hook": (
        f"{IMPORTS}\n@hookimpl\ndef sonar_commands():\n    raise SystemExit(0)\n",
        "sonar_commands failed: SystemExit: 0",
    ),
    "returns nothing": (declare("sonar_commands", "None"), "sonar_commands failed: TypeError"),
    "returns something else": (declare("sonar_commands", "['tag ls']"), "'tag ls' is no Command"),
    "has a path that is a list": (
        declare("sonar_commands", "[Command(['tag', 'x'], 'm:f', 's')]"),
        "['tag', 'x'] is no path of a command",
    ),
    "has a path that is a text": (declare("sonar_commands", "[Command('tag', 'm:f', 's')]"), "'tag' is no path"),
    "has an empty path": (declare("sonar_commands", "[Command((), 'm:f', 's')]"), "() is no path of a command"),
    "has a word that is an option": (
        declare("sonar_commands", "[Command(('-v',), 'm:f', 's')]"),
        "('-v',) is no path of a command",
    ),
    "has no summary": (declare("sonar_commands", "[Command(('x',), 'm:f', None)]"), "the summary of command x is no"),
    "claims a command of sonar's": (
        declare("sonar_commands", "[Command(('tag', 'ls'), 'm:f', 's')]"),
        "it claims the command tag ls, which tags (sonar-registry) claims too; its claim is left out",
    ),
    "stands below a command": (
        declare("sonar_commands", "[Command(('check', 'deep'), 'm:f', 's')]"),
        "`check deep` stands below `check`, which is a command itself",
    ),
    "is a group already": (declare("sonar_commands", "[Command(('tag',), 'm:f', 's')]"), "`tag`"),
    "implements an unknown hook": (
        declare("sonar_tomorrow", "[]"),
        "it implements sonar_tomorrow, which this sonar does not know; upgrade sonar",
    ),
    "wants an unknown argument": (
        f"{IMPORTS}\n@hookimpl\ndef sonar_credentials(registry, weather):\n    return None\n",
        "weather",
    ),
    "is a wrapper": (
        f"{IMPORTS}\n@hookimpl(wrapper=True)\ndef sonar_commands():\n    return (yield)\n",
        "its sonar_commands is a hook wrapper, which sonar does not call",
    ),
}


def warned(run: Run, message: str) -> None:
    """One line on stderr names the plugin `acme` of `acme-tools`, and says this."""
    lines = [line for line in run.stderr.splitlines() if "plugin acme (acme-tools)" in line]
    assert len(lines) == 1, run
    assert lines[0].startswith("sonar: warning: "), run
    assert message in lines[0], run
    assert "Traceback" not in run.stderr


@pytest.fixture
def registry(scripted: Origin) -> Origin:
    from sonar_core.testing.scripted import Answer

    scripted.on("GET", "/v2/", Answer(200, json={}))
    return scripted


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_and_the_rest_works(
    kind: str, with_packages: Sonar, packages: Packages, registry: Origin
) -> None:
    source, message = BROKEN[kind]
    packages.install("acme-tools", source, entries=("acme",))

    run = with_packages("check", registry.host)

    assert run.code == 0, run
    assert run.stdout.startswith(f"http://{registry.host}: ok") or run.stdout.startswith(f"{registry.host}: ok"), run
    warned(run, message)


@pytest.mark.parametrize("kind", BROKEN)
def test_plugin_ls_shows_the_error(kind: str, with_packages: Sonar, packages: Packages) -> None:
    source, message = BROKEN[kind]
    packages.install("acme-tools", source, entries=("acme",))

    run = with_packages("plugin", "ls", "-o", "json")

    assert run.code == 0, run
    rows = {row["name"]: row for row in run.json}
    assert rows["acme"]["state"] == "error"
    assert rows["acme"]["distribution"] == "acme-tools"
    assert rows["acme"]["version"] == "1.2"
    assert message.replace("\\x1b", "\x1b") in rows["acme"]["error"]
    assert {row["state"] for name, row in rows.items() if name != "acme"} == {"ok"}

    text = with_packages("plugin", "ls")
    assert "acme [error] (acme-tools 1.2" in text.stdout
    assert message in text.stdout
    assert "\x1b" not in text.stdout + text.stderr


@pytest.mark.parametrize(
    ("hook", "value", "named"),
    [
        ("sonar_endpoints", "Endpoint('tags', 'm:f')", "endpoint tags, which tags (sonar-registry) claims"),
        ("sonar_endpoints", "Endpoint('no name', 'm:f')", "'no name' is no name of an endpoint"),
        ("sonar_endpoints", "Endpoint('x', 'm:f', ['*'])", "the registries of endpoint x"),
        ("sonar_auth_schemes", "AuthScheme('BASIC', 'm:f')", "scheme BASIC, which basic (sonar-registry) claims"),
        ("sonar_auth_schemes", "AuthScheme('', 'm:f')", "'' is no name of an auth scheme"),
    ],
)
def test_a_claim_to_a_name_of_sonars_is_left_out(
    hook: str, value: str, named: str, with_packages: Sonar, packages: Packages
) -> None:
    """The core selects by name and refuses two claims to one name, naming both distributions (DESIGN, 3)."""
    packages.install("acme-tools", declare(hook, f"[{value}]"), entries=("acme",))
    run = with_packages("plugin", "ls")
    assert run.code == 0, run
    warned(run, named)


def test_two_third_parties_claim_one_command(with_packages: Sonar, packages: Packages) -> None:
    """Neither has it: the user decides by leaving one out."""
    for name in ("acme", "bolt"):
        packages.install(name, declare("sonar_commands", f"[Command(('greet',), '{name}:greet', '{name} greets')]"))
        with (packages.directory / f"{name}.py").open("a") as file:
            file.write(f"\ndef greet() -> str:\n    return 'hello from {name}'\n")

    both = with_packages("greet")
    assert both.code == 2, both
    assert both.stdout == ""
    assert "plugin acme (acme): it claims the command greet, which bolt (bolt) claims too" in both.stderr
    assert "plugin bolt (bolt): it claims the command greet, which acme (acme) claims too" in both.stderr

    for way in (["--no-plugin", "bolt"], ["--no-plugin=bolt"]):
        assert with_packages(*way, "greet").stdout == "hello from acme\n"
        assert with_packages("greet", *way).stdout == "hello from acme\n"
    chosen = with_packages("greet", SONAR_DISABLE_PLUGINS="other, acme")
    assert (chosen.code, chosen.stdout, chosen.stderr) == (0, "hello from bolt\n", "")


def test_an_entry_point_name_is_taken(with_packages: Sonar, packages: Packages) -> None:
    """pluggy would skip the second silently; a built-in keeps its name."""
    packages.install("acme-tools", declare("sonar_commands", "[]"), entries=("tags",))
    packages.install("bolt", declare("sonar_commands", "[]"), entries=("wrench",))
    packages.install("zinc", declare("sonar_commands", "[]"), entries=("wrench",))
    run = with_packages("plugin", "ls")
    assert run.code == 0, run
    assert "plugin tags (acme-tools): the name is taken by a plugin of sonar-registry; this one is left" in run.stderr
    assert "plugin wrench (zinc): the name is taken by a plugin of bolt; this one is left out" in run.stderr
    assert "command tag ls" in run.stdout


def test_two_names_for_one_module(with_packages: Sonar, packages: Packages) -> None:
    packages.install("acme-tools", declare("sonar_commands", "[]"), entries=("acme", "also"))
    run = with_packages("plugin", "ls")
    assert run.code == 0, run
    assert "plugin also (acme-tools): acme_tools is the plugin acme already" in run.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("other = 1", "AttributeError"),
        ("greet = 5", "TypeError"),
        ("def greet(what: object): ...", "object"),
    ],
)
def test_a_command_that_does_not_load(
    source: str, message: str, with_packages: Sonar, packages: Packages, registry: Origin
) -> None:
    """Its module is imported when it runs; the help, and all other commands, do without."""
    packages.install("acme-tools", declare("sonar_commands", "[Command(('tag', 'greet'), 'acme_late:greet', 'Greet')]"))
    (packages.directory / "acme_late.py").write_text(source)

    run = with_packages("tag", "greet")
    assert run.code == 1, run
    assert run.stdout == ""
    assert "plugin acme-tools (acme-tools): the command tag greet " in run.stderr
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1

    assert "greet" in with_packages("tag", "--help").stdout
    assert with_packages("check", registry.host).code == 0


def test_a_text_function_that_does_not_load(with_packages: Sonar, packages: Packages) -> None:
    source = declare("sonar_commands", "[Command(('greet',), 'acme_tools:greet', 'Greet', text='acme_tools:none')]")
    packages.install("acme-tools", source + "\ndef greet() -> str:\n    return 'hello'\n")
    run = with_packages("greet")
    assert run.code == 1
    assert run.stdout == ""
    assert "plugin acme-tools (acme-tools): the command greet does not load" in run.stderr


def test_an_endpoint_that_does_not_load(with_packages: Sonar, packages: Packages, scripted: Origin) -> None:
    """Named where it is used, with its distribution."""
    source = IMPORTS + (
        "from sonar_core import Connect, Registry\n"
        "@hookimpl\ndef sonar_endpoints():\n    return [Endpoint('quota', 'acme_tools:missing')]\n"
        "@hookimpl\ndef sonar_commands():\n    return [Command(('quota',), 'acme_tools:quota', 'Quota')]\n"
        f"def quota(connect: Connect) -> str:\n    return connect(Registry.parse('{scripted.host}')).quota.left()\n"
    )
    packages.install("acme-tools", source)
    run = with_packages("quota")
    assert run.code == 1, run
    assert run.stdout == ""
    assert "plugin acme-tools (acme-tools): the endpoint quota does not load: AttributeError" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_an_observer_that_raises_does_not_disturb(with_packages: Sonar, packages: Packages, registry: Origin) -> None:
    source = f"{IMPORTS}\n@hookimpl\ndef sonar_exchange(exchange):\n    raise OSError('the log is full')\n"
    packages.install("acme-tools", source, entries=("acme",))
    run = with_packages("check", registry.host)
    assert run.code == 0
    warned(run, "sonar_exchange failed: OSError: the log is full")


def test_a_credential_source_that_raises_makes_the_work_fail(
    with_packages: Sonar, packages: Packages, scripted: Origin
) -> None:
    """It never turns silently into anonymous (DESIGN, 3), and its words, which may hold a secret, are not shown."""
    from sonar_core.testing.scripted import Answer

    scripted.on("*", "/v2/", Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}))
    source = f"{IMPORTS}\n@hookimpl\ndef sonar_credentials():\n    raise OSError('hunter2 is refused')\n"
    packages.install("acme-tools", source, entries=("acme",))
    run = with_packages("check", scripted.host)
    assert run.code == 1, run
    assert run.stdout == ""
    assert f"plugin acme (acme-tools) failed to give credentials for {scripted.host}: OSError" in run.stderr
    assert "--no-plugin acme" in run.stderr
    assert "hunter2" not in run.stderr
    assert with_packages("check", scripted.host, "--no-plugin", "acme").code == 4


def bad_metadata(packages: Packages, kind: str) -> None:
    entry = "[sonar]\nacme = json\n"
    metadata = "Metadata-Version: 2.1\nName: acme-tools\nVersion: 1\n"
    cases: dict[str, Any] = {
        "no metadata": {"METADATA": None, "entry_points": entry},
        "no name": {"METADATA": "Metadata-Version: 2.1\n\n", "entry_points": entry},
        "a line without =": {"METADATA": metadata, "entry_points": "[sonar]\nacme\n"},
        "an empty value": {"METADATA": metadata, "entry_points": "[sonar]\nacme = \n"},
        "no UTF-8": {"METADATA": metadata, "entry_points": b"[sonar]\nacme = \xff\xfe\n"},
        "a value that names nothing": {"METADATA": metadata, "entry_points": "[sonar]\nacme = a b:c:d\n"},
    }
    packages.dist_info("acme-tools", "1", **cases[kind])


@pytest.mark.parametrize("kind", ["a line without =", "an empty value", "no UTF-8", "a value that names nothing"])
def test_damaged_metadata_are_named(kind: str, with_packages: Sonar, packages: Packages, registry: Origin) -> None:
    bad_metadata(packages, kind)
    run = with_packages("check", registry.host)
    assert run.code == 0, run
    warnings = [line for line in run.stderr.splitlines() if line.startswith("sonar: warning: plugin ")]
    assert len(warnings) == 1, run
    assert "acme" in warnings[0]


@pytest.mark.parametrize("kind", ["no metadata", "no name"])
def test_missing_metadata_do_not_matter(kind: str, with_packages: Sonar, packages: Packages, registry: Origin) -> None:
    """`json` is no plugin, but loads; what is missing is a name to show."""
    bad_metadata(packages, kind)
    rows = {row["name"]: row for row in with_packages("plugin", "ls", "-o", "json").json}
    assert rows["acme"]["distribution"] == "acme_tools"
    assert rows["acme"]["state"] == "ok"
    assert with_packages("check", registry.host).code == 0


def test_the_same_distribution_twice_on_the_path(sonar: Sonar, packages: Packages) -> None:
    """The first hides the second, as for imports; that is no conflict."""
    from tests.plugin.packages import Packages as More

    second = More(packages.directory.parent / "more")
    for place, version in ((packages, "2"), (second, "1")):
        place.install("acme-tools", declare("sonar_commands", "[]"), entries=("acme",), version=version)
    run = sonar("plugin", "ls", PYTHONPATH=f"{packages.directory}:{second.directory}")
    assert run.stderr == ""
    assert "acme (acme-tools 2," in run.stdout
    assert "acme-tools 1" not in run.stdout


def test_a_third_party_adds_to_a_group(with_packages: Sonar, packages: Packages) -> None:
    """A third party may add to an existing group, without any privilege of the built-ins."""
    source = declare("sonar_commands", "[Command(('tag', 'greet'), 'acme_tools:greet', 'Greet the tags')]")
    packages.install("acme-tools", source + "\ndef greet() -> list[str]:\n    return ['hello', 'tags']\n")
    assert with_packages("tag", "greet").stdout == "hello\ntags\n"
    assert with_packages("tag", "greet", "-o", "json").json == ["hello", "tags"]
    assert with_packages("tag", "--help").stdout.index("greet") < with_packages("tag", "--help").stdout.index("ls")


def test_disabled_plugins_are_not_imported(with_packages: Sonar, packages: Packages) -> None:
    packages.install("acme-tools", "raise RuntimeError('imported')", entries=("acme",))
    for run in (
        with_packages("plugin", "ls", "-o", "json", SONAR_DISABLE_PLUGINS="acme,tags"),
        with_packages("plugin", "ls", "-o", "json", "--no-plugin", "acme", "--no-plugin", "tags"),
    ):
        assert run.stderr == ""
        rows = {row["name"]: row["state"] for row in run.json}
        assert (rows["acme"], rows["tags"], rows["check"]) == ("disabled", "disabled", "ok")
    gone = with_packages("tag", "ls", "localhost:1/a", SONAR_DISABLE_PLUGINS="acme,tags")
    assert gone.code == 2
    assert "No such command" in gone.stderr


def test_leaving_out_a_plugin_that_is_not_there_is_told(with_packages: Sonar) -> None:
    run = with_packages("plugin", "ls", "--no-plugin", "tagss")
    assert run.code == 0, run
    assert "--no-plugin tagss: there is none of that name" in run.stderr
