"""Completion of repositories and tags by asking the registry: quick, and silent where that fails.

bash takes a colon for the end of a word (it is in `COMP_WORDBREAKS`): `localhost:5000/app` comes as three words, and
what we answer replaces what is behind the last colon.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from itertools import islice

from sonar_core.plugins import Plugins
from sonar_core.settings import Settings

_SECONDS = 2.0
_MOST = 200


@contextmanager
def bash_words() -> Iterator[None]:
    """Within it, the words that bash split at colons are one again, and what is answered is what bash replaces."""
    if os.environ.get("_SONAR_COMPLETE") != "complete_bash":
        yield
        return
    words = os.environ.get("COMP_WORDS", "").split("\n")
    joined, split = _joined(words[: int(os.environ.get("COMP_CWORD", "0")) + 1])
    os.environ.update(COMP_WORDS="\n".join(joined), COMP_CWORD=str(len(joined) - 1))
    kept = joined[-1].rfind(":") + 1 if split else 0
    answer = StringIO()
    try:
        with redirect_stdout(answer):
            yield
    finally:
        for line in answer.getvalue().splitlines():
            print(line[kept:])


def _joined(words: list[str]) -> tuple[list[str], bool]:
    """`words` with those at a colon put together, and whether the last one was."""
    joined: list[str] = []
    glued = False
    for word in words:
        glued = bool(joined and word) and (not word.strip(":") or joined[-1].endswith(":"))
        if glued:
            joined[-1] += word
        else:
            joined.append(word)
    return joined, glued


def complete_repository(incomplete: str) -> list[str]:
    """Repositories that begin with what was typed, where that names a registry."""
    host, slash, prefix = incomplete.partition("/")
    if not slash:
        return []
    try:
        from sonar_core.client import Client

        with Client(host, settings=_settings(), plugins=_plugins()) as client:
            found = (path for path in client.catalog.list() if path.startswith(prefix))
            return [f"{host}/{path}" for path in islice(found, _MOST)]
    except Exception:
        return []


def complete_reference(incomplete: str) -> list[str]:
    """Tags behind a colon, repositories before one."""
    name, colon, prefix = incomplete.rpartition(":")
    if not colon or "/" not in name:
        return complete_repository(incomplete)
    try:
        from sonar_core.client import Client
        from sonar_core.reference import Repository

        repository = Repository.parse(name)
        with Client(repository.registry, settings=_settings(), plugins=_plugins()) as client:
            found = (tag for tag in client.tags.list(repository.path) if tag.startswith(prefix))
            return [f"{name}:{tag}" for tag in islice(found, _MOST)]
    except Exception:
        return []


def _plugins() -> Plugins:
    return Plugins.discover(report=lambda problem: None)


def _settings() -> Settings:
    return Settings.load().with_options(timeout=_SECONDS, attempts=1)
