"""Why a run failed: through the machine, or by its values; and that no password is shown."""

from __future__ import annotations

import pickle
import sqlite3

import pytest
import sqlalchemy
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.errors import Diverged, Failed, InUse, Pruned, Refused, Stopped, cause_of, facts_of, masked

OF_MACHINE = [OSError(28, "No space left on device"), PermissionError("no"), ConnectionResetError(), TimeoutError()]
OF_MACHINE += [sqlite3.OperationalError("database or disk is full"), torch.AcceleratorError("CUDA error")]
OF_VALUES = [Diverged("loss nan"), Refused("too deep"), Failed("odd"), ValueError("odd"), ZeroDivisionError()]
OF_VALUES += [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("shapes differ")]


@given(st.sampled_from(OF_MACHINE + OF_VALUES), st.lists(st.sampled_from([Failed, Refused, RuntimeError]), max_size=4))
def test_the_cause_is_that_of_the_first_error(first, others):
    error = first
    for kind in others:  # as `raise … from …` does
        error, earlier = kind("told otherwise"), error
        error.__cause__ = earlier
    assert cause_of(error) == ("machine" if first in OF_MACHINE else "values")


def test_a_look_for_a_file_that_is_not_there_is_no_cause():
    with pytest.raises(Refused) as refusal:
        try:
            raise FileNotFoundError("no notes")
        except OSError:
            raise Refused("two values that do not go together") from None
    assert cause_of(refusal.value) == "values"


@pytest.mark.parametrize("error", [Stopped(15, "stopped"), Refused("no", "a hint"), Diverged("nan"), InUse("held")])
def test_another_process_can_raise_an_error(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)


@pytest.mark.parametrize("error", [Stopped(15, "stopped"), Pruned("pruned")])
def test_what_was_ended_on_purpose_has_no_cause(error):
    assert facts_of(error) == {"error": str(error)}


@given(st.text("us3r.@", max_size=5), st.text("pass word:/?#@&='\"", min_size=1))
def test_a_password_is_masked_whatever_is_in_it(user, password):
    assert masked(f"postgresql+psycopg://{user}:{password}@host:5432/db") == (
        f"postgresql+psycopg://{user}:***@host:5432/db"
    )


@given(st.text("user", min_size=1, max_size=5), st.text(min_size=1), st.sampled_from([None, 5432]))
def test_what_is_masked_is_what_sqlalchemy_masks(user, password, port):
    address = sqlalchemy.URL.create("postgresql", user, password, "host", port, "db")
    shown = address.render_as_string(hide_password=True)
    assert masked(address.render_as_string(hide_password=False)) == shown == masked(shown)


@pytest.mark.parametrize("key", ["password", "sslpassword", "PWD", "auth_token", "odbc_connect"])
def test_a_password_in_the_query_is_masked(key):
    assert (
        masked(f"error: mysql://host/db?a=1&{key}=s3cret&b=2 is lost")
        == f"error: mysql://host/db?a=1&{key}=***&b=2 is lost"
    )


@pytest.mark.parametrize(
    "text", ["sqlite:////tmp/study.db", "postgresql://user@host:5432/db?sslmode=require", "at 12:30 by a@b", "a: b/c@d"]
)
def test_what_has_no_password_stays(text):
    assert masked(text) == text
