"""JSON that two readers could read differently, or that would crash a later one, is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.errors import ContentError
from sonar_core.strict_json import DEEPEST, loads
from tests.core.outcome import outcome


def test_ordinary_json_is_read():
    value = {"a": [1, 2.5, None, True, "ä\n😀"], "b": {}}
    assert loads(json.dumps(value).encode(), what="x") == value
    assert loads(json.dumps(value, ensure_ascii=False).encode(), what="x") == value
    assert loads(b" 1 ", what="x") == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Expecting value at line 1, column 1"),
        (b"{", "line 1, column 2"),
        (b'{"a": 1,}', "line 1, column"),
        (b"{} x", "Extra data at line 1, column 4"),
        (b"<html><body>Log in</body></html>", "begins with '<html><body>Log in</body></htm…'"),
        (b"\x1b[31m", r"begins with '\\x1b\[31m'"),
        (b"[NaN]", "NaN is no JSON number"),
        (b"[Infinity]", "Infinity is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[1e999]", "the number 1e999 is too large"),
        (b"[-1e999]", "the number -1e999 is too large"),
        (b"[" + b"9" * 5000 + b"]", "is not valid JSON"),
        (b'{"a": 1, "a": 2}', "the name 'a' stands twice in one object"),
        (b'[{"x": {"\\u0061": 1, "a": 2}}]', "the name 'a' stands twice in one object"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        ("{}".encode("utf-16"), "not UTF-8"),
        ("{}".encode("utf-32-le"), "Expecting property name|not valid"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\uDFFF": 1}', "half of a surrogate pair"),
        (b'"a\nb"', "Invalid control character"),
        (b'{"a": 1, "a', "Unterminated string"),
    ],
)
def test_what_is_no_strict_json_is_refused_with_a_reason(data, reason):
    with pytest.raises(ContentError, match=reason) as caught:
        loads(data, what="tags of a/b")
    assert str(caught.value).startswith("tags of a/b is not valid JSON: ")
    assert str(caught.value).isprintable()


def test_a_whole_surrogate_pair_is_a_character():
    assert loads(b'"\\ud83d\\ude00"', what="x") == "😀"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_limited(opening, closing):
    """ROBUSTNESS: JSON too deep → a typed error. RecursionError never gets out."""
    loads(opening * DEEPEST + b"1" + closing * DEEPEST, what="x")
    for depth in (DEEPEST + 1, 900, 5000, 200_000):
        with pytest.raises(ContentError, match=f"x is JSON nested too deeply; at most {DEEPEST} levels are read"):
            loads(opening * depth + b"1" + closing * depth, what="x")
        with pytest.raises(ContentError):
            loads(opening * depth, what="x")


def test_depth_is_a_content_error_however_deep_the_caller_stands():
    def deeper(levels: int) -> object:
        return deeper(levels - 1) if levels else loads(b"[" * 60 + b"]" * 60, what="x")

    for levels in range(700, 900):
        result = outcome(deeper, levels)
        assert isinstance(result, list | ContentError)


def test_a_wide_document_is_read():
    assert len(loads(b"[" + b"[]," * 100_000 + b"[]]", what="x")) == 100_001


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arbitrary_bytes_are_read_or_a_content_error(data):
    result = outcome(loads, data, what="x")
    assert isinstance(result, ContentError) or json.loads(json.dumps(result, allow_nan=False)) == result


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
)


@given(json_values)
def test_what_json_can_write_is_read_back(value):
    def has_surrogate(node: object) -> bool:
        return any(0xD800 <= ord(character) <= 0xDFFF for character in json.dumps(node, ensure_ascii=False))

    data = json.dumps(value).encode()
    if has_surrogate(value):
        with pytest.raises(ContentError):
            loads(data, what="x")
    else:
        assert loads(data, what="x") == value
