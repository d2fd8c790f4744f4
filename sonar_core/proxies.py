"""Which proxy the environment names for a host."""

from __future__ import annotations

import os

from .addresses import Reach, is_literal, reach


def proxy_for(scheme: str, host: str) -> str | None:
    """The proxy that the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) names for a host:port.

    Loopback is never asked for through a proxy, which would look for it on its own machine (as Go's clients do).
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ) or _is_loopback(host):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0].strip("[]")
    return name == "localhost" or name.endswith(".localhost") or (is_literal(name) and reach(name) is Reach.LOOPBACK)
