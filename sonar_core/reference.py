"""Names: a registry, a repository in it, a reference to something in that. No I/O.

The grammar is that of distribution/reference, the one docker uses:

    reference   [scheme "://"] [domain "/"] path [":" tag] ["@" digest]
    domain      host [":" port]: a DNS name, an IPv4 address, an IPv6 address in brackets
    path        components of a-z and 0-9 with separators "." "_" "__" "-"… in them, joined by "/"; at most 255
    tag         A-Z a-z 0-9 "_" "." "-", not beginning with "." or "-"; at most 128

The first component is a domain if it has a "." or ":" or an upper-case letter, if it is `localhost`, and after a
scheme; but never alone: `localhost:5000` is a repository and a tag. `nginx` is `docker.io/library/nginx:latest`.
Hosts are kept in lower case, for case has no meaning in them (RFC 4343).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sonar_core.content import Digest
from sonar_core.errors import BadReference
from sonar_core.quoting import quoted

Scheme = Literal["http", "https"]

DOCKER_HUB = "docker.io"
_DOCKER_HUB_API = "registry-1.docker.io"
_DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", _DOCKER_HUB_API})
_DEFAULT_PORTS = {"http": 80, "https": 443}

# Texts, but for the first: `re` compiles each when it is first used, and most runs use few of them.
# The lengths are RFC 1035's; Python's resolver raises no OSError for a longer label but a UnicodeError.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[([0-9a-fA-F:]+)\])(?::([0-9]+))?")
_LONGEST_HOST = 253
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]*)://"
_IMAGE_ID = r"[0-9a-f]{64}"
_LONGEST_PATH = 255

_EXAMPLE = "a reference looks like nginx:1.27, ghcr.io/owner/name:v1 or localhost:5000/name@sha256:…"
_REGISTRY_EXAMPLE = "a registry looks like ghcr.io, localhost:5000 or http://[::1]:5000"


def check_path(text: str) -> str:
    """`text`, if it is the path of a repository, as `library/nginx`. Raises BadReference."""
    example = "a repository looks like library/nginx: a-z, 0-9, and single . _ - between them"
    if not text:
        raise BadReference("the repository is missing", hint=example)
    if len(text) > _LONGEST_PATH:
        raise BadReference(f"the repository {quoted(text, 40)} is longer than {_LONGEST_PATH} characters")
    if not re.fullmatch(_PATH, text):
        if re.fullmatch(_PATH, text.lower()):
            raise BadReference(f"the repository {quoted(text)} has upper-case letters", hint=f"write {text.lower()}")
        raise BadReference(f"{quoted(text)} is not the name of a repository", hint=example)
    return text


def check_tag(text: str) -> str:
    """`text`, if it is a tag, as `1.27-alpine`. Raises BadReference."""
    if not re.fullmatch(_TAG, text):
        raise BadReference(
            f"{quoted(text)} is not a tag",
            hint="a tag looks like 1.27-alpine: at most 128 of A-Z, a-z, 0-9, _ . - and no . or - in front",
        )
    return text


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry: `host`, with its port where one is given (`localhost:5000`), and the scheme it is spoken to in.

    The host is lower case, and Docker Hub is `docker.io` whatever it was called. Raises BadReference.
    """

    host: str
    scheme: Scheme

    def __post_init__(self) -> None:
        if self.scheme not in _DEFAULT_PORTS:
            raise BadReference(f"the scheme {quoted(self.scheme)} is neither http nor https", hint=_REGISTRY_EXAMPLE)
        host = _check_host(self.host)
        object.__setattr__(self, "host", DOCKER_HUB if host in _DOCKER_HUB_NAMES else host)

    @classmethod
    def parse(cls, text: str) -> Registry:
        """`host[:port]`, optionally with a scheme before and `/` or `/v2/` behind it. Raises BadReference."""
        scheme, rest = _split_scheme(text)
        if "@" in rest:
            raise _user_info()
        return _registry(rest.removesuffix("/").removesuffix("/v2"), scheme)

    @property
    def key(self) -> str:
        """What settings and credentials are kept under: the host with its port, `docker.io` for Docker Hub."""
        return self.host

    @property
    def api_host(self) -> str:
        """The host, with its port, that requests go to; another one only for Docker Hub."""
        return _DOCKER_HUB_API if self.host == DOCKER_HUB else self.host

    @property
    def base_url(self) -> str:
        """Where the API is: `https://registry-1.docker.io`, without a slash at its end."""
        return f"{self.scheme}://{self.api_host}"

    @property
    def hostname(self) -> str:
        """The name or address that requests go to, without port and brackets: `localhost`, `::1`."""
        return _host_and_port(self.api_host)[0]

    @property
    def port(self) -> int:
        """The port that requests go to: the scheme's own where none is written."""
        return _host_and_port(self.api_host)[1] or _DEFAULT_PORTS[self.scheme]

    @property
    def is_loopback(self) -> bool:
        """Whether the name says this machine: `localhost`, `*.localhost` (RFC 6761), 127.0.0.0/8, `[::1]`."""
        return _is_loopback(self.hostname)

    def to_json(self) -> str:
        """As a text."""
        return str(self)

    def __str__(self) -> str:
        return self.host if self.scheme == _default_scheme(self.host) else f"{self.scheme}://{self.host}"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository in a registry: `path` as in `/v2/PATH/tags/list`, so `library/nginx` for Docker Hub's nginx.

    Raises BadReference.
    """

    registry: Registry
    path: str

    def __post_init__(self) -> None:
        path = check_path(self.path)
        if self.registry.host == DOCKER_HUB and "/" not in path:
            object.__setattr__(self, "path", check_path(f"library/{path}"))

    @classmethod
    def parse(cls, text: str) -> Repository:
        """`[host[:port]/]path`, optionally with a scheme; no tag and no digest. Raises BadReference."""
        reference = Reference.parse(text, default_tag=None)
        if reference.tag is not None or reference.digest is not None:
            hint = f"without tag and digest it is {reference.repository}"
            if "/" not in text and reference.tag is not None and reference.tag.isdigit():
                hint = (
                    f"if {text} is a registry, a repository of it is {text}/NAME, and `sonar repo ls {text}` lists them"
                )
            raise BadReference(f"{quoted(text)} is more than a repository", hint=hint)
        return reference.repository

    def to_json(self) -> str:
        """As a text."""
        return str(self)

    def __str__(self) -> str:
        """Parsed again, this gives the same: a host that would read as a part of the path gets its scheme."""
        registry = str(self.registry)
        if "://" not in registry and not _is_domain(registry):
            registry = f"{self.registry.scheme}://{registry}"
        return f"{registry}/{self.path}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name for something in a repository: a tag, a digest, both (the digest decides), or neither yet."""

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if self.tag is not None:
            check_tag(self.tag)

    @classmethod
    def parse(cls, text: str, default_tag: str | None = "latest") -> Reference:
        """`[scheme://][host[:port]/]path[:tag][@digest]`; without tag and digest, `default_tag` is the tag.

        Raises BadReference.
        """
        if not text:
            raise BadReference("the reference is empty", hint=_EXAMPLE)
        if re.fullmatch(_IMAGE_ID, text):
            raise BadReference(f"{text} is a digest and no name", hint=f"write NAME@sha256:{text[:6]}…")
        name, at, digest_text = text.rpartition("@")
        if not at:
            name = text
        elif "@" in name or "/" in digest_text or ":" not in digest_text:
            raise _user_info()
        digest = Digest.parse(digest_text) if at else None
        scheme, name = _split_scheme(name)
        # A colon after the last slash is the tag's; one before it is the port's.
        slash = name.rfind("/")
        colon = name.find(":", slash + 1)
        tag = None
        if colon >= 0 and not (scheme and slash < 0):  # http://localhost:5000 has a port
            name, tag = name[:colon], check_tag(name[colon + 1 :])
        elif digest is None:
            tag = default_tag
        return cls(_repository(name, scheme), tag, digest)

    @property
    def registry(self) -> Registry:
        """The registry that the repository is in."""
        return self.repository.registry

    @property
    def identifier(self) -> str:
        """What goes after `/manifests/`: the digest if there is one, else the tag. Raises BadReference with neither."""
        if self.digest is not None:
            return str(self.digest)
        if self.tag is None:
            raise BadReference(f"{self} has neither tag nor digest", hint=f"write {self}:TAG")
        return self.tag

    def with_tag(self, tag: str) -> Reference:
        """This tag in the same repository, and no digest. Raises BadReference."""
        return Reference(self.repository, tag)

    def with_digest(self, digest: Digest) -> Reference:
        """This digest in the same repository, and no tag."""
        return Reference(self.repository, None, digest)

    def to_json(self) -> str:
        """As a text."""
        return str(self)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.repository}{tag}{digest}"


def _split_scheme(text: str) -> tuple[Scheme | None, str]:
    match = re.match(_SCHEME, text)
    if not match:
        return None, text
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme == "http":
        return "http", rest
    if scheme == "https":
        return "https", rest
    hint = f"write {rest}" if scheme == "docker" else _EXAMPLE  # skopeo and podman have it in front
    raise BadReference(f"the scheme {quoted(match[1])} is neither http nor https", hint=hint)


def _registry(host: str, scheme: Scheme | None) -> Registry:
    host = _check_host(host)
    return Registry(host, scheme or _default_scheme(host))


def _repository(name: str, scheme: Scheme | None) -> Repository:
    first, slash, rest = name.partition("/")
    if scheme and not slash:
        raise BadReference(f"{quoted(name)} after {scheme}:// is a registry; the repository is missing", hint=_EXAMPLE)
    if slash and (scheme or _is_domain(first)):
        return Repository(_registry(first, scheme), rest)
    return Repository(Registry(DOCKER_HUB, "https"), name)


def _is_domain(component: str) -> bool:
    """Whether the first component of a name is a domain, and not the first of the path."""
    return component == "localhost" or component != component.lower() or "." in component or ":" in component


def _check_host(text: str) -> str:
    match = _HOST.fullmatch(text)
    if not match or len(match[1]) > _LONGEST_HOST:
        raise BadReference(f"{quoted(text)} is not the host of a registry", hint=_REGISTRY_EXAMPLE)
    name, address, port = match.groups()
    if port is not None and (len(port) > 5 or not 1 <= int(port) <= 65535):
        raise BadReference(f"the port {quoted(port, 20)} is not one of 1 to 65535", hint=_REGISTRY_EXAMPLE)
    if address is not None:
        import ipaddress

        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            raise BadReference(f"{quoted(address)} is not an IPv6 address", hint=_REGISTRY_EXAMPLE) from None
    return name.lower() if port is None else f"{name.lower()}:{int(port)}"


def _host_and_port(host: str) -> tuple[str, int | None]:
    """The two parts of a host that was checked; the brackets of an IPv6 address are taken off."""
    if ":" not in host or host.endswith("]"):
        return host.strip("[]"), None
    name, _, port = host.rpartition(":")
    return name.strip("[]"), int(port)


def _default_scheme(host: str) -> Scheme:
    return "http" if _is_loopback(_host_and_port(host)[0]) else "https"


def _is_loopback(hostname: str) -> bool:
    if ":" in hostname:
        import ipaddress

        return ipaddress.IPv6Address(hostname).is_loopback
    octets = hostname.split(".")
    if octets[-1] == "localhost":
        return True
    return octets[0] == "127" and len(octets) == 4 and all(o.isdecimal() and int(o) <= 255 for o in octets)


def _user_info() -> BadReference:
    # The text is not shown: what stands before the "@" may be a password.
    return BadReference(
        "before an '@' stands a name and behind it a digest, never a user and a password",
        hint="write NAME@sha256:…, and log in with `sonar auth login REGISTRY`",
    )
