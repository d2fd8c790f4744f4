"""Grants: what opens a registry, had from the auth schemes and kept for as long as they are good.

The scheme says what to ask for and never sends anything itself; here it is sent, under the rules of the transport
(realm, redirects, caps). A grant is kept by credentials and scopes, shared by all threads, and renewed before it
runs out; threads that need the same one wait for the first of them to get it.

Scopes are those of the token flow (distribution, "Token Scope Documentation"): `repository:NAME:pull,push`,
`registry:catalog:*`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from .errors import AuthError, SonarError
from .redaction import redact_url
from .reference import Repository
from .transport import Request, split_url

if TYPE_CHECKING:
    # The types of authentication are imported where they are needed: most runs never authenticate.
    from .auth_types import AuthContext, AuthFlow, Credentials, Grant, TokenAnswer, TokenRequest
    from .challenge import Challenge
    from .hookspecs import AuthScheme
    from .plugins import Plugins
    from .reference import Registry
    from .settings import Settings
    from .transport import Transport

CATALOG = "registry:catalog:*"

_ROUNDS = 6  # requests that one scheme may ask for to get one grant
_MARGIN = 10.0  # seconds before its end at which a grant is renewed; a fifth of its life if that is less


def pull(path: str) -> str:
    """The scope to read the repository `path`."""
    return f"repository:{path}:pull"


def push(path: str) -> str:
    """The scope to read and write the repository `path`."""
    return f"repository:{path}:pull,push"


def delete(path: str) -> str:
    """The scope to delete in the repository `path`."""
    return f"repository:{path}:pull,delete"


class _Kept(NamedTuple):
    grant: Grant
    renew_at: float | None

    def covers(self, scopes: frozenset[str], now: float) -> bool:
        if self.renew_at is not None and now >= self.renew_at:
            return False
        return self.grant.scopes is None or _expand(scopes) <= _expand(self.grant.scopes)


class Authenticator:
    """The grants of one client. Thread-safe."""

    def __init__(
        self,
        registry: Registry,
        transport: Transport,
        settings: Settings,
        plugins: Plugins,
        credentials: Credentials | None = None,
    ) -> None:
        self._registry = registry
        self._transport = transport
        self._settings = settings
        self._plugins = plugins
        self._given = credentials
        self._lock = threading.RLock()
        self._flights: dict[tuple[Credentials | None, frozenset[str]], threading.Lock] = {}
        self._challenges: tuple[Challenge, ...] = ()
        self._asked_base = False
        self._credentials: dict[str, Credentials | None] = {}
        self._kept: dict[Credentials | None, list[_Kept]] = {}
        self._wider: dict[frozenset[str], frozenset[str]] = {}
        self._refused: set[frozenset[str]] = set()
        self._proved: set[Credentials] = set()

    @property
    def challenges(self) -> tuple[Challenge, ...]:
        """What the registry asked for last; empty where it never asked."""
        return self._challenges

    def credentials(self, scopes: Iterable[str] = ()) -> Credentials | None:
        """Who the user is for the repository that `scopes` name first. Raises PluginError, AuthError."""
        if self._given is not None:
            return self._given
        path = _repository_path(scopes)
        with self._lock:
            if path not in self._credentials:
                repository = Repository(self._registry, path) if path else None
                self._credentials[path] = self._plugins.credentials(self._registry, repository, self._settings)
            return self._credentials[path]

    def headers(self, scopes: frozenset[str]) -> Mapping[str, str]:
        """The headers to send with a request that needs `scopes`: empty until the registry has asked."""
        if not self._challenges:
            return {}
        return self._grant(scopes).headers

    def grant(self, scopes: frozenset[str]) -> Grant:
        """What opens the registry for `scopes`; where it has not asked yet, `/v2/` is asked what it wants.

        Raises AuthError where it wants nothing, and where a grant can't be had.
        """
        if not self._challenges and not self._ask_base():
            raise AuthError(f"{self._registry} asks for no authentication")
        return self._grant(scopes)

    def answer(self, challenges: tuple[Challenge, ...], scopes: frozenset[str], sent: Mapping[str, str]) -> bool:
        """Take in a 401 that came although `sent` was sent. True where a new try with `headers` may help."""
        known = self._challenges
        if challenges:
            self._challenges = challenges
        elif not known and not self._ask_base():
            return False
        if not sent:
            # Its scope is not believed yet: GHCR's for `/v2/` names a repository that does not exist.
            return self._possible(scopes)
        changed = _kinds(known) != _kinds(self._challenges)
        widened = self._widen(challenges, scopes)
        return self._drop(scopes, sent, anyway=changed or widened) or self._renew(scopes)

    def accepted(self, scopes: frozenset[str]) -> None:
        """Take in that the headers for `scopes` were good: a later refusal is worth another token."""
        self._refused.discard(scopes)
        who = self.credentials(self._wider.get(scopes, scopes))
        if who is not None:
            self._proved.add(who)

    def _renew(self, scopes: frozenset[str]) -> bool:
        """Ask the sources again who the user is. True where they say something new.

        Only for credentials that were good before: the passwords that clouds and vaults give run out.
        """
        scopes = self._wider.get(scopes, scopes)
        path = _repository_path(scopes)
        with self._lock:
            known = self._credentials.get(path)
            if known is None or known not in self._proved:
                return False
            self._proved.discard(known)
            del self._credentials[path]
            return self.credentials(scopes) != known

    def _possible(self, scopes: frozenset[str]) -> bool:
        """Whether there is anything to answer with."""
        return bool(self._grant(scopes).headers)

    def _ask_base(self) -> bool:
        """GCR answers 401 without a challenge in places: `/v2/` says what it wants."""
        with self._lock:
            if not self._asked_base:
                self._asked_base = True
                with self._transport.send(Request("GET", f"{self._registry.base_url}/v2/")) as response:
                    if response.status == 401:
                        from .challenge import parse_challenges

                        self._challenges = parse_challenges(response.header_values("WWW-Authenticate"))
            return bool(self._challenges)

    def _widen(self, challenges: tuple[Challenge, ...], scopes: frozenset[str]) -> bool:
        """`insufficient_scope` is answered once with the scope that the registry names (RFC 6750, 3.1)."""
        for challenge in challenges:
            wanted = frozenset(challenge.parameters.get("scope", "").split())
            known = self._wider.get(scopes, scopes)
            if wanted and not _expand(wanted) <= _expand(known) and scopes not in self._wider:
                self._wider[scopes] = known | wanted
                return True
        return False

    def _drop(self, scopes: frozenset[str], sent: Mapping[str, str], *, anyway: bool) -> bool:
        """Forget the grant that was refused. True where another one may do better.

        A fixed proof, like a password, does not get better by being sent again, and two tokens that were refused
        one after the other are enough.
        """
        with self._lock:
            for kept in self._kept.values():
                for one in kept:
                    if one.grant.headers == sent:
                        if not anyway and (one.renew_at is None or scopes in self._refused):
                            return False
                        self._refused.add(scopes)
                        kept.remove(one)
                        return True
        return True  # another thread has replaced it already

    def _grant(self, scopes: frozenset[str]) -> Grant:
        scopes = self._wider.get(scopes, scopes)
        credentials = self.credentials(scopes)
        found = self._find(credentials, scopes)
        if found is not None:
            return found
        with self._lock:
            flight = self._flights.setdefault((credentials, scopes), threading.Lock())
        with flight:
            found = self._find(credentials, scopes)
            if found is not None:
                return found
            try:
                return self._obtain(credentials, scopes)
            except AuthError:
                if not self._renew(scopes):
                    raise
        return self._grant(scopes)

    def _find(self, credentials: Credentials | None, scopes: frozenset[str]) -> Grant | None:
        now = time.monotonic()
        with self._lock:
            for kept in reversed(self._kept.get(credentials, [])):  # the newest is the likeliest
                if kept.covers(scopes, now):
                    return kept.grant
        return None

    def _obtain(self, credentials: Credentials | None, scopes: frozenset[str]) -> Grant:
        challenge, scheme = self._choose()
        from .auth_types import AuthContext

        start = self._plugins.load(scheme, scheme.flow)
        started = time.monotonic()
        grant = self._run(scheme, start, AuthContext(challenge, self._registry, scopes, credentials))
        renew_at = None
        if grant.expires_in is not None:
            renew_at = started + grant.expires_in - min(_MARGIN, grant.expires_in / 5)
        with self._lock:
            kept = self._kept.setdefault(credentials, [])
            now = time.monotonic()
            kept[:] = [one for one in kept if one.renew_at is None or one.renew_at > now]
            kept.append(_Kept(grant, renew_at))
        return grant

    def _choose(self) -> tuple[Challenge, AuthScheme]:
        """The challenge to answer, and how: the scheme with the highest priority, then the first asked for."""
        schemes = self._plugins.auth_schemes()
        possible = [(c, schemes[c.scheme]) for c in self._challenges if c.scheme in schemes]
        if not possible:
            asked = ", ".join(dict.fromkeys(c.scheme for c in self._challenges)) or "nothing that is understood"
            raise AuthError(
                f"{self._registry} asks for the authentication scheme {asked}, which no plugin answers",
                hint="`sonar plugin ls` shows the schemes that are installed",
            )
        return max(possible, key=lambda pair: pair[1].priority)

    def _run(self, scheme: AuthScheme, start: Callable[[AuthContext], AuthFlow], context: AuthContext) -> Grant:
        """Drive the flow of a scheme: send what it yields, give it what came."""
        flow = None
        try:
            flow = start(context)
            wanted = next(flow)
            for _ in range(_ROUNDS):
                wanted = flow.send(self._send(wanted))
        except StopIteration as stop:
            return self._checked(scheme, stop.value)
        except SonarError:
            raise
        except Exception as error:
            # Its words may hold a secret: the kind of error is enough.
            raise self._plugins.failure(scheme, f"failed: {type(error).__name__}") from error
        finally:
            if isinstance(flow, Generator):
                flow.close()
        raise AuthError(f"the auth scheme {scheme.name} wants more than {_ROUNDS} requests")

    def _checked(self, scheme: AuthScheme, grant: object) -> Grant:
        """`grant`, if it is one that can be used. Raises PluginError."""
        from .auth_types import Grant

        if not isinstance(grant, Grant):
            raise self._plugins.failure(scheme, f"returned {type(grant).__name__}, not a Grant")
        if grant.expires_in is not None and not grant.expires_in >= 0:
            raise self._plugins.failure(scheme, f"granted something for {grant.expires_in!r} seconds")
        return grant

    def _send(self, wanted: TokenRequest) -> TokenAnswer:
        parts = split_url(wanted.url)
        if parts.scheme == "http" and self._registry.scheme == "https":
            raise AuthError(
                f"{self._registry} names the realm {redact_url(wanted.url)}, which is plain http; not followed"
            )
        headers = dict(wanted.headers)
        body = None
        if wanted.form is not None:
            body = urlencode(wanted.form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        method = "GET" if body is None else "POST"
        request = Request(method, wanted.url, private=headers, body=body, repeatable=True)
        with self._transport.send(request) as response:
            content = response.read(self._settings.token_bytes, "the answer of the token server")
            from .auth_types import TokenAnswer

            return TokenAnswer(
                response.status, {name.lower(): value for name, value in response.headers.items()}, content
            )


def _kinds(challenges: Iterable[Challenge]) -> frozenset[tuple[str, str]]:
    return frozenset((challenge.scheme, challenge.realm) for challenge in challenges)


def _expand(scopes: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Scopes as single (resource, action) pairs, so that `pull,push` covers `pull`."""
    pairs = set()
    for scope in scopes:
        resource, _, actions = scope.rpartition(":")
        pairs |= {(resource, action) for action in actions.split(",")}
    return frozenset(pairs)


def _repository_path(scopes: Iterable[str]) -> str:
    """The repository that is worked on: the one that is written to, else the first."""
    paths = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        path, _, actions = rest.rpartition(":")
        if kind.startswith("repository") and path:
            paths.append((not {"push", "delete"} & set(actions.split(",")), path))
    return min(paths)[1] if paths else ""
