"""`sonar image inspect`: what an image consists of, without fetching its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from sonar_core import strict_json
from sonar_core.cli.platform_option import PlatformOption
from sonar_core.command import Connect
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, Missing
from sonar_core.hashing import verified
from sonar_core.manifest import Manifest
from sonar_core.media_types import OCI_EMPTY
from sonar_core.platforms import Platform, choose
from sonar_core.plugins import Plugins
from sonar_core.redaction import printable
from sonar_core.settings import Settings
from sonar_core.sizes import size_text
from sonar_core.stores import Place, Store, Stores


@dataclass(frozen=True)
class Layer:
    """A layer, and the line of the history that made it. `size` is that of the blob, compressed mostly, in bytes."""

    media_type: str
    digest: Digest
    size: int
    diff_id: str | None = None
    created_by: str | None = None
    comment: str | None = None
    annotations: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Inspection:
    """One image. `digest` and `platforms` are those of the name asked for, the rest of the image that was chosen.

    `config` is the whole config document, None for an artifact whose config is another kind of blob.
    """

    name: str
    media_type: str
    digest: Digest
    size: int
    platforms: tuple[str, ...]
    image: Descriptor | None
    artifact_type: str | None
    created: str | None
    author: str | None
    architecture: str | None
    os: str | None
    variant: str | None
    entrypoint: list[str] | None
    cmd: list[str] | None
    env: list[str] | None
    working_dir: str | None
    user: str | None
    exposed_ports: list[str] | None
    volumes: list[str] | None
    labels: Mapping[str, str] | None
    annotations: Mapping[str, str]
    layers: tuple[Layer, ...]
    layers_size: int
    history: list[Mapping[str, Any]] | None
    config: Mapping[str, Any] | None


def inspect(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    locations: Annotated[
        list[str], typer.Argument(metavar="REF...", help="References, or images in oci:DIR and archives.")
    ],
    platform: PlatformOption = None,
) -> Iterator[Inspection]:
    """Show what images consist of: platforms, config, layers with their history. No layer is fetched.

    Of an index, the image for this machine is shown, or the one for --platform.
    """
    with Stores(connect, plugins) as stores:
        for location in locations:
            yield look(stores.open(location), platform, settings)


def look(place: Place, platform: Platform | None, settings: Settings) -> Inspection:
    """The inspection of one image. Raises Missing for a platform that is not there, ContentError."""
    top = place.store.manifest(place.name)
    image = _image(place.store, top, platform, settings.depth)
    config = _config(place.store, image, settings.manifest_bytes) if image is not None else None
    return _inspection(place, top, image, config)


def _image(store: Store, top: Manifest, platform: Platform | None, depth: int) -> Manifest | None:
    """The image that was meant: the one for the platform; without one, this machine's or else the first."""
    image = top
    for _ in range(depth):
        if not image.is_index:
            return image
        if not image.manifests:
            return None
        try:
            chosen = choose(image.manifests, platform or Platform.local())
        except Missing:
            if platform is not None:
                raise
            chosen = image.manifests[0]
        image = store.manifest(chosen.digest)
    raise ContentError(f"{top.digest} has more than {depth} indexes inside of one another")


def _config(store: Store, image: Manifest, limit: int) -> Mapping[str, Any] | None:
    descriptor = image.config
    if descriptor is None or descriptor.media_type == OCI_EMPTY:
        return None
    if descriptor.size > limit:
        raise ContentError(f"the config {descriptor.digest} has {descriptor.size} bytes, more than the {limit} allowed")
    data = descriptor.data
    if data is None:
        data = b"".join(verified(store.open_blob(descriptor), descriptor.digest, descriptor.size))
    if not descriptor.media_type.endswith("json"):
        return None
    document = strict_json.loads(data, what=f"the config {descriptor.digest}")
    return document if isinstance(document, dict) else None


def _inspection(place: Place, top: Manifest, image: Manifest | None, config: Mapping[str, Any] | None) -> Inspection:
    document = config or {}
    settings = _object(document.get("config"))
    platforms = tuple(str(entry.platform) for entry in top.manifests if entry.platform is not None)
    if not top.is_index and isinstance(document.get("os"), str) and isinstance(document.get("architecture"), str):
        platforms = (str(Platform.from_json({key: document.get(key) for key in ("os", "architecture", "variant")})),)
    history = [_object(line) for line in _list(document.get("history"))]
    layers = _layers(image, document, history) if image is not None else ()
    return Inspection(
        name=place.location,
        media_type=top.media_type,
        digest=top.digest,
        size=len(top.raw),
        platforms=platforms,
        image=image.descriptor() if image is not None and image is not top else None,
        artifact_type=top.artifact_type or (image.artifact_type if image is not None else None),
        created=_text(document.get("created")),
        author=_text(document.get("author")),
        architecture=_text(document.get("architecture")),
        os=_text(document.get("os")),
        variant=_text(document.get("variant")),
        entrypoint=_texts(settings.get("Entrypoint")),
        cmd=_texts(settings.get("Cmd")),
        env=_texts(settings.get("Env")),
        working_dir=_text(settings.get("WorkingDir")),
        user=_text(settings.get("User")),
        exposed_ports=sorted(_object(settings.get("ExposedPorts"))) or None,
        volumes=sorted(_object(settings.get("Volumes"))) or None,
        labels=_object(settings.get("Labels")) or None,
        annotations={**(image.annotations if image is not None else {}), **top.annotations},
        layers=layers,
        layers_size=sum(layer.size for layer in layers),
        history=history or None,
        config=config,
    )


def _layers(image: Manifest, document: Mapping[str, Any], history: list[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """The layers with the lines of the history that made any (image-spec, config.md, "history")."""
    diff_ids = _list(_object(document.get("rootfs")).get("diff_ids"))
    lines = [line for line in history if line.get("empty_layer") is not True]
    fitting = len(lines) == len(image.layers)
    return tuple(
        Layer(
            blob.media_type,
            blob.digest,
            blob.size,
            _text(diff_ids[position]) if position < len(diff_ids) else None,
            _text(lines[position].get("created_by")) if fitting else None,
            _text(lines[position].get("comment")) if fitting else None,
            blob.annotations or None,
        )
        for position, blob in enumerate(image.layers)
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str] | None:
    if isinstance(value, str):  # an Entrypoint of old
        return [value]
    return [str(item) for item in value] if isinstance(value, list) and value else None


def text(found: Inspection) -> str:
    """As a table."""
    rows: list[tuple[str, object]] = [
        ("Name", found.name),
        ("Digest", found.digest),
        ("Media type", found.media_type),
        ("Artifact type", found.artifact_type),
        ("Platforms", ", ".join(found.platforms) or None),
        ("Image", found.image.digest if found.image else None),
        ("Created", found.created),
        ("Author", found.author),
        ("Entrypoint", _words(found.entrypoint)),
        ("Command", _words(found.cmd)),
        ("Working dir", found.working_dir),
        ("User", found.user),
        ("Ports", _words(found.exposed_ports)),
        ("Volumes", _words(found.volumes)),
    ]
    lines = [f"{name + ':':15}{_plain(value)}" for name, value in rows if value is not None]
    lines += _section("Env", [_plain(each) for each in found.env or ()])
    lines += _section("Labels", [f"{_plain(name)}={_plain(value)}" for name, value in (found.labels or {}).items()])
    lines += _section("Annotations", [f"{_plain(n)}={_plain(value)}" for n, value in found.annotations.items()])
    title = f"Layers ({len(found.layers)}, {size_text(found.layers_size)} as stored)"
    rows_of_layers = [
        f"{layer.digest}  {size_text(layer.size):>10}  {_plain(layer.created_by or layer.media_type)}"
        for layer in found.layers
    ]
    lines += _section(title, rows_of_layers)
    return "\n".join(lines)


def _section(title: str, rows: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {row}" for row in rows)] if rows else []


def _words(values: list[str] | None) -> str | None:
    import json

    return json.dumps(values, ensure_ascii=False) if values else None


def _plain(value: object) -> str:
    return printable(" ".join(str(value).split()))
