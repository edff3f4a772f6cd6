"""`config check|show|schema`: nothing runs, every problem has its line."""

import json
from pathlib import Path

import pytest
import yaml

from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.resources import resource


def test_every_problem_of_every_file_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("a: 1\na: 2\n")
    two.write_text("[1]\n")
    assert main(["config", "check", str(one), str(two), "--kind", "backtest"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: {one}:2: duplicate key 'a'; it is already set at {one}:1",
        f"error: {two}:1: settings must be `key: value` lines, not a list or a single value",
    ]


def test_an_account_that_is_no_group_of_keys_is_a_mistake_in_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "download.yaml"
    file.write_text("account: abc\nsymbols: [EURUSD]\n")
    assert main(["config", "check", str(file), "--kind", "download"]) == 2
    assert f"error: {file}:1: account: expected a group of keys, got 'abc'" in capsys.readouterr().err


def test_an_unknown_key_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("acount: {currency: USD}\n")
    assert main(["config", "check", str(path)]) == 2
    assert f"error: {path}:1: acount: unknown key; did you mean 'account'?\n" in capsys.readouterr().err


def test_an_unknown_kind_is_answered_with_the_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema", "bactest"]) == 2
    assert capsys.readouterr().err == (
        "error: 'bactest' is not a kind of settings: backtest, live, download, sandbox, columns; did you mean 'backtest'?\n"
    )


def test_the_schema_is_json_schema(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "schema", "backtest"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["type"] == "object"
    assert {"account", "data", "strategies"} <= set(schema["properties"])
    file = tmp_path / "backtest.schema.json"
    assert main(["config", "schema", "-o", str(file)]) == 0
    assert json.loads(file.read_text()) == schema


ONE = """
from nautilus_trader.trading import Strategy, StrategyConfig

class OneConfig(StrategyConfig):
    def __new__(cls, size=1, order_id_tag=None):
        return super().__new__(cls, order_id_tag=order_id_tag)

    def __init__(self, size=1, order_id_tag=None):
        if size < 1:
            raise ValueError(f"size {size} is not above zero")

class One(Strategy):
    pass
"""


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "one.py").write_text(ONE)
    path = tmp_path / "configs" / "backtest" / "x.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "data: {catalog: ../../catalog/data, start: 2020-01-01, end: 2021-01-01, instruments: [EURUSD]}\n"
        "strategies: [{strategy: 'one:One'}]\n"
    )
    return path


def test_show_prints_defaults_overrides_and_whole_paths(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, settings_file: Path
) -> None:
    assert main(["config", "show", str(settings_file), "--set", "account.currency=EUR"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["account"]["currency"] == "EUR"
    assert shown["account"]["profile"] == "razor"
    assert shown["data"]["catalog"] == str(tmp_path / "catalog" / "data")
    assert main(["config", "show", str(settings_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["account"]["currency"] == "USD"


def test_check_says_which_kind_it_took_the_file_for(capsys: pytest.CaptureFixture[str], settings_file: Path) -> None:
    assert main(["config", "check", str(settings_file)]) == 0
    assert capsys.readouterr().out == f"{settings_file}: ok (backtest)\n"


@pytest.mark.parametrize("file", sorted(resource("configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_settings_that_come_along_hold(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out.endswith(f": ok ({file.parent.name})\n")


NO_TWO = "3: strategies.0.strategy: {one} defines no class 'Two'; it defines: OneConfig, One"
NO_SISE = (
    "4: strategies.0.config.sise: {one}: OneConfig refused its config: no 'sise' (did you mean 'size'?); it takes size"
)
NO_SIZE = (
    "{line}: strategies.{n}.config.size: {one}: OneConfig of '{name}' refused its config: size {size} is not above zero"
)
TWO_WRONG = """\
  - {strategy: 'one:One', name: A, config: {size: 0}}
  - strategy: one:One
    name: B
    config:
      size: -1
"""


@pytest.mark.parametrize(
    ("strategies", "lines"),
    [
        ("  - {strategy: 'one:Two'}\n", [NO_TWO]),
        ("  - strategy: one:One\n    config: {sise: 3}\n", [NO_SISE]),
        (
            TWO_WRONG,
            [
                NO_SIZE.format(line=3, n=0, one="{one}", name="A", size=0),
                NO_SIZE.format(line=7, n=1, one="{one}", name="B", size=-1),
            ],
        ),
    ],
    ids=["class", "key", "values"],
)
@pytest.mark.parametrize("kind", ["backtest", "live"])
def test_strategies_are_built_by_the_check(
    kind: str, strategies: str, lines: list[str], capsys: pytest.CaptureFixture[str], settings_file: Path
) -> None:
    data = "data: {catalog: ../../catalog/data, start: 2020-01-01, end: 2021-01-01, instruments: [EURUSD]}\n"
    head = data if kind == "backtest" else "accounts: [{platform: ctrader, account: 1, environment: demo}]\n"
    settings_file.write_text(f"{head}strategies:\n{strategies}")
    assert main(["config", "check", str(settings_file), "--kind", kind]) == 2
    one = (settings_file.parents[2] / "strategies" / "one.py").resolve()
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [f"error: {settings_file}:{line.replace('{one}', str(one))}" for line in lines]
    assert "ok" not in printed.out
