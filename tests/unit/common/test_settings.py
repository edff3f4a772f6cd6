"""Every wrong settings file is answered with its line, its key and what to write instead (cases B01-B12)."""

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import Field, model_validator

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import (
    RelativePath,
    StrictModel,
    dump_settings,
    load_settings,
    settings_schema,
)


class Ema(StrictModel):
    kind: Literal["ema"]
    fast: int = Field(default=10, ge=1, le=500)


class Breakout(StrictModel):
    kind: Literal["breakout"]
    length: int = Field(examples=[20])


class Override(StrictModel):
    length: int


type Entry = Annotated[Ema | Breakout, Field(discriminator="kind")]


class Data(StrictModel):
    symbols: list[str] = Field(examples=[["EURUSD"]])
    catalog: RelativePath = Path("data")
    port: int = Field(default=5201, ge=1, le=65535)
    side: Literal["bid", "ask"] = "bid"
    password: str | None = None


class Settings(StrictModel):
    data: Data
    entries: list[Entry] = Field(default_factory=list)
    lots: Decimal = Field(default=Decimal("0.10"), gt=0, le=Decimal("1e6"))
    spread_points: float | None = Field(default=None, ge=0)
    label: str = ""
    overrides: dict[str, Override] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _label_fits(self) -> "Settings":
        if self.label == "both wrong":
            raise ValueError("label and lots do not fit each other; leave one out")
        return self


GOOD = "data:\n  symbols: [EURUSD]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(folder: Path, text: str | bytes, *overrides: str, environ: Mapping[str, str] | None = None) -> Settings:
    path = folder / "x.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_settings(path, Settings, overrides, environ or {})


def problems(folder: Path, text: str | bytes, *overrides: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, *overrides, environ=environ)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "data:\n  symbls: [EURUSD]\n", "x.yaml:2: data.symbls: unknown key; did you mean 'symbols'?", id="B01-near"
        ),
        pytest.param(
            GOOD + "  zzzz: 1\n",
            "x.yaml:3: data.zzzz: unknown key; known keys: catalog, password, port, side, symbols",
            id="B01-far",
        ),
        pytest.param(
            GOOD + "entries:\n  - kind: breakout\n    length: 3\n    lenght: 4\n",
            "x.yaml:6: entries.0.lenght: unknown key; did you mean 'length'?",
            id="B01-in-a-list",
        ),
        pytest.param(
            GOOD + "overrides:\n  EURUSD:\n    length: 3\n    lengh: 1\n",
            "x.yaml:6: overrides.EURUSD.lengh: unknown key; did you mean 'length'?",
            id="B01-under-a-free-key",
        ),
        pytest.param(
            "data:\n  port: 80\n",
            "x.yaml:1: data.symbols: missing; add it, for example `symbols: [EURUSD]`",
            id="B02-nested",
        ),
        pytest.param("label: x\n", "x.yaml: data: missing; add it, for example `data: ...`", id="B02-top"),
        pytest.param(
            GOOD + "  port: abc\n", "x.yaml:3: data.port: expected a valid integer, got 'abc'", id="B03-number"
        ),
        pytest.param("data: 5\n", "x.yaml:1: data: expected a group of keys, got 5", id="B03-group"),
        pytest.param(
            "data:\n  symbols: EURUSD\n", "x.yaml:2: data.symbols: expected a valid list, got 'EURUSD'", id="B03-list"
        ),
        pytest.param(
            GOOD + "label: 12345\n", "x.yaml:3: label: expected text, got 12345; put it in quotes", id="B03-text"
        ),
        pytest.param(
            GOOD + "label: true\n", "x.yaml:3: label: expected text, got true; put it in quotes", id="B03-truth"
        ),
        pytest.param(
            GOOD + "  side: bit\n",
            "x.yaml:3: data.side: expected 'bid' or 'ask', got 'bit'; did you mean 'bid'?",
            id="B03-choice",
        ),
        pytest.param(
            GOOD + "entries: [{kind: braekout}]\n",
            "x.yaml:3: entries.0: kind 'braekout' is not one of 'ema', 'breakout'; did you mean 'breakout'?",
            id="B03-kind",
        ),
        pytest.param(
            GOOD + "entries: [{fast: 3}]\n",
            "x.yaml:3: entries.0: kind is missing; it says which kind of entry this is",
            id="B03-no-kind",
        ),
        pytest.param(
            GOOD + "label: both wrong\n", "x.yaml: label and lots do not fit each other; leave one out", id="B03-whole"
        ),
        pytest.param(
            GOOD + "  password: hunter2\n",
            "x.yaml:3: data.password: a secret must not stand in settings; store it with `pepperstone auth login` "
            "and write a reference: keyring:NAME, env:NAME or file:PATH",
            id="B08-literal-secret",
        ),
        pytest.param("", "x.yaml: empty; `pepperstone config schema` lists the keys", id="B09-empty"),
        pytest.param("# only words\n", "x.yaml: empty; `pepperstone config schema` lists the keys", id="B09-comment"),
        pytest.param(b"label: \xff\xff\n", "x.yaml:1: not UTF-8 (byte 0xff); save it as UTF-8", id="B09-not-utf8"),
        pytest.param("label: x\n".encode("utf-16"), "x.yaml: UTF-16, not UTF-8; save it as UTF-8", id="B09-utf16"),
        pytest.param(b"a: 1\nb: \0\n", "x.yaml:2: holds a NUL byte; this is not a text file", id="B09-nul"),
        pytest.param(b"a: 1\n" * 300_000, "x.yaml: larger than 1 MiB; this is not a settings file", id="B10-size"),
        pytest.param("a: " + "[" * 33, "x.yaml:1: nested deeper than 32 levels", id="B10-depth"),
        pytest.param("a: " + "[" * 900_000, "x.yaml:1: nested deeper than 32 levels", id="B10-depth-bomb"),
        pytest.param(
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
            "x.yaml:6: grows beyond 200000 values",
            id="B10-alias-bomb",
        ),
        pytest.param(
            "data:\n  symbols: [A]\ndata:\n  symbols: [B]\n",
            "x.yaml:3: duplicate key 'data'; it is already set at x.yaml:1",
            id="B11-duplicate",
        ),
        pytest.param(GOOD + "lots: 0\n", "x.yaml:3: lots: expected greater than 0, got 0", id="B12-zero"),
        pytest.param(GOOD + "lots: -1\n", "x.yaml:3: lots: expected greater than 0, got -1", id="B12-negative"),
        pytest.param(GOOD + "lots: .nan\n", "x.yaml:3: lots: expected a finite number, got nan", id="B12-nan"),
        pytest.param(
            GOOD + "spread_points: .inf\n", "x.yaml:3: spread_points: expected a finite number, got inf", id="B12-inf"
        ),
        pytest.param(
            GOOD + "spread_points: 1e309\n",
            "x.yaml:3: spread_points: expected a finite number, got inf",
            id="B12-1e309",
        ),
        pytest.param(
            GOOD + "  port: 70000\n",
            "x.yaml:3: data.port: expected less than or equal to 65535, got 70000",
            id="B28-port",
        ),
        pytest.param(
            GOOD + "lots: 1e13\n",
            "x.yaml:3: lots: expected less than or equal to 1000000, got 10000000000000.0",
            id="decimal-limit",
        ),
        pytest.param(
            GOOD + "  catalog: 2021\n", "x.yaml:3: data.catalog: expected a path, got 2021; put it in quotes", id="path"
        ),
        pytest.param("- a\n", "x.yaml:1: settings must be `key: value` lines, not a list or a single value", id="list"),
        pytest.param(
            "data:\n\tsymbols: [A]\n",
            "x.yaml:2: not valid YAML: found character that cannot start any token; indent with spaces, not tabs",
            id="tab",
        ),
        pytest.param(
            "a: !!python/object/apply:os.system [ls]\n",
            "x.yaml:1: tag tag:yaml.org,2002:python/object/apply:os.system is not allowed in settings",
            id="S12-tag",
        ),
        pytest.param("a: 1\n---\nb: 1\n", "x.yaml:2: a second document (`---`); one file holds one", id="documents"),
        pytest.param("<<: {a: 1}\n", "x.yaml:1: merge keys (`<<`) are not supported; write the keys out", id="merge"),
        pytest.param("a: &a [*a]\n", "x.yaml:1: alias *a has no finished anchor &a before it", id="loop"),
    ],
)
def test_a_problem_is_one_line_with_its_place(folder: Path, text: str | bytes, expected: str) -> None:
    assert problems(folder, text) == [expected]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = "lots: no\ndata:\n  symbls: [A]\n  port: 0\nentries:\n  - {kind: ema, fast: 0}\n"
    assert problems(folder, text) == [
        "x.yaml:1: lots: expected a valid decimal, got 'no'",
        "x.yaml:3: data.symbls: unknown key; did you mean 'symbols'?",
        "x.yaml:4: data.port: expected greater than or equal to 1, got 0",
        "x.yaml:6: entries.0.fast: expected greater than or equal to 1, got 0",
    ]


def test_a_list_is_not_also_too_short_because_its_entry_is_wrong(folder: Path) -> None:
    class Accounts(StrictModel):
        accounts: tuple[Data, ...] = Field(min_length=1)

    (folder / "x.yaml").write_text("accounts:\n  - {symbols: [A], prot: 1}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(folder / "x.yaml", Accounts)
    assert str(caught.value).endswith("x.yaml:2: accounts.0.prot: unknown key; did you mean 'port'?")
    assert "\n" not in str(caught.value)


def test_missing_file_names_its_neighbour_and_a_folder_is_told_apart(folder: Path) -> None:
    (folder / "razor.yaml").write_text(GOOD)
    with pytest.raises(ConfigurationError, match=r"razr\.yaml: no such file; did you mean 'razor\.yaml'\?"):
        load_settings(folder / "razr.yaml", Settings)
    with pytest.raises(ConfigurationError, match="is a folder; name the settings file in it"):
        load_settings(folder, Settings)


@pytest.mark.parametrize(
    ("value", "environ", "expected"),
    [
        ("${HOST}", {}, "environment variable HOST is not set"),
        ("${HOST}", {"HOST": "  "}, "environment variable HOST is empty"),
        ("${MY TOKEN}", {}, "${MY TOKEN} is not a variable name; write $${ for a literal ${"),
        ("${API_KEY}", {"API_KEY": "s3cret"}, "${API_KEY} looks like a secret; secrets are never part of settings"),
    ],
)
def test_variables_that_cannot_be_used(folder: Path, value: str, environ: dict[str, str], expected: str) -> None:
    assert problems(folder, f"{GOOD}label: {value!r}\n", environ=environ) == [f"x.yaml:3: {expected}"]


def test_variables_are_put_in_and_read_as_their_kind(folder: Path) -> None:
    text = "data:\n  symbols: ['${A}${B}', '$${A}']\n  port: ${PORT}\n"
    settings = load(folder, text, environ={"A": "EUR", "B": "USD", "PORT": "81"})
    assert settings.data.symbols == ["EURUSD", "${A}"]
    assert settings.data.port == 81


def test_a_secret_is_never_shown(folder: Path) -> None:
    text = GOOD + "  password: 12345\n  port: abc\n"
    assert not any("12345" in line for line in problems(folder, text))
    shown = problems(folder, GOOD, "data.password=12345")
    assert shown[0].startswith("--set data.password: data.password: a secret must not stand in settings")
    assert "12345" not in shown[0]
    assert problems(folder, GOOD + "  password: true\n") == [
        "x.yaml:3: data.password: expected text, got <hidden>; put it in quotes"
    ]
    [listed] = problems(folder, GOOD + "  password: [hunter2]\n")
    assert "must not stand in settings" in listed
    assert "hunter2" not in listed
    assert problems(folder, GOOD, "password") == ["--set password: write --set section.key=value"]


@pytest.mark.parametrize("reference", ["keyring:pepperstone", "env:CTRADER_PASSWORD", "file:/etc/secret"])
def test_a_reference_to_a_secret_is_no_secret(folder: Path, reference: str) -> None:
    assert load(folder, f"{GOOD}  password: {reference}\n").data.password == reference


def test_command_line_beats_environment_beats_file_beats_default(folder: Path) -> None:
    text = GOOD + "  port: 1\n"
    environ = {"PEPPERSTONE__DATA__PORT": "2", "PEPPERSTONE__LABEL": "env"}
    assert load(folder, GOOD).data.port == 5201
    assert load(folder, text).data.port == 1
    assert load(folder, text, environ=environ).data.port == 2
    settings = load(folder, text, "data.port=3", "data.symbols=[EURUSD, USDJPY]", environ=environ)
    assert (settings.data.port, settings.label) == (3, "env")
    assert settings.data.symbols == ["EURUSD", "USDJPY"]


def test_an_override_of_a_value_that_an_alias_repeats_changes_it_in_one_place(folder: Path) -> None:
    text = GOOD + "entries: [&a {kind: ema, fast: 10}, *a]\noverrides: {GBPUSD: &b {length: 10}, EURUSD: *b}\n"
    settings = load(folder, text, "entries.0.fast=5", "overrides.EURUSD.length=20")
    assert [entry.fast for entry in settings.entries if isinstance(entry, Ema)] == [5, 10]
    assert {name: override.length for name, override in settings.overrides.items()} == {"GBPUSD": 10, "EURUSD": 20}


def test_environment_finds_keys_whatever_their_case_and_entries_by_number(folder: Path) -> None:
    text = GOOD + "overrides:\n  EURUSD: {length: 1}\nentries:\n  - {kind: ema}\n"
    environ = {"PEPPERSTONE__OVERRIDES__EURUSD__LENGTH": "7", "PEPPERSTONE__ENTRIES__0__FAST": "9"}
    settings = load(folder, text, environ=environ)
    assert settings.overrides["EURUSD"].length == 7
    assert settings.entries == [Ema(kind="ema", fast=9)]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.prt=1", "--set data.prt: unknown key; did you mean 'port'?"),
        ("data.port=x", "--set data.port: expected a valid integer, got 'x'"),
        ("data.port", "--set data.port: write --set section.key=value"),
        ("label.deep=1", "--set label.deep: 'label' is a single value, it has no key 'deep'"),
        ("entries.3.fast=1", "--set entries.3.fast: '3' is not one of the 1 entries, counted from 0"),
        ("data.symbols=[a", "--set data.symbols: not valid YAML: did not find expected ',' or ']'"),
    ],
)
def test_a_wrong_override_names_itself(folder: Path, override: str, expected: str) -> None:
    text = GOOD + "label: x\nentries: [{kind: ema}]\n"
    assert problems(folder, text, override) == [expected]


def test_a_misspelt_environment_setting_is_not_ignored(folder: Path) -> None:
    environ = {"PEPPERSTONE__LOTTS": "5"}
    assert problems(folder, GOOD, environ=environ) == ["PEPPERSTONE__LOTTS: lotts: unknown key; did you mean 'lots'?"]
    assert problems(folder, GOOD, environ={"PEPPERSTONE____X": "5"}) == [
        "PEPPERSTONE____X: not a setting; write PEPPERSTONE__SECTION__KEY"
    ]


def test_yaml_1_1_surprises_stay_text(folder: Path) -> None:
    text = "data:\n  symbols: [no, on, 17:00, 2024-01-01, 007, 0x1F, 1_000]\n"
    assert load(folder, text).data.symbols == ["no", "on", "17:00", "2024-01-01", "007", "0x1F", "1_000"]


def test_numbers_are_numbers(folder: Path) -> None:
    settings = load(folder, GOOD + "lots: 0.10\nspread_points: 1e1\n")
    assert settings.lots == Decimal("0.1")
    assert settings.spread_points is not None
    assert math.isclose(settings.spread_points, 10.0)


def test_paths_are_meant_from_the_file_and_typed_ones_from_the_shell(folder: Path) -> None:
    (folder / "configs").mkdir()
    assert load(folder / "configs", GOOD + "  catalog: ../data\n").data.catalog == folder / "data"
    assert load(folder / "configs", GOOD).data.catalog == folder / "configs" / "data"
    assert load(folder / "configs", GOOD + "  catalog: /var/data\n").data.catalog == Path("/var/data")
    assert load(folder, GOOD, "data.catalog=here").data.catalog == Path("here")
    assert load(folder, GOOD + "  catalog: ~/data\n").data.catalog == Path.home() / "data"


def test_settings_do_not_change_after_they_are_read(folder: Path) -> None:
    settings = load(folder, GOOD)
    with pytest.raises(ValueError, match="frozen"):
        settings.label = "x"  # type: ignore[misc]


def test_dumped_settings_load_again_as_the_same(folder: Path) -> None:
    settings = load(folder, GOOD + "lots: 0.25\nentries: [{kind: breakout, length: 5}]\n")
    text = dump_settings(settings)
    assert load(folder, text) == settings
    assert yaml.safe_load(text)["data"]["port"] == 5201


def test_schema_describes_the_keys(folder: Path) -> None:
    schema = settings_schema(Settings)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"data", "entries", "lots", "spread_points", "label", "overrides"}
    assert schema["$defs"]["Data"]["required"] == ["symbols"]
