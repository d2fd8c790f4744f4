"""Which of an index's manifests is the one for a platform.

Rules: OCI image-spec, image-index.md ("the first matching entry"; "Platform Variants"), and containerd's `platforms`
package. Unlike there, amd64 does not fall back to 386, nor arm64 to arm: we do not run the image here, and who asks
for an architecture must not get another one unasked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sonar_core.errors import BadReference, ContentError, Missing
from sonar_core.quoting import escaped, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sonar_core.content import Descriptor

_EXAMPLE = "a platform looks like linux/amd64, linux/arm/v7 or windows(10.0.20348)/amd64"
_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)((?:\+[A-Za-z0-9_.-]+)*)\))?")
_PART = re.compile(r"[A-Za-z0-9_.-]+")

#: What `uname -m` and distributions call an architecture → Go's name for it, and the variant that it implies.
_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "loongarch64": ("loong64", ""),
}
#: Names that stand for an operating system, or an architecture, where they stand alone.
_SYSTEMS = frozenset(("android", "darwin", "freebsd", "illumos", "linux", "netbsd", "openbsd", "solaris", "windows"))
_ARCHITECTURES = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x", "wasm")
)

_SERVER_2022 = 20348  # the build from which on Windows runs containers of earlier builds, down to this one
_MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on (image-spec, image-index.md): `os` and `architecture` as Go names them, the CPU's
    `variant`, and Windows' version and features. Empty is "not said".
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`os/architecture[/variant]`, the os optionally with version and features: `windows(10.0.20348+win32k)`.

        An os or an architecture alone takes the rest from this machine. Returned normalized. Raises BadReference.
        """
        first, *others = text.split("/", 3)
        system = _OS.fullmatch(first)
        if not system or len(others) > 2 or not all(_PART.fullmatch(part) for part in others):
            raise BadReference(f"{quoted(text)} is not a platform", hint=_EXAMPLE)
        name, version, features = system[1], system[2] or "", tuple((system[3] or "").split("+")[1:])
        if others:
            return cls(name, others[0], "".join(others[1:]), version, features).normalized()
        here = cls.local()
        as_system = replace(here, os=name, os_version=version, os_features=features).normalized()
        if as_system.os in _SYSTEMS:
            return as_system
        as_architecture = cls(here.os, first).normalized()
        if as_architecture.architecture in _ARCHITECTURES:
            return as_architecture
        raise BadReference(f"{quoted(text)} is neither an operating system nor an architecture", hint=_EXAMPLE)

    @classmethod
    def from_json(cls, obj: object, *, what: str = "platform") -> Platform:
        """The platform that a JSON object holds, as it stands there. Raises ContentError."""
        if not isinstance(obj, dict):
            raise ContentError(f"{what} is not an object but {quoted(obj)}")
        names = ("os", "architecture", "variant", "os.version")
        texts = {name: _string(obj.get(name), f"{what}.{name}") for name in names}
        features = obj.get("os.features")
        if not isinstance(features, list | None):
            raise ContentError(f"{what}.os.features is not an array but {quoted(features)}")
        listed = tuple(_string(feature, f"{what}.os.features") for feature in features or ())
        return cls(texts["os"], texts["architecture"], texts["variant"], texts["os.version"], listed)

    def to_json(self) -> dict[str, Any]:
        """The JSON object, members in the order of the spec's Go types, empty ones left out."""
        obj: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            obj["os.version"] = self.os_version
        if self.os_features:
            obj["os.features"] = list(self.os_features)
        if self.variant:
            obj["variant"] = self.variant
        return obj

    def normalized(self) -> Platform:
        """The same platform in containerd's spelling: x86_64 and amd64/v1 are amd64, aarch64 and arm64/v8 are arm64,
        arm and armhf are arm/v7.
        """
        system, architecture, variant = self.os.lower(), self.architecture.lower(), self.variant.lower()
        architecture, implied = _ALIASES.get(architecture, (architecture, ""))
        variant = implied or (f"v{variant}" if re.match("[0-9]", variant) else variant)
        match architecture, variant:
            case ("amd64", "v1") | ("arm64", "v8" | "v8.0") | ("386", _):
                variant = ""
            case ("arm64", "v9.0"):
                variant = "v9"
            case ("arm", ""):
                variant = "v7"
        os = "darwin" if system == "macos" else system
        return replace(self, os=os, architecture=architecture, variant=variant)

    @classmethod
    def local(cls) -> Platform:
        """What containers run on here: Windows' on Windows, Linux' elsewhere (a Mac has a Linux machine for them)."""
        import platform
        import sys

        if sys.platform == "win32":
            return cls("windows", platform.machine(), "", platform.version(), ("win32k",)).normalized()
        return cls("linux", platform.machine()).normalized()

    def __str__(self) -> str:
        extras = "".join([self.os_version, *(f"+{feature}" for feature in self.os_features)])
        system = f"{self.os}({extras})" if extras else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)


def choose(descriptors: Iterable[Descriptor], platform: Platform) -> Descriptor:
    """The descriptor for `platform`: the best variant, of those the nearest Windows build, of those the first.

    Attestations (`unknown/unknown`) are never chosen. A single entry that names no platform is taken for the one.
    Raises Missing, which lists the platforms that there are.
    """
    wanted = platform.normalized()
    entries = [entry for entry in descriptors if not _is_attestation(entry)]
    # `"platform": {}` says as little as none.
    named = [(entry.platform.normalized(), entry) for entry in entries if entry.platform and str(entry.platform)]
    for variant in _variants(wanted):
        fitting = [(there, entry) for there, entry in named if _fits(there, replace(wanted, variant=variant))]
        if fitting:
            return max(fitting, key=lambda pair: _nearness(pair[0], wanted))[1]  # max keeps the first of equals
    if not named and len(entries) == 1:
        return entries[0]
    there = list(dict.fromkeys(escaped(str(platform), 60) for platform, _ in named))
    if there:
        hint = f"there are: {', '.join(there[:_MOST_LISTED])}{', …' if len(there) > _MOST_LISTED else ''}"
    else:
        hint = "its entries name no platform: choose one by its digest" if entries else "the index is empty"
    raise Missing(f"there is no image for {escaped(str(platform))}", hint=hint)


def _is_attestation(entry: Descriptor) -> bool:
    """BuildKit's provenance and SBOM, which stand in the index beside the images that they are about."""
    if "vnd.docker.reference.type" in entry.annotations:
        return True
    return entry.platform is not None and "unknown" in (entry.platform.os, entry.platform.architecture)


def _variants(wanted: Platform) -> Iterator[str]:
    """The variants that a CPU can run, best first, in the spelling of `normalized`."""
    yield wanted.variant
    version = re.fullmatch(r"v([0-9])(?:\.([0-9]))?", wanted.variant)
    major, minor = (int(version[1]), int(version[2] or 0)) if version else (0, 0)
    match wanted.architecture:
        case "amd64":
            yield from (f"v{lower}" for lower in range(major - 1, 1, -1))
            yield ""
        case "arm":
            yield from (f"v{lower}" for lower in range(major - 1, 4, -1))
        case "arm64":
            if major == 9:
                yield from (f"v9.{lower}" if lower else "v9" for lower in range(minor - 1, -1, -1))
                minor += 6  # v9.x has all of v8.(x+5)
            if major in (8, 9):
                yield from (f"v8.{lower}" for lower in range(minor - 1, 0, -1))
            yield ""


def _fits(there: Platform, wanted: Platform) -> bool:
    return (
        (there.os, there.architecture, there.variant) == (wanted.os, wanted.architecture, wanted.variant)
        and set(there.os_features) <= set(wanted.os_features)  # "each specifying a mandatory OS feature"
        and (wanted.os != "windows" or _version_fits(there.os_version, wanted.os_version))
    )


def _version_fits(there: str, wanted: str) -> bool:
    """Whether a Windows of version `wanted` runs a container of version `there`.

    Major, minor and build count, the revision does not. From Server 2022 on, a host also runs containers of the
    builds since then (Microsoft, "Windows container version compatibility").
    """
    if not there or not wanted or there == wanted:
        return True
    container, host = _build(there), _build(wanted)
    if not container or not host or container[:2] != host[:2]:
        return False
    return container == host or _SERVER_2022 <= container[2] <= host[2]


def _nearness(there: Platform, wanted: Platform) -> tuple[Any, ...]:
    """Greater is nearer: the very version that was asked for, then the highest build that fits."""
    if wanted.os != "windows" or not wanted.os_version:
        return ()
    return (there.os_version == wanted.os_version, _build(there.os_version) or (0, 0, 0))


def _build(version: str) -> tuple[int, int, int] | None:
    """Major, minor and build of a Windows version such as 10.0.20348.2322."""
    match = re.match(r"([0-9]{1,5})\.([0-9]{1,5})\.([0-9]{1,5})(?:\.|$)", version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _string(value: object, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ContentError(f"{what} is not a string but {quoted(value)}")
    return value
