"""Plain scalars follow YAML 1.2; every node knows its line."""

import pytest

from pepperstone_adapter.common.yaml_lines import is_secret_name, parse_scalar, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), ("yes", "yes"), ("off", "off"),
        ("0", 0), ("-12", -12), ("+3", 3), ("007", "007"), ("0x10", "0x10"), ("1_000", "1_000"), ("1,000.5", "1,000.5"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e-3", 0.001), ("00.5", "00.5"), ("17:00", "17:00"),
        ("2024-01-01", "2024-01-01"), ("0.1 lot", "0.1 lot"), ("9" * 20, "9" * 20),
    ],
)  # fmt: skip
def test_plain_scalars(text: str, value: object) -> None:
    result = parse_scalar(text)
    assert result == value
    assert type(result) is type(value)


def test_quotes_keep_text() -> None:
    assert parse_yaml("a: '1'\nb: \"true\"\n", "x", {}).plain() == {"a": "1", "b": "true"}


def test_every_value_knows_its_line() -> None:
    root = parse_yaml("a:\n  b:\n    - 1\n    - c: 2\n", "x.yaml", {})
    assert isinstance(root.value, dict)
    a = root.value["a"]
    assert isinstance(a.value, dict)
    b = a.value["b"]
    assert (a.key_where, b.key_where) == ("x.yaml:1", "x.yaml:2")
    assert isinstance(b.value, list)
    assert [node.where for node in b.value] == ["x.yaml:3", "x.yaml:4"]


def test_an_alias_is_the_value_of_its_anchor() -> None:
    text = "base: &b {fast: 1}\nfirst: *b\nsecond: *b\n"
    assert parse_yaml(text, "x", {}).plain() == {"base": {"fast": 1}, "first": {"fast": 1}, "second": {"fast": 1}}


@pytest.mark.parametrize("name", ["password", "client_secret", "API_KEY", "access_token", "apikey", "ssh-passphrase"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["token_file", "secret_name_of_x", "symbols", "keyring", "tokens_per_second"])
def test_names_that_only_sound_like_it(name: str) -> None:
    assert not is_secret_name(name)
