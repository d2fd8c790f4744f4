"""Client: one registry, spoken to. Base URI, transport and authentication; the operations come from plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ._version import __version__
from .auth import Authenticator
from .errors import ConnectionFailed, ContentError, ProtocolError, ResponseError, UsageError
from .plugins import Plugins
from .redaction import redact_url
from .reference import Registry
from .settings import Settings
from .transport import Body, Origin, Request, Response, Transport, join_url

if TYPE_CHECKING:
    from types import TracebackType

    from .auth_types import Credentials

USER_AGENT = f"sonar/{__version__}"

# Headers that another origin is sent: what a blob store needs. Any other may be a plugin's secret.
_FOR_STRANGERS = frozenset({"accept", "content-type", "content-range", "range", "if-range"})


class Client:
    """A client of one registry. Thread-safe; a context manager; sends nothing before it is asked to.

    `registry`: a Registry, or a text that `Registry.parse` takes. `settings` and `plugins`: those of the config
    file and of the installed packages, unless given. `credentials` are used instead of what the credential sources
    would say. `client.tags`, `client.manifests`, … are the endpoints that
    plugins provide, found by name at first use.
    """

    def __init__(
        self,
        registry: Registry | str,
        *,
        settings: Settings | None = None,
        plugins: Plugins | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        found = Registry.parse(registry) if isinstance(registry, str) else registry
        self.settings = (settings or Settings.load()).for_registry(found)
        self.registry = Registry(found.host, "http") if self.settings.plain_http else found
        self.plugins = Plugins.discover() if plugins is None else plugins
        self._transport = Transport(
            self.settings,
            self.base_url,
            user_agent=USER_AGENT,
            observe=self.plugins.exchanged if self.plugins.observes_exchanges else None,
        )
        self.auth = Authenticator(self.registry, self._transport, self.settings, self.plugins, credentials)
        self._origin = Origin.of(self.base_url)
        self._endpoints: dict[str, Any] = {}

    @property
    def base_url(self) -> str:
        """The base URI: `http://localhost/v2/`."""
        return f"{self.registry.base_url}/v2/"

    def request(
        self,
        method: str,
        path: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        length: int | None = None,
        scopes: Iterable[str] = (),
        expect: Iterable[int] = (200,),
        repeatable: bool | None = None,
        patience: float | None = None,
    ) -> Response:
        """Send a request and return the answer, which the caller closes.

        `path` is relative to the base URI (`library/nginx/tags/list`), or a URL that the registry gave (an upload
        `Location`); credentials are sent to the registry's own origin only. `scopes` say what the request needs
        (`sonar_core.auth.pull`, `push`, …). `body`: bytes, or a function that gives the pieces anew at each call,
        with their `length` in bytes. `repeatable`: whether it may be sent again when the answer was lost (unless
        given: all but POST and PATCH). `patience`: at most so many seconds, for what is not worth a wait.

        Raises the ResponseError that fits where the status is not in `expect`; TransportError, AuthError.
        """
        url = join_url(self.base_url, path)
        scope_set = frozenset(scopes)
        request = Request(
            method,
            url,
            headers=dict(headers or {}),
            body=body,
            length=length,
            repeatable=repeatable,
            patience=patience,
        )
        response = self._authorized(request, scope_set)
        if response.status in frozenset(expect):
            if method not in ("GET", "HEAD"):
                _refuse_page(response)
            return response
        try:
            raise self._error(response, scope_set)
        finally:
            response.close()

    def _authorized(self, request: Request, scopes: frozenset[str]) -> Response:
        """Send with whatever opens the registry; a refusal of its own origin is answered, at most twice."""
        if Origin.of(request.url) != self._origin:
            return self._transport.send(_for_stranger(request))
        for rest in (2, 1, 0):
            private = self.auth.headers(scopes)
            response = self._transport.send(_with_private(request, private))
            if not _refuses(response) or response.origin != self._origin:
                if private:
                    self.auth.accepted(scopes)
                break
            if not rest:
                break
            from .challenge import parse_challenges

            challenges = parse_challenges(response.header_values("WWW-Authenticate"))
            try:
                again = self.auth.answer(challenges, scopes, private)
            except BaseException:
                response.close()
                raise
            if not again:
                break
            response.discard()
        return response

    def _error(self, response: Response, scopes: frozenset[str]) -> ResponseError:
        """The error of an answer, with what to do next: about the credentials, or about the tags that there are."""
        hint = None
        if response.status == 404 and response.origin == self._origin:
            path, _, name = urlsplit(response.url).path.removeprefix("/v2/").partition("/manifests/")
            if name and ":" not in name:
                hint = f"sonar tag ls {self.registry}/{path} shows which tags there are"
        if response.status in (401, 403) and response.origin == self._origin:
            who = self.auth.credentials(sorted(scopes))
            login = f"sonar auth login {self.registry}"
            if who is None:
                hint = f"no credentials were found: {login}"
            else:
                hint = f"the credentials came from {who.source}; to replace them: {who.remedy or login}"
            if response.status == 401 and self.auth.challenges:
                hint = f"it asks for {self.auth.challenges[0].scheme.capitalize()}; {hint}"
        from .answers import error_from

        return error_from(response, hint=hint)

    def fetch(
        self,
        path: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        scopes: Iterable[str] = (),
        expect: Iterable[int] = (200,),
        limit: int | None = None,
        what: str = "the answer",
    ) -> tuple[Response, bytes]:
        """GET what fits into memory: the answer, closed, and its body of at most `limit` bytes (`answer_bytes`).

        A body that breaks off is asked for again, as often as any request is tried. `what` names it in errors.
        Raises ProtocolError where it is longer, or a page of HTML; what `request` raises.
        """
        limit, failures, wanted = limit or self.settings.answer_bytes, 0, frozenset(expect)
        while True:
            response = self.request("GET", path, headers=headers, scopes=scopes, expect=wanted)
            try:
                body = response.read(limit, what)
            except ConnectionFailed:
                failures += 1
                if failures == self.settings.attempts:
                    raise
                self.pause(self.settings.backoff * 2 ** (failures - 1))
            else:
                refuse_html(response, body)
                return response, body

    def get_json(
        self,
        path: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        scopes: Iterable[str] = (),
        expect: Iterable[int] = (200,),
    ) -> Any:
        """The JSON document at `path`. Raises ProtocolError where it is none; what `fetch` raises."""
        wanted = {"Accept": "application/json", **(headers or {})}
        return _parsed(*self.fetch(path, headers=wanted, scopes=scopes, expect=expect))

    def paginate(self, path: str, key: str, *, scopes: Iterable[str] = ()) -> Iterator[Any]:
        """The items of the list `key`, page by page, following `Link` (distribution-spec, end-8b).

        A page is asked for when the one before it is used up. Raises ProtocolError for a list that loops, leads to
        another origin or has no such key; `null` is an empty list, and null items are left out.
        """
        from .links import next_link

        url, seen, before = join_url(self.base_url, path), set(), None
        for _ in range(self.settings.pages):
            seen.add(url)
            response, body = self.fetch(url, headers={"Accept": "application/json"}, scopes=scopes)
            document = _parsed(response, body)
            if not isinstance(document, dict) or not isinstance(document.get(key, 0), list | None):
                raise ProtocolError(f"the answer of {redact_url(url)} has no list {key!r}")
            if document[key] and document[key] == before:
                raise ProtocolError(f"the list at {redact_url(url)} loops: it has what the page before had")
            before = document[key]
            yield from (item for item in document[key] or () if item is not None)
            target = next_link(response.header_values("Link"))
            if target is None:
                return
            url = join_url(response.url, target)
            if Origin.of(url) != self._origin:
                raise ProtocolError(f"the next page after {redact_url(response.url)} is at another origin")
            if url in seen:
                raise ProtocolError(f"the list at {redact_url(response.url)} loops: it leads back to a page before")
        raise ProtocolError(f"the list at {redact_url(url)} has more than {self.settings.pages} pages")

    def endpoint(self, name: str) -> Any:
        """The endpoint `name` for this registry. Raises UsageError where no plugin provides it."""
        if name not in self._endpoints:
            found = self.plugins.endpoint(name, self.registry)
            if found is None:
                known = sorted({endpoint.name for endpoint in self.plugins.endpoints()})
                raise UsageError(f"no plugin provides the endpoint {name!r}; there are: {', '.join(known) or 'none'}")
            self._endpoints[name] = self.plugins.load(found, found.factory)(self)
        return self._endpoints[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.endpoint(name)
        except UsageError as error:
            raise AttributeError(str(error)) from error

    def pause(self, seconds: float) -> None:
        """Wait. Raises ConnectionFailed as soon as the client is closed or interrupted."""
        self._transport.pause(seconds)

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Refuse requests for so many seconds, but for those with `patience`: they take back what was begun.

        `wake`: whoever waits for an answer gets an error now; else, an answer that is on its way is taken.
        Afterwards the client is as it was.
        """
        self._transport.interrupt(seconds, wake=wake)

    def close(self) -> None:
        """Close the connections. Threads that wait for an answer get an error."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"


def refuse_html(response: Response, body: bytes) -> None:
    """Raises ProtocolError where an HTML page came with a success status: a proxy's log-in page, mostly."""
    if response.content_type in ("text/html", "application/xhtml+xml") or body[:64].lstrip()[:1] == b"<":
        raise ProtocolError(
            f"{redact_url(response.url)} answered with a page of HTML where data belongs",
            hint="a proxy or a log-in page stands between; is this the registry's address?",
        )


def _refuse_page(response: Response) -> None:
    """Raises ProtocolError where a page of HTML answers a write: nothing was stored or removed then.

    The label alone says nothing: frameworks (Quay's, for one) put it on empty answers, too.
    """
    if response.content_type == "text/html" and response.length != 0:
        beginning = response.read_block(64)
        if beginning.lstrip().startswith(b"<"):
            response.close()
            refuse_html(response, beginning)


def _parsed(response: Response, body: bytes) -> Any:
    """JSON. Raises ProtocolError for anything else."""
    from . import strict_json

    try:
        return strict_json.loads(body, what=f"the answer of {redact_url(response.url)}")
    except ContentError as error:
        raise ProtocolError(str(error)) from error


def _refuses(response: Response) -> bool:
    """Whether other headers might be let in: 401, and the 403 that asks for more scope (RFC 6750, section 3.1)."""
    if response.status != 403:
        return response.status == 401
    return any("insufficient_scope" in value for value in response.header_values("WWW-Authenticate"))


def _for_stranger(request: Request) -> Request:
    """`request` for an origin that is not the registry's, with the headers that a blob store needs and no others."""
    kept = {name: value for name, value in request.headers.items() if name.lower() in _FOR_STRANGERS}
    return replace(request, headers=kept)


def _with_private(request: Request, private: Mapping[str, str]) -> Request:
    """`request` with what opens the registry. What a caller gave by that name goes first."""
    if not private:
        return request
    taken = {name.lower() for name in request.headers}
    return replace(request, private={n: v for n, v in private.items() if n.lower() not in taken})
