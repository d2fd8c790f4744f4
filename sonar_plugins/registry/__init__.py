"""Repositories of registries as stores: what a location without a prefix names."""

from __future__ import annotations

from sonar_core.hookspecs import StoreScheme, hookimpl


@hookimpl
def sonar_stores() -> list[StoreScheme]:
    return [StoreScheme("", "sonar_plugins.registry.store:open_repository", "a registry: HOST/NAME[:TAG|@DIGEST]")]
