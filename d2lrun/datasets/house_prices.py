"""House prices in Ames, Iowa, 2006-2010 (book 4.10; Kaggle): 1,460 training rows, 1,459 test rows without a price.

The files are read as those of ``dataset=csv``; this file finds or fetches them and knows the roles of their columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from d2lrun.disk.cells import read_sheet
from d2lrun.disk.content import Content
from d2lrun.disk.locate import Files, Found, Progress, Say, locate
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.build import Roles, build, group_in
from d2lrun.tasks.tabular.table import TableDataset

TRAIN, TEST = "kaggle_house_pred_train.csv", "kaggle_house_pred_test.csv"
FILES = Files(
    dataset="house-prices",
    sums={
        TRAIN: "1e18addf81e5e4d347cc17ee6075bbe4a42b7fa26b9e5b063e8f692a5f929d41",
        TEST: "8fdd3d829d4d986b58f845c9553b225e67dd8383624d90fb6ca1d4bed5798c1e",
    },
    limit=4 << 20,  # the larger has 460,676 bytes
    layouts=("house-prices-advanced-regression-techniques",),  # Kaggle's
    also={TRAIN: ("train.csv",), TEST: ("test.csv",)},  # Kaggle's
    suffix="",
    instead="give dataset=linear or dataset=polynomial, which need no files",
)
ID, TARGET = "Id", "SalePrice"
MISSING = ("na", "")  # not "None": it is a value (MasVnrType: no veneer), although pandas 2 reads it as missing


def load(
    dir: str | None,
    fit: str,
    mirrors: Sequence[str],
    group: str | None = None,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> TableDataset:
    """Return the dataset on the CPU, standardised with its training rows (``fit`` train) or with all rows (all).

    The book uses all rows. This is a leak: the held-out rows change the mean and deviation that standardise them.
    With train, ``fitted`` uses only the rows that train. Raises Refused.
    """
    found = locate(files, dir, mirrors, say, progress)
    train, test = (
        read_sheet(found[name].origin, found[name].content.decode("utf-8"), MISSING) for name in (TRAIN, TEST)
    )
    if train.columns.keys() - {TARGET} != test.columns.keys() or not {ID, TARGET} <= train.columns.keys():
        raise faulty(found[TRAIN], f"wanted the columns of {found[TEST].origin}, and {TARGET}")
    return build(
        "house-prices",
        train,
        test,
        Roles(TARGET, ID, group_in(train, group)),
        logarithmic=True,
        whole=fit == "all",
        contents=[Content(file.origin, file.sha256) for file in found.values()],
        pools={"train": found[TRAIN].sha256, "test": found[TEST].sha256},
    )


def faulty(file: Found, what: str) -> Refused:
    """Return the Refused for an invalid file."""
    return Refused(f"{file.origin}: {what}", "wanted: Kaggle's train.csv and test.csv of house prices")
