"""A strategy of a settings file: found in the file's folders, built from any base, refused in words."""

from pathlib import Path

import pytest

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import StrictModel, load_settings
from pepperstone_adapter.common.strategy_settings import StrategySettings

SOURCE = """
from tests.unit.common.test_strategy_settings import Base, BaseConfig

class HoldConfig(BaseConfig):
    def __init__(self, size: int = 1, order_id_tag: str | None = None) -> None:
        if size < 1:
            raise ValueError(f"size {size} is not above zero")
        self.size, self.order_id_tag = size, order_id_tag

class OtherConfig(HoldConfig):
    pass

class Hold(Base):
    pass
"""


class BaseConfig:
    size: int
    order_id_tag: str | None


class Base:
    def __init__(self, config: BaseConfig) -> None:
        self.config = config


class File(StrictModel):
    strategy: StrategySettings


def read(folder: Path, text: str) -> StrategySettings:
    (folder / "hold.py").write_text(SOURCE)
    (folder / "run.yaml").write_text(f"strategy: {text}\n")
    return load_settings(folder / "run.yaml", File).strategy


def test_the_class_is_found_when_the_file_is_read_and_built_when_asked(tmp_path: Path) -> None:
    settings = read(tmp_path, "{strategy: hold:Hold, config: {size: 3}, name: a}")
    assert settings.strategy == f"{(tmp_path / 'hold.py').resolve()}:Hold"
    built = settings.build(Base, BaseConfig)
    assert (type(built).__name__, type(built.config).__name__) == ("Hold", "HoldConfig")
    assert (built.config.size, built.config.order_id_tag) == (3, "a")


def test_another_configuration_class_of_the_file(tmp_path: Path) -> None:
    built = read(tmp_path, "{strategy: hold:Hold, config_class: OtherConfig}").build(Base, BaseConfig)
    assert (type(built.config).__name__, built.config.order_id_tag) == ("OtherConfig", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{strategy: hold:HoldConfig}", r"HoldConfig in .*hold\.py is not a Base"),
        ("{strategy: hold:Hold, config_class: HoldConfg}", r"no class 'HoldConfg' \(did you mean 'HoldConfig'\?\)"),
        ("{strategy: hold:Hold, config_class: Hold}", r"Hold in .*hold\.py is not a BaseConfig"),
        ("{strategy: hold:Hold, config: {sise: 3}}", r"hold\.py: HoldConfig refused its config: no 'sise'"),
        ("{strategy: hold:Hold, config: {size: 0}}", r"HoldConfig refused its config: size 0 is not above zero$"),
        ("{strategy: hold:Hold, name: A, config: {size: 0}}", r"HoldConfig of 'A' refused its config: size 0 is"),
    ],
)
def test_what_cannot_be_built_says_which_file_and_why(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(tmp_path, text).build(Base, BaseConfig)


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (
            "ValueError('one\\n  two')",
            r"^\S*run\.yaml:1: strategy\.config: \S*hold\.py: {} refused its config: one two$",
        ),
        ("KeyError('x')", r"{} refused its config: KeyError: 'x'$"),
        ("ValueError", r"{} refused its config: ValueError$"),
        ("__import__('decimal').Decimal('abc')", r"{} refused its config: a value is not a number$"),
    ],
)
@pytest.mark.parametrize("who", ["HoldConfig", "Hold"])
def test_a_class_that_raises_is_named_in_one_line(tmp_path: Path, raised: str, words: str, who: str) -> None:
    text = (
        SOURCE.replace("    pass\n", f"    def __init__(self, config):\n        raise {raised}\n")
        if who == "Hold"
        else SOURCE
    )
    text = (
        text
        if who == "Hold"
        else text.replace("if size < 1:", f"if size == 7:\n            raise {raised}\n        if size < 1:")
    )
    (tmp_path / "hold.py").write_text(text)
    (tmp_path / "run.yaml").write_text("strategy: {strategy: hold:Hold, config: {size: 7}}\n")
    with pytest.raises(ConfigurationError, match=words.format(who)):
        load_settings(tmp_path / "run.yaml", File).strategy.build(Base, BaseConfig)


def test_a_file_outside_the_folders_is_refused_while_the_settings_are_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"run\.yaml:1: strategy\.strategy: .*no strategy file for 'hol:Hold'"):
        read(tmp_path, "{strategy: hol:Hold}")
    with pytest.raises(ConfigurationError, match="lies outside the folders"):
        read(tmp_path, "{strategy: ../hold.py:Hold}")


LINES = """strategy:
  strategy: hold:{cls}
  config_class: {config_class}
  name: A
  config:
    size: {size}
    {other}: 2
"""


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"cls": "HoldConfig"}, r"run\.yaml:2: strategy\.strategy: HoldConfig in .* is not a Base"),
        ({"config_class": "HoldConfg"}, r"run\.yaml:3: strategy\.config_class: .* no class 'HoldConfg' \(did you mean"),
        (
            {"other": "sise"},
            r"run\.yaml:7: strategy\.config\.sise: .* no 'sise' \(did you mean 'size'\?\); it takes size",
        ),
        ({"size": "0"}, r"run\.yaml:6: strategy\.config\.size: .* refused its config: size 0 is not above zero$"),
        # Words that name no key: the whole configuration is meant.
        ({"other": "extent"}, r"run\.yaml:6: strategy\.config: .* refused its config: too large"),
    ],
)
def test_what_cannot_be_built_says_which_line_is_wrong(tmp_path: Path, changes: dict[str, str], line: str) -> None:
    (tmp_path / "hold.py").write_text(
        SOURCE.replace("size: int = 1,", "size: int = 1, extent: int = 0,").replace(
            "        self.size,", "        if extent:\n            raise ValueError('too large')\n        self.size,"
        )
        if changes.get("other") == "extent"
        else SOURCE
    )
    values = {"cls": "Hold", "config_class": "HoldConfig", "size": "3", "other": "size2"} | changes
    text = LINES.format(**values)
    if values["other"] == "size2":
        text = text.replace("    size2: 2\n", "")
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=line):
        load_settings(tmp_path / "run.yaml", File).strategy.build(Base, BaseConfig)


def test_a_value_of_the_command_line_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "hold.py").write_text(SOURCE)
    (tmp_path / "run.yaml").write_text("strategy: {strategy: hold:Hold, config: {size: 3}}\n")
    settings = load_settings(tmp_path / "run.yaml", File, ["strategy.config.size=0"])
    with pytest.raises(ConfigurationError, match=r"^--set strategy\.config\.size: .*: size 0 is not above zero$"):
        settings.strategy.build(Base, BaseConfig)
