"""Names are parsed as docker parses them, printed so that they parse again, and refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.content import Digest
from sonar_core.errors import BadReference
from sonar_core.reference import Reference, Registry, Repository, check_path, check_tag
from tests.core.outcome import outcome

SHA256 = "sha256:" + "f" * 64
SHA512 = "sha512:" + "f" * 128


# (text, host, path, tag, digest), among them the table of distribution/reference's own tests with its normalization.
PARSED = [
    ("nginx", "docker.io", "library/nginx", "latest", None),
    ("nginx:1.27", "docker.io", "library/nginx", "1.27", None),
    ("test_com", "docker.io", "library/test_com", "latest", None),
    ("test.com:5000", "docker.io", "library/test.com", "5000", None),
    ("localhost:5000", "docker.io", "library/localhost", "5000", None),
    ("localhost", "docker.io", "library/localhost", "latest", None),
    ("192.168.1.1:5000", "docker.io", "library/192.168.1.1", "5000", None),
    ("foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080", None),
    ("owner/name", "docker.io", "owner/name", "latest", None),
    ("test_com/foo", "docker.io", "test_com/foo", "latest", None),
    ("foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080", None),
    ("docker.io/nginx", "docker.io", "library/nginx", "latest", None),
    ("index.docker.io/nginx", "docker.io", "library/nginx", "latest", None),
    ("registry-1.docker.io/owner/name", "docker.io", "owner/name", "latest", None),
    ("DOCKER.IO/nginx", "docker.io", "library/nginx", "latest", None),
    ("localhost/name", "localhost", "name", "latest", None),
    ("test.com/repo:tag", "test.com", "repo", "tag", None),
    ("test:5000/repo", "test:5000", "repo", "latest", None),
    ("test:5000/repo:tag", "test:5000", "repo", "tag", None),
    ("test:5000/repo@" + SHA256, "test:5000", "repo", None, SHA256),
    ("test:5000/repo:tag@" + SHA256, "test:5000", "repo", "tag", SHA256),
    ("nginx@" + SHA256, "docker.io", "library/nginx", None, SHA256),
    ("nginx:1.27@" + SHA512, "docker.io", "library/nginx", "1.27", SHA512),
    ("lowercase:Uppercase", "docker.io", "library/lowercase", "Uppercase", None),
    ("Uppercase/lowercase:tag", "uppercase", "lowercase", "tag", None),
    ("Test.COM/repo", "test.com", "repo", "latest", None),
    ("sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com", "bar/baz/quux", "latest", None),
    (
        "b.gcr.io/test.example.com/my-app:test.example.com",
        "b.gcr.io",
        "test.example.com/my-app",
        "test.example.com",
        None,
    ),
    ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com", None),
    ("192.168.1.1/repo", "192.168.1.1", "repo", "latest", None),
    ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000", "repo", "5050", None),
    ("[2001:db8::1]/repo", "[2001:db8::1]", "repo", "latest", None),
    ("[2001:DB8:1:2:3:4:5:6]:5000/repo:tag", "[2001:db8:1:2:3:4:5:6]:5000", "repo", "tag", None),
    ("host:05000/repo", "host:5000", "repo", "latest", None),
    ("a.b/c__d/e_f/g.h/i---j", "a.b", "c__d/e_f/g.h/i---j", "latest", None),
    ("docker.io/" + "a" * 64, "docker.io", "library/" + "a" * 64, "latest", None),
    ("http://myhost/repo", "myhost", "repo", "latest", None),
    ("HTTPS://localhost:5000/repo:tag", "localhost:5000", "repo", "tag", None),
    ("https://docker.io/nginx", "docker.io", "library/nginx", "latest", None),
    ("a/" * 127 + "a", "docker.io", "a/" * 127 + "a", "latest", None),
]


@pytest.mark.parametrize(("text", "host", "path", "tag", "digest"), PARSED)
def test_a_reference_is_taken_apart_and_prints_as_one_that_parses_to_the_same(text, host, path, tag, digest):
    reference = Reference.parse(text)
    assert reference.registry.host == host
    assert reference.repository.path == path
    assert reference.tag == tag
    assert reference.digest == (Digest.parse(digest) if digest else None)
    assert Reference.parse(str(reference)) == reference
    assert Repository.parse(str(reference.repository)) == reference.repository
    assert Registry.parse(str(reference.registry)) == reference.registry


REFUSED = [
    "",
    " nginx",
    "nginx ",
    "nginx\n",
    ":justtag",
    "@" + SHA256,
    "repo@sha256:" + "f" * 34,
    "repo@sha256:" + "F" * 64,
    "repo@md5:" + "f" * 32,
    "validname@invaliddigest:" + "f" * 64,
    "Uppercase:tag",
    "test:5000/Uppercase/lowercase:tag",
    "a/" * 128 + "a:tag",
    "a" * 248,  # library/ makes it 256
    "aa/asdf$$^/aa",
    "a//b",
    "/a",
    "a/",
    "a..b",
    "a___b",
    "a._b",
    "-a",
    "a-",
    "a/../b",
    "a/%2e%2e/b",
    "a:",
    "a:.tag",
    "a:-tag",
    "a:" + "t" * 129,
    "a:b:c",
    "a:tag\n",
    "a:täg",
    "f" * 64,
    "[2001:db8::1]",
    "[2001:db8::1]:5000",
    "[fe80::1%eth0]:5000/repo",
    "[:::1]/repo",
    "[1::2::3]/repo",
    "[12345::]/repo",
    "::1/repo",
    "host:65536/repo",
    "host:0/repo",
    "host:" + "9" * 5000 + "/repo",
    "host:/repo",
    "host:５000/repo",
    "-host.com/repo",
    "host-.com/repo",
    "host..com/repo",
    "l" * 64 + ".com/repo",
    ".".join(["label"] * 50) + "/repo",
    "http://",
    "http://myhost",
    "http://localhost:5000",
    "http://localhost:5000/",
    "http:///repo",
    "ftp://host/repo",
    "docker://nginx",
    "https://http://host/repo",
    "nginx?x=1",
    "host/repo#x",
    "nginx\x00",
    "\x1b[31mnginx",
    "\ud800",
    "nginx\u202e",
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_malformed_reference_is_refused_in_one_printable_line(text):
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400


def test_default_tag_stands_only_where_there_is_neither_tag_nor_digest():
    assert Reference.parse("nginx", default_tag=None).tag is None
    assert Reference.parse("nginx", default_tag="edge").tag == "edge"
    assert Reference.parse("nginx:1", default_tag="edge").tag == "1"
    assert Reference.parse(f"nginx@{SHA256}", default_tag="edge").tag is None


def test_a_refused_tag_is_named_and_a_right_one_is_shown():
    with pytest.raises(BadReference, match=r"'-x' is not a tag; a tag looks like 1\.27-alpine"):
        Reference.parse("nginx:-x")


def test_upper_case_in_a_repository_is_answered_with_what_to_write():
    with pytest.raises(BadReference, match="'Owner/Name' has upper-case letters; write owner/name"):
        Reference.parse("ghcr.io/Owner/Name")


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@host/repo",
        "user:hunter2@host/repo",
        "user:hunter2@host:5000",
        "https://user:hunter2@host",
        "https://user:hun/ter2@host/repo",
        "https://user:hunter2@" + SHA256 + "@" + SHA256,
        "https://user:hunter2@host/repo@" + SHA256,
        "user@hunter2@host/repo",
    ],
)
@pytest.mark.parametrize("parse", [Reference.parse, Repository.parse, Registry.parse])
def test_a_password_in_a_name_is_refused_and_not_repeated(parse, text):
    """ROBUSTNESS, "Authentication": no secret in a repr, a log line, an error."""
    with pytest.raises(BadReference) as caught:
        parse(text)
    assert "hun" not in str(caught.value)
    assert "ter2" not in str(caught.value)


# (text, host, scheme, base URL, hostname, port, printed)
REGISTRIES = [
    ("docker.io", "docker.io", "https", "https://registry-1.docker.io", "registry-1.docker.io", 443, "docker.io"),
    ("index.docker.io", "docker.io", "https", "https://registry-1.docker.io", "registry-1.docker.io", 443, "docker.io"),
    ("ghcr.io/", "ghcr.io", "https", "https://ghcr.io", "ghcr.io", 443, "ghcr.io"),
    ("http://ghcr.io", "ghcr.io", "http", "http://ghcr.io", "ghcr.io", 80, "http://ghcr.io"),
    ("myhost", "myhost", "https", "https://myhost", "myhost", 443, "myhost"),
    ("localhost", "localhost", "http", "http://localhost", "localhost", 80, "localhost"),
    ("localhost:5000", "localhost:5000", "http", "http://localhost:5000", "localhost", 5000, "localhost:5000"),
    ("http://localhost/v2/", "localhost", "http", "http://localhost", "localhost", 80, "localhost"),
    ("https://localhost", "localhost", "https", "https://localhost", "localhost", 443, "https://localhost"),
    ("[::1]:5000", "[::1]:5000", "http", "http://[::1]:5000", "::1", 5000, "[::1]:5000"),
    ("[2001:db8::1]", "[2001:db8::1]", "https", "https://[2001:db8::1]", "2001:db8::1", 443, "[2001:db8::1]"),
]


@pytest.mark.parametrize(("text", "host", "scheme", "base_url", "hostname", "port", "printed"), REGISTRIES)
def test_a_registry_knows_where_it_is_reached(text, host, scheme, base_url, hostname, port, printed):
    registry = Registry.parse(text)
    assert (registry.host, registry.key, registry.scheme) == (host, host, scheme)
    assert registry.base_url == base_url
    assert (registry.hostname, registry.port) == (hostname, port)
    assert str(registry) == printed
    assert Registry.parse(printed) == registry


@pytest.mark.parametrize(
    "text", ["", "/", "a/b", "host:5000/a", "http://", "host//", "a b", "hōst", "ho_st", "[::1", "::1"]
)
def test_what_is_no_registry_is_refused(text):
    with pytest.raises(BadReference):
        Registry.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.255.1.2:5000", True),
        ("[::1]", True),
        ("[0:0:0:0:0:0:0:1]:5000", True),
        ("127.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("127.0.0.256", False),
        ("127.1", False),
        ("localhost.evil.com", False),
        ("notlocalhost", False),
        ("128.0.0.1", False),
        ("[::2]", False),
        ("0.0.0.0:80", False),
    ],
)
def test_only_loopback_hosts_are_plain_http_by_default(host, loopback):
    registry = Registry.parse(host)
    assert registry.is_loopback is loopback
    assert registry.scheme == ("http" if loopback else "https")


def test_objects_made_by_hand_are_held_to_the_same_rules():
    assert Registry("Index.Docker.IO", "https") == Registry.parse("docker.io")
    assert Repository(Registry.parse("docker.io"), "nginx").path == "library/nginx"
    with pytest.raises(BadReference):
        Registry("host/../x", "https")
    with pytest.raises(BadReference):
        Registry("host", "ftp")  # type: ignore[arg-type]
    with pytest.raises(BadReference):
        Repository(Registry.parse("ghcr.io"), "../x")
    with pytest.raises(BadReference):
        Reference(Repository.parse("ghcr.io/a"), "a/b")


def test_a_host_that_reads_as_a_path_is_printed_with_its_scheme():
    assert str(Repository(Registry.parse("myhost"), "a/b")) == "https://myhost/a/b"
    assert str(Repository(Registry.parse("myhost:5000"), "a/b")) == "myhost:5000/a/b"


def test_a_repository_takes_neither_tag_nor_digest():
    with pytest.raises(BadReference, match="without tag and digest it is ghcr\\.io/a"):
        Repository.parse("ghcr.io/a:tag")
    with pytest.raises(BadReference, match="repository of it is localhost:5000/NAME"):
        Repository.parse("localhost:5000")
    with pytest.raises(BadReference, match="without tag and digest it is ghcr\\.io/a"):
        Repository.parse(f"ghcr.io/a@{SHA256}")


def test_what_skopeo_writes_in_front_is_named():
    with pytest.raises(BadReference, match=r"write ghcr\.io/a:v1$"):
        Reference.parse("docker://ghcr.io/a:v1")


def test_the_digest_decides_what_a_reference_identifies():
    digest = Digest.parse(SHA256)
    reference = Reference.parse(f"ghcr.io/a:tag@{SHA256}")
    assert reference.identifier == SHA256
    assert reference.with_tag("other").identifier == "other"
    assert reference.with_tag("t").with_digest(digest) == Reference.parse(f"ghcr.io/a@{SHA256}")
    with pytest.raises(BadReference, match=r"ghcr\.io/a has neither tag nor digest; write ghcr\.io/a:TAG"):
        _ = Reference.parse("ghcr.io/a", default_tag=None).identifier


def test_check_functions_return_what_they_were_given():
    assert check_path("library/nginx") == "library/nginx"
    assert check_tag("V1.0_x-y") == "V1.0_x-y"


label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.lists(label, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]").filter(lambda host: "." not in host),
    st.sampled_from(["localhost", "docker.io", "index.docker.io"]),
)
ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
registries = st.builds(
    lambda host, port, scheme: Registry(host + port, scheme), hosts, ports, st.sampled_from(["http", "https"])
)
paths = st.lists(
    st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}", fullmatch=True), min_size=1, max_size=4
).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.one_of(
    st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda digits: Digest("sha256", digits)),
    st.text("0123456789abcdef", min_size=128, max_size=128).map(lambda digits: Digest("sha512", digits)),
)
references = st.builds(Reference, st.builds(Repository, registries, paths), st.none() | tags, st.none() | digests)


@given(references)
def test_whatever_is_printed_parses_to_the_same(reference):
    assert Reference.parse(str(reference), default_tag=None) == reference
    assert Repository.parse(str(reference.repository)) == reference.repository
    assert Registry.parse(str(reference.registry)) == reference.registry


nasty = st.one_of(
    st.text(),
    st.text("aA0.:/@-_[]%\n\x1b ", max_size=40),
    st.lists(
        st.sampled_from(["a", "B", ".", ":", "/", "@", "[", "]", "::1", "http://", "localhost", SHA256, "5000"])
    ).map("".join),
)


@given(nasty)
def test_arbitrary_text_parses_canonically_or_is_a_sonar_error(text):
    for parse in (Reference.parse, Repository.parse, Registry.parse, Digest.parse):
        result = outcome(parse, text)
        assert isinstance(result, BadReference) or parse(str(result)) == result
