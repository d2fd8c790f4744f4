"""Credentials from `.netrc` (`NETRC`, else `~/.netrc`): the entry of the registry's host, never the `default` one.

`default` would send its password to whichever registry asks for one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sonar_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from sonar_core.auth_types import Credentials
    from sonar_core.reference import Registry


@hookimpl(trylast=True)
def sonar_credentials(registry: Registry) -> Credentials | None:
    """Raises AuthError for a file that can't be read."""
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not path.is_file():
        return None

    import netrc

    from sonar_core.auth_types import Credentials
    from sonar_core.errors import AuthError

    from .auth_file import shown

    try:
        hosts = netrc.netrc(str(path)).hosts
    except netrc.NetrcParseError as error:
        # Its message quotes the word that it stumbled over, which may be a password.
        raise AuthError(f"{shown(path)} is malformed at line {error.lineno}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AuthError(f"cannot read {shown(path)}: {getattr(error, 'strerror', 'it is not UTF-8')}") from None
    for name in dict.fromkeys((registry.host, registry.api_host, registry.hostname)):
        login, _, password = hosts.get(name, ("", "", ""))
        if login and password:
            return Credentials(login, password, source=shown(path))
    return None
