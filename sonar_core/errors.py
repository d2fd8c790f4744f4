"""The errors that sonar raises.

    SonarError                    anything that sonar raises on purpose
    ├── UsageError                a bad option, argument or setting; nothing was sent              exit 2
    │   ├── BadReference          a name, tag, digest or location that is malformed                exit 2
    │   └── SettingsError         a config file or a variable that can't be used                   exit 2
    ├── TransportError            no usable response                                               exit 1
    │   ├── ConnectionFailed      refused, reset, unresolvable, TLS
    │   ├── TimedOut              a time limit ran out
    │   └── ProtocolError         an answer that breaks HTTP, or a rule of the distribution spec
    ├── ResponseError             an error answer: status, the registry's errors, redacted URL     exit 1
    │   ├── Unauthorized          401                                                              exit 4
    │   ├── Forbidden             403                                                              exit 4
    │   ├── NotFound              404 (also a Missing)                                             exit 3
    │   ├── RateLimited           429
    │   └── Unsupported           405, or the error code UNSUPPORTED
    ├── Missing                   what was asked for is not there, in whatever store               exit 3
    ├── ContentError              a manifest, index, layer or layout that is damaged               exit 1
    ├── IntegrityError            a digest or a size that does not match                           exit 5
    ├── AuthError                 credentials or a token could not be had                          exit 4
    └── PluginError               a plugin failed; it and its distribution are named               exit 1

`str(error)` is one line: what failed, where, and where there is one, what to do next. No error holds a secret.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple


class SonarError(Exception):
    """Root of all errors. `hint` says what to do next; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(SonarError):
    """A bad option, argument or setting. Nothing was sent."""

    exit_code = 2


class BadReference(UsageError):
    """A registry, repository, tag, digest or location that is malformed. Nothing was sent."""


class SettingsError(UsageError):
    """A config file, an environment variable or a setting that can't be used."""


class TransportError(SonarError):
    """There was no usable response. `attempts` is how often the request was tried."""

    def __init__(self, message: str, *, hint: str | None = None, attempts: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.attempts = attempts


class ConnectionFailed(TransportError):
    """No connection, or it broke: refused, reset, unresolvable name, TLS, a forbidden address."""


class TimedOut(TransportError):
    """A time limit ran out: connecting, waiting for the headers, or a body that stalled."""


class ProtocolError(TransportError):
    """An answer that breaks HTTP or the distribution spec, an HTML page where JSON belongs, for instance."""


class RegistryMessage(NamedTuple):
    """One entry of the `errors` of an error answer (OCI distribution-spec, "Error Codes")."""

    code: str
    message: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.message) if part)


class ResponseError(SonarError):
    """The registry answered with an error status. `url` is redacted: no user info, no query values."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        url: str,
        errors: tuple[RegistryMessage, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.url = url
        self.errors = errors

    @property
    def codes(self) -> frozenset[str]:
        """The error codes of the answer, as `MANIFEST_UNKNOWN`."""
        return frozenset(error.code for error in self.errors)


class Unauthorized(ResponseError):
    """401: no credentials, or credentials that the registry refused."""

    exit_code = 4


class Forbidden(ResponseError):
    """403: the credentials do not allow this."""

    exit_code = 4


class Missing(SonarError):
    """What was asked for is not there: a 404, or a name that a layout or an archive lacks."""

    exit_code = 3


class NotFound(ResponseError, Missing):
    """404: no such repository, manifest, tag, blob or upload."""

    exit_code = 3


class RateLimited(ResponseError):
    """429: too many requests. `retry_after` is what the registry asked for, in seconds, if it did."""

    retry_after: float | None = None


class Unsupported(ResponseError):
    """405 or the error code UNSUPPORTED: this registry does not offer the operation."""


class ContentError(SonarError):
    """A manifest, index, config, layer, layout or archive that is damaged or not allowed."""


class IntegrityError(SonarError):
    """Bytes that do not have the digest or the size that was asked for."""

    exit_code = 5


class AuthError(SonarError):
    """Credentials or a token could not be had: a helper failed, a token server refused."""

    exit_code = 4


class PluginError(SonarError):
    """A plugin failed. `plugin` is its entry-point name, `distribution` the package that brought it."""

    def __init__(self, message: str, *, plugin: str, distribution: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin
        self.distribution = distribution
