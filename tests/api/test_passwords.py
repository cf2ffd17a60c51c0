"""What the hashes of passwords are made of. Everywhere else tests have cheap ones."""

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from api.http import passwords
from api.http.passwords import hash_password, password_fits


@pytest.mark.usefixtures("real_passwords")
async def test_a_hash_costs_what_rfc_9106_recommends() -> None:
    """RFC 9106 §4: 64 MiB, three passes, four lanes, where memory is scarce. What is compared with when there is no
    such user costs the same, or the time of the answer would tell."""
    made = await hash_password("a long password")
    assert await password_fits("a long password", made)
    assert not await password_fits("another password", made)
    parameters = extract_parameters(made)
    assert (parameters.type, parameters.salt_len, parameters.hash_len) == (Type.ID, 16, 32)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (65536, 3, 4)
    assert extract_parameters(passwords._nobody) == parameters


async def test_a_hash_of_other_parameters_is_still_good() -> None:
    """Hashes say what they were made with: a store outlives changes of it."""
    earlier = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("a long password")
    assert "m=16,t=2,p=1" in earlier and "m=16,t=2,p=1" not in await hash_password("a long password")
    assert await password_fits("a long password", earlier)
    assert not await password_fits("another password", earlier)


async def test_no_password_fits_nobody_nor_an_account_without_one() -> None:
    for nothing in (None, "", "no hash at all"):
        assert not await password_fits("nobody has this password", nothing)
