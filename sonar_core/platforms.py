"""Which of an index's manifests is the one for a platform.

Rules: OCI image-spec, image-index.md, "Platform Variants" ("the first matching entry"), and containerd's `platforms`
package. Unlike there, amd64 does not fall back to 386 nor arm64 to arm: who asks for an architecture gets it or an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sonar_core.errors import BadReference, ContentError, Missing
from sonar_core.quoting import escaped, quoted

if TYPE_CHECKING:
    from sonar_core.content import Descriptor

_EXAMPLE = "a platform looks like linux/amd64, linux/arm/v7 or windows(10.0.20348)/amd64"
_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)((?:\+[A-Za-z0-9_.-]+)*)\))?")
_PART = re.compile(r"[A-Za-z0-9_.-]+")

#: What `uname -m` and distributions call an architecture → Go's name and the variant it implies.
_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "x64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "x86": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5l": ("arm", "v5"),
    "armv5tel": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "loongarch64": ("loong64", ""),
}
_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split()
)
_SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd illumos linux netbsd openbsd solaris wasip1 windows".split()
)

_WINDOWS_2022 = 20348  # from this build on, a host runs the containers of earlier builds down to it


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on: `os` and `architecture` as Go names them, the variant of the CPU, `os.version` and
    `os.features` as Windows uses them (image-spec, image-index.md). Empty is "not said".
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`os/architecture[/variant]`, the os optionally as `windows(10.0.20348)` or `windows(10.0.20348+win32k)`; a
        single `os` or `architecture` takes the rest from this machine. Returned normalized. Raises BadReference.
        """
        first, *others = text.split("/")
        system = _OS.fullmatch(first)
        if not system or len(others) > 2 or not all(_PART.fullmatch(part) for part in others):
            raise BadReference(f"{quoted(text)} is not a platform", hint=_EXAMPLE)
        name, version, features = system[1], system[2] or "", tuple((system[3] or "").split("+")[1:])
        if others:
            return cls(name, others[0], "".join(others[1:]), version, features).normalized()
        if _normal_os(name) in _SYSTEMS:
            return replace(cls.local(), os=_normal_os(name), os_version=version, os_features=features)
        platform = cls(cls.local().os, name).normalized()
        if platform.architecture not in _ARCHITECTURES or system[2] is not None:
            raise BadReference(
                f"{quoted(text)} is neither an operating system nor an architecture", hint=_EXAMPLE
            )
        return platform

    @classmethod
    def from_json(cls, obj: object, *, what: str = "platform") -> Platform:
        """The platform that a JSON object holds, as it stands there. Raises ContentError."""
        if not isinstance(obj, dict):
            raise ContentError(f"{what} is not an object but {quoted(obj, 40)}")
        texts = {name: obj.get(name) or "" for name in ("os", "architecture", "variant", "os.version")}
        features = obj.get("os.features") or []
        for name, value in texts.items():
            if not isinstance(value, str):
                raise ContentError(f"{what}.{name} is not a string but {quoted(value, 40)}")
        if not isinstance(features, list) or not all(isinstance(feature, str) for feature in features):
            raise ContentError(f"{what}.os.features is not an array of strings but {quoted(features, 40)}")
        return cls(texts["os"], texts["architecture"], texts["variant"], texts["os.version"], tuple(features))

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
        """The same platform as containerd writes it: x86_64 is amd64, amd64/v1 is amd64, arm64/v8 is arm64, arm is arm/v7."""
        architecture, variant = self.architecture.lower(), self.variant.lower()
        if architecture in _ALIASES:
            architecture, implied = _ALIASES[architecture]
            variant = implied or variant
        if variant[:1].isdecimal():
            variant = f"v{variant}"
        match architecture, variant:
            case ("amd64", "v1") | ("arm64", "v8" | "v8.0") | ("386", _):
                variant = ""
            case ("arm64", "v9.0"):
                variant = "v9"
            case ("arm", ""):
                variant = "v7"
        return replace(self, os=_normal_os(self.os), architecture=architecture, variant=variant)

    @classmethod
    def local(cls) -> Platform:
        """What containers on this machine run on: windows on Windows, linux elsewhere (a Mac runs them in a Linux VM)."""
        import platform
        import sys

        system = "windows" if sys.platform == "win32" else "linux"
        version = platform.version() if system == "windows" else ""
        return cls(system, platform.machine(), os_version=version).normalized()

    def __str__(self) -> str:
        extras = "".join([self.os_version, *(f"+{feature}" for feature in self.os_features)])
        system = f"{self.os}({extras})" if extras else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)


def choose(descriptors: Iterable[Descriptor], platform: Platform) -> Descriptor:
    """The descriptor for `platform`: the best variant first, then the nearest Windows build, then the first in the list.

    Attestations (`unknown/unknown`) are never chosen. A list of one entry that names no platform is taken at its word.
    Raises Missing, which lists the platforms that there are.
    """
    entries = [entry for entry in descriptors if not _is_attestation(entry)]
    wanted = platform.normalized()
    for variant in _variants(wanted):
        fitting = [
            entry
            for entry in entries
            if entry.platform and _fits(entry.platform.normalized(), wanted, variant)
        ]
        if fitting:
            # max() keeps the first of equals.
            return (
                max(fitting, key=lambda entry: _build(entry.platform.os_version))
                if wanted.os == "windows"
                else fitting[0]
            )
    there = list(dict.fromkeys(str(entry.platform.normalized()) for entry in entries if entry.platform))
    if not there and len(entries) == 1:
        return entries[0]
    if not there:
        raise Missing(
            f"no image for {escaped(str(platform))}: the index names no platform",
            hint="name one by its digest",
        )
    listed = ", ".join(escaped(name, 60) for name in there[:20]) + (", …" if len(there) > 20 else "")
    raise Missing(f"no image for {escaped(str(platform))}", hint=f"there are: {listed}")


def _is_attestation(entry: Descriptor) -> bool:
    """BuildKit's provenance and SBOM, which hang in the index beside the images that they are about."""
    if "vnd.docker.reference.type" in entry.annotations:
        return True
    return entry.platform is not None and "unknown" in (entry.platform.os, entry.platform.architecture)


def _variants(wanted: Platform) -> Iterator[str]:
    """The variants that a CPU can run, best first, as `normalized` writes them."""
    yield wanted.variant
    version = re.fullmatch(r"v([0-9])(?:\.([0-9]))?", wanted.variant)
    major, minor = (int(version[1]), int(version[2] or 0)) if version else (0, 0)
    match wanted.architecture:
        case "amd64":
            yield from (f"v{level}" for level in range(major - 1, 1, -1))
            yield ""
        case "arm":
            yield from (f"v{level}" for level in range(major - 1, 4, -1))
        case "arm64":
            if major == 9:  # v9.x has what v8.(x+5) has
                yield from (f"v9.{level}" if level else "v9" for level in range(minor - 1, -1, -1))
                major, minor = 8, minor + 6
            if major == 8:
                yield from (f"v8.{level}" for level in range(minor - 1, 0, -1))
            yield ""


def _fits(there: Platform, wanted: Platform, variant: str) -> bool:
    return (
        (there.os, there.architecture, there.variant) == (wanted.os, wanted.architecture, variant)
        and set(there.os_features) <= set(wanted.os_features)  # a feature is mandatory
        and (wanted.os != "windows" or _version_fits(there.os_version, wanted.os_version))
    )


def _version_fits(there: str, wanted: str) -> bool:
    """Whether a Windows of version `wanted` runs a container of version `there`: major, minor and build count, not the
    revision; from Windows Server 2022 on, builds since then are compatible (learn.microsoft.com, "Windows container
    version compatibility").
    """
    if not there or not wanted or there == wanted:
        return True
    container, host = _build(there), _build(wanted)
    if container == (0, 0, 0) or container[:2] != host[:2]:
        return False
    return container == host or _WINDOWS_2022 <= container[2] <= host[2]


def _build(version: str) -> tuple[int, int, int]:
    """Major, minor and build of a Windows version; zeros where it is not one."""
    match = re.match(r"([0-9]{1,5})\.([0-9]{1,5})\.([0-9]{1,5})(?:\.|$)", version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def _normal_os(name: str) -> str:
    name = name.lower()
    return "darwin" if name == "macos" else name
