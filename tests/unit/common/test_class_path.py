"""Classes out of settings: found without running anything, loaded only when they are what was asked for."""

from pathlib import Path

import pytest

from pepperstone_adapter.common.class_path import check_arguments, find_class, load_class, sources
from pepperstone_adapter.common.errors import ConfigurationError


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_forms_of_a_path(tmp_path: Path) -> None:
    write(tmp_path / "strategies", "a.py", "class A: pass\n")
    write(tmp_path / "configs" / "deep", "b.py", "class B: pass\n")
    roots = [tmp_path / "configs", tmp_path / "strategies"]
    for text in ("a:A", "strategies.a:A", "../strategies/a.py:A"):
        assert find_class(text, roots).file == (tmp_path / "strategies" / "a.py").resolve()
    for text in ("./deep/b.py:B", "deep.b:B", "configs.deep.b:B"):
        assert find_class(text, roots).file == (tmp_path / "configs" / "deep" / "b.py").resolve()


def test_the_first_root_wins(tmp_path: Path) -> None:
    write(tmp_path / "one", "a.py", "class A: pass\n")
    write(tmp_path / "two", "a.py", "class A: pass\n")
    assert find_class("a:A", [tmp_path / "one", tmp_path / "two"]).file.parent.name == "one"


def test_a_syntax_error_is_placed(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "x = 1\nclass A(:\n")
    with pytest.raises(ConfigurationError, match=r"a\.py:2: "):
        find_class("a:A", [tmp_path])


def test_a_file_with_nul_bytes_is_not_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"class A: pass\n\0")
    with pytest.raises(ConfigurationError, match=r"a\.py"):
        find_class("a:A", [tmp_path])


def test_a_class_is_loaded_with_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "inside.py", "VALUE = 7\n")
    write(tmp_path, "a.py", "from .inside import VALUE\nclass A(Exception):\n    value = VALUE\n")
    loaded = load_class(find_class("a:A", [tmp_path]), Exception)
    assert loaded.value == 7  # type: ignore[attr-defined]
    # Asked for twice it is the same class.
    assert load_class(find_class("./a.py:A", [tmp_path]), Exception) is loaded


def test_files_of_one_name_in_two_folders_do_not_collide(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, "a.py", f"class A(Exception):\n    where = {name!r}\n")
    found = [load_class(find_class("a:A", [tmp_path / name]), Exception) for name in ("one", "two")]
    assert [c.where for c in found] == ["one", "two"]  # type: ignore[attr-defined]


def test_another_kind_of_class_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "class A: pass\n")
    with pytest.raises(
        ConfigurationError, match=r"A in .*a\.py is not a Exception; derive it from builtins\.Exception"
    ):
        load_class(find_class("a:A", [tmp_path]), Exception)


def test_an_error_while_importing_is_placed(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "class A(Exception): pass\n\nimport no_such_module\n")
    with pytest.raises(ConfigurationError, match=r"a\.py:3: ModuleNotFoundError: No module named 'no_such_module'"):
        load_class(find_class("a:A", [tmp_path]), Exception)


def test_a_missing_module_names_the_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no strategy file for 'os:system'; looked for: .*os\.py"):
        find_class("os:system", [tmp_path])


class Config:
    def __init__(self, *, fast: int, slow: int = 20, order_id_tag: str | None = None) -> None: ...


class Typed:
    def __init__(self, *, period: int = 20, short: bool = True, later: "int" = 1, ratio: float = 1.0) -> None: ...


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"period": 2.5}, r"^x refused its config: period takes a whole number, not 2\.5$"),
        ({"later": float("nan")}, "later takes a whole number, not nan"),
        # What YAML calls text, and Python calls true: the strategy would do the opposite of what is written.
        ({"short": "no"}, "short takes true or false, not 'no'"),
        ({"short": 0}, "short takes true or false, not 0"),
    ],
)
def test_a_value_of_another_kind_than_the_class_says_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_arguments(Typed, values, "x")


def test_values_a_class_can_turn_into_its_own_are_left_to_it() -> None:
    check_arguments(Typed, {"period": "20", "later": 20.0, "short": False, "ratio": "1.5"}, "x")


class Anything:
    def __init__(self, **values: object) -> None: ...


def test_an_argument_a_class_does_not_take_is_named_with_those_it_takes() -> None:
    check_arguments(Config, {"fast": 1, "order_id_tag": "a"}, "x")
    check_arguments(Anything, {"whatever": 1}, "x")
    with pytest.raises(
        ConfigurationError, match=r"^x refused its config: no 'fsat' \(did you mean 'fast'\?\); it takes fast, slow$"
    ):
        check_arguments(Config, {"fsat": 1}, "x")


def test_the_sources_of_a_file_are_all_it_reaches_by_relative_imports(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "import os\nfrom .one import x\nfrom . import two\nclass A: pass\n")
    write(tmp_path, "one.py", "def late():\n    from .deep.three import *\n")
    write(tmp_path, "two.py", "from .a import A\n")  # in a circle
    write(tmp_path / "deep", "__init__.py", "")
    write(tmp_path / "deep", "three.py", "from ..four import y\nfrom . import five\n")
    write(tmp_path / "deep", "five.py", "")
    write(tmp_path, "four.py", "y = 1\n")
    write(tmp_path, "other.py", "")
    write(tmp_path, "os.py", "")
    (tmp_path.parent / f"{tmp_path.name}.py").write_text("")  # what `from . import two` does not mean
    found = {file.relative_to(tmp_path.resolve()).as_posix() for file in sources(tmp_path / "a.py")}
    assert found == {"a.py", "one.py", "two.py", "four.py", "deep/__init__.py", "deep/three.py", "deep/five.py"}
