"""The bundled samples: real market data in its original formats (`catalog/samples/README.md`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pepperstone_adapter.catalog import manifest
from pepperstone_adapter.catalog.importer import ImportOutcome, import_file
from pepperstone_adapter.catalog.request import ImportRequest, Policy
from pepperstone_adapter.common.resources import resource
from pepperstone_adapter.common.settings import StrictModel, load_settings

FOLDER = "catalog/samples"


class SampleFile(StrictModel):
    """One bundled file and what its name does not say."""

    file: str
    symbol: str
    zone: str | None = None
    allow: tuple[Literal["crossed", "zero", "negative", "instrument"], ...] = ()


class Samples(StrictModel):
    files: tuple[SampleFile, ...]


def requests(dest: Path) -> list[ImportRequest]:
    """What to import to get all samples into the catalog at `dest`.

    Rows of an earlier release's sample give way to this one's; rows from anywhere else do not.
    """
    folder = resource(FOLDER)
    ours = {(r.source, r.symbol) for _, r in manifest.records(dest) if not any(s.replaced_by for s in r.series)}
    samples = load_settings(folder / "samples.yaml", Samples, environ={})
    return [
        ImportRequest(
            catalog=dest,
            file=folder / s.file,
            symbol=s.symbol,
            zone=s.zone,
            policy=Policy(allow=frozenset(s.allow)),
            replace=(s.file, s.symbol) in ours,
        )
        for s in samples.files
    ]


def build(dest: Path, on_file: Callable[[ImportOutcome], None] | None = None) -> None:
    """Import every sample into the catalog at `dest`; what is there already costs a hash each."""
    for request in requests(dest):
        outcome = import_file(request)
        if on_file is not None:
            on_file(outcome)
