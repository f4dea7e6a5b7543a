"""The ids that other systems hold: one value in Python, in SQLite and in PostgreSQL, for ever."""

from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.factory import Factory
from app.storage.record_ids import (
    certification_id,
    endorsement_id,
    sql_certification_id,
    sql_endorsement_id,
)
from tests.support.imports import select

# What a stored text can hold: white space is collapsed and control characters are refused.
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("default", "E1", "L1", "Level II"), "c569334c-87b9-bb42-858e-05464679f84a"),
        (("default", "E1", "L1", ""), "3f240e88-7b50-36d3-03b9-cd949734d25c"),
        (("default", "É1", "Nº 7", "Niveau 1"), "65405f59-26ad-15da-4aea-50b97f880607"),
    ],
)
def test_known_certifications(parts: tuple[str, str, str, str], expected: str) -> None:
    assert certification_id(*parts) == UUID(expected)


def test_known_endorsement() -> None:
    certification = UUID("c569334c-87b9-bb42-858e-05464679f84a")
    assert endorsement_id(certification, "2-05", 1) == UUID("62158c08-5e88-34c7-1828-d34d33ca7b8b")


def test_neighbouring_parts_are_told_apart() -> None:
    assert certification_id("d", "E1", "1L", "") != certification_id("d", "E11", "L", "")
    assert endorsement_id(UUID(int=1), "1", 11) != endorsement_id(UUID(int=1), "11", 1)


@given(parts=st.tuples(texts, texts, texts, texts), code=texts, ordinal=st.integers(1, 10_000))
@hypothesis_settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_both_databases_compute_what_python_does(
    factory: Factory, parts: tuple[str, str, str, str], code: str, ordinal: int
) -> None:
    certification = sql_certification_id(parts[0], *(sa.literal(part, sa.Text) for part in parts[1:]))
    endorsement = sql_endorsement_id(
        certification, sa.literal(code, sa.Text), sa.literal(ordinal, sa.BigInteger)
    )
    query = sa.select(certification.label("certification"), endorsement.label("endorsement"))
    (found,) = await select(factory, query)
    expected = certification_id(*parts)
    assert found == {"certification": expected, "endorsement": endorsement_id(expected, code, ordinal)}
