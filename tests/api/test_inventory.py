"""The inventory, and the search in it. On both databases."""

from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from api.resources.numbers import csv_upload
from routing.numbers.numbering import checked_number
from store.database import tables
from store.feed import EVERYTHING
from tests.api.conftest import Api, Client

NIL = "00000000-0000-0000-0000-000000000000"
PROVIDER = {"name": "primary", "hostname": "sip.example.net"}
CSV = {"Content-Type": "text/csv; charset=utf-8"}


@pytest.fixture
def api(api_on: Api) -> Api:
    return api_on


async def upload(api: Api, text: str | bytes, status: int = 200) -> Any:
    return await api.root.ask("POST", "/v1.0/inventory", status, content=text, headers=CSV)


async def offered(client: Client, path: str = "available_numbers", **params: Any) -> list[str]:
    found = await client.ask("GET", f"/v1.0/{path}", 200, params=params)
    return [row["number"] for row in found["result"]]


# ---- one by one


@pytest.mark.parametrize("written", ["0044 (0)20 7946 0123", "tel:+44-20-7946-0123", "+4402079460123#"])
async def test_a_number_is_offered_provisioned_and_found_in_any_form(api: Api, written: str) -> None:
    assert (await api.root.post("/v1.0/inventory", {"number": written}))["number"] == "+442079460123"
    again = await upload(api, f'number\n{written}\n"00 44 20 7946 0123"\n+44 20 7946 0124\n2125551234\n')
    assert (again["added"], again["unchanged"], again["refused"]) == (1, 1, 2)
    assert [error["reason"] for error in again["errors"]] == ["NUMBER_ALREADY_EXISTS", "INVALID_NUMBER"]
    assert await offered(api.root, "inventory", number=written) == ["+442079460123"]
    taken = await api.root.post("/v1.0/numbers", {"number": written, "origin": "provisioned"})
    assert taken["number"] == "+442079460123"
    extension = {"name": "alice", "password": "a long password", "caller_id": written}
    assert (await api.root.post("/v1.0/extensions", extension))["caller_id"] == "+442079460123"


async def test_a_number_is_put_on_offer_and_withdrawn(api: Api) -> None:
    provider = await api.root.post("/v1.0/providers", PROVIDER)
    body = {"number": "+1 800 555-1234", "provider_id": provider["id"], "price": 2_000_000, "name": "vanity"}
    made = await api.root.post("/v1.0/inventory", body)
    assert made == {
        "id": made["id"],
        "number": "+18005551234",
        "type": "normal",
        "name": "vanity",
        "provider_id": provider["id"],
        "price": 2_000_000,
        "country": "US",
        "region": "",
        "city": "",
        "kind": "toll_free",
        "declared_in": "",
        "tm_create": made["tm_create"],
        "tm_update": made["tm_create"],
        "tm_delete": None,
    }
    again = await api.root.post("/v1.0/inventory", {"number": "+18005551234"}, 409)
    assert again["reason"] == "NUMBER_ALREADY_EXISTS"
    assert (await api.root.delete(f"/v1.0/providers/{provider['id']}", 409))["reason"] == "PROVIDER_IN_USE"
    gone = await api.root.delete(f"/v1.0/inventory/{made['id']}")
    assert gone == made | {"tm_update": gone["tm_delete"], "tm_delete": gone["tm_delete"]} and gone["tm_delete"]
    assert (await api.root.delete(f"/v1.0/inventory/{made['id']}", 404))["reason"] == "NUMBER_NOT_FOUND"
    error = await api.root.post("/v1.0/numbers", {"number": "+18005551234"}, 409)
    assert error["reason"] == "NUMBER_NOT_AVAILABLE"
    assert (await api.root.post("/v1.0/inventory", {"number": "+18005551234"}))["id"] != made["id"]


async def test_what_is_released_can_be_put_on_offer_again(api: Api) -> None:
    await api.root.post("/v1.0/inventory", {"number": "+14155552671"})
    number = await api.root.post("/v1.0/numbers", {"number": "+14155552671", "name": "mine"})
    error = await api.root.delete(f"/v1.0/inventory/{number['id']}", 409)
    assert error["reason"] == "NUMBER_STATE_INVALID"
    await api.root.delete(f"/v1.0/numbers/{number['id']}")
    (offered,) = (await api.root.get("/v1.0/inventory"))["result"]
    await api.root.delete(f"/v1.0/inventory/{offered['id']}")
    await api.root.post("/v1.0/inventory", {"number": "+14155552671"})
    second = await (await api.client()).post("/v1.0/numbers", {"number": "+14155552671"})
    assert second["id"] != number["id"] and second["name"] == ""


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({}, "number", "MISSING_REQUEST_PARAMETER"),
        ({"number": "+1415"}, "number", "INVALID_NUMBER"),
        ({"number": "+899100000001"}, "number", "INVALID_NUMBER"),
        ({"number": "+899000000001"}, "number", "VIRTUAL_NUMBER_RESERVED"),
        ({"number": "+14155552671", "price": -1}, "price", "INVALID_REQUEST_PARAMETER"),
        ({"number": "+14155552671", "country": "XX"}, "country", "INVALID_REQUEST_PARAMETER"),
        ({"number": "+14155552671", "kind": "virtual"}, "kind", "INVALID_REQUEST_PARAMETER"),
        ({"number": "+14155552671", "city": "a\x00"}, "city", "INVALID_REQUEST_PARAMETER"),
        ({"number": "+14155552671", "status": "active"}, "status", "INVALID_REQUEST_PARAMETER"),
    ],
)
async def test_what_cannot_be_offered(api: Api, body: dict[str, Any], field: str, reason: str) -> None:
    error = await api.root.post("/v1.0/inventory", body, 400)
    assert (error["reason"], error["details"][0]["field"]) == (reason, field)


async def test_a_body_that_is_neither_json_nor_csv(api: Api) -> None:
    for content in (b"{", b"[]", b"", b"\xff", b"1" * 5000, b"[" * 100_000):
        error = await api.root.ask("POST", "/v1.0/inventory", 400, content=content)
        assert error["reason"] == "INVALID_JSON_BODY"
    error = await api.root.post("/v1.0/inventory", {"number": "+14155552671", "provider_id": str(uuid4())}, 400)
    assert error["reason"] == "PROVIDER_NOT_FOUND"


async def test_the_inventory_is_listed(api: Api) -> None:
    provider = await api.root.post("/v1.0/providers", PROVIDER)
    for number in ("+14155552671", "+14155552672", "+14155552673"):
        await api.root.post("/v1.0/inventory", {"number": number})
    await api.root.post("/v1.0/inventory", {"number": "+442079460123", "provider_id": provider["id"]})
    await api.root.post("/v1.0/numbers", {"number": "+14155552672"})
    every = ["+442079460123", "+14155552673", "+14155552671"]
    assert await offered(api.root, "inventory") == every
    assert await offered(api.root, "inventory", country="us") == every[1:]
    assert await offered(api.root, "inventory", number="+14155552671") == every[2:]
    assert await offered(api.root, "inventory", provider_id=provider["id"]) == every[:1]
    page = await api.root.get("/v1.0/inventory", page_size=2)
    rest = await api.root.get("/v1.0/inventory", page_size=2, page_token=page["next_page_token"])
    assert [row["number"] for row in page["result"] + rest["result"]] == every and not rest["next_page_token"]


# ---- the search


async def test_numbers_are_searched(api: Api) -> None:
    lines = [
        "number,type,region,city",
        "+14155552671,,California,San Francisco",
        "+14155552672,,California,Los Angeles",
        "+18005551234,,,",
        "+821012345678,,,S\u00e3o",
        "+443001234567,,,",
    ]
    await upload(api, "\n".join(lines))
    agent = await api.client("customer_agent")
    every = ["+443001234567", "+821012345678", "+14155552671", "+14155552672", "+18005551234"]
    assert await offered(agent) == every == await offered(agent, "number_availables", type="normal")
    assert await offered(agent, country="us") == every[2:] == await offered(agent, country_code="US")
    assert await offered(agent, country="US", country_code="us", type="toll_free") == ["+18005551234"]
    assert await offered(agent, type="local") == ["+14155552671", "+14155552672"]
    assert await offered(agent, type="mobile") == ["+821012345678"]
    assert await offered(agent, type="national") == ["+443001234567"]
    assert await offered(agent, region="california", city="LOS ANGELES") == ["+14155552672"]
    assert await offered(agent, city="S\u00e3o") == ["+821012345678"]
    assert await offered(agent, contains="555") == every[2:]
    assert await offered(agent, contains="+1415") == ["+14155552671", "+14155552672"]
    assert await offered(agent, contains="+415") == []
    assert await offered(agent, country="KP") == []
    raw = await agent.ask("GET", "/v1.0/available_numbers?contains=+44", 200)
    assert [row["number"] for row in raw["result"]] == ["+443001234567"]
    assert (await agent.get("/v1.0/available_numbers", 400, country="US", country_code="GB"))["details"]
    for wrong in ({"country": "USA"}, {"type": "big"}, {"contains": "%"}, {"page_token": "x"}, {"region": "a\x00"}):
        assert (await agent.get("/v1.0/available_numbers", 400, **wrong))["reason"] == "INVALID_REQUEST_PARAMETER"


async def test_the_search_goes_on_where_a_page_ended(api: Api) -> None:
    numbers = [f"+1415555267{digit}" for digit in range(7)] + ["+442079460123", "+821012345678", "+80012345678"]
    await upload(api, "\n".join(["number", *numbers]))
    agent = await api.client("customer_agent")
    found: list[str] = []
    token = ""
    for _ in range(4):
        page = await agent.get("/v1.0/available_numbers", page_size=3, page_token=token)
        found += [row["number"] for row in page["result"]]
        token = page["next_page_token"]
        if len(found) == 3:
            # What somebody takes meanwhile moves nothing.
            await api.root.post("/v1.0/numbers", {"number": found[0]})
    assert token == "" and len(found) == len(set(found)) == 10 and set(found) == set(numbers)


async def test_virtual_numbers_are_found_and_can_be_had(api: Api) -> None:
    customer = await api.customer(tier="unlimited")
    admin = await api.client(customer_id=customer)
    page = await admin.get("/v1.0/available_numbers", type="virtual", page_size=5, country="US")
    assert len(page["result"]) == 5 and page["next_page_token"] == ""
    assert page["result"][0] == {
        "number": page["result"][0]["number"],
        "country": "",
        "type": "virtual",
        "region": "",
        "city": "",
        "price": 0,
    }
    for row in page["result"]:
        assert checked_number(row["number"]) == row["number"] and not row["number"].startswith("+899000")
        await admin.post("/v1.0/numbers", {"number": row["number"]})
    many = await offered(admin, type="virtual", page_size=1000)
    assert len(set(many)) == 1000


@pytest.mark.parametrize(
    ("contains", "beginning", "count"),
    [
        ("1234", "+899", 20),
        ("99", "+899", 20),
        ("+89912", "+89912", 20),
        ("+8", "+899", 20),
        ("123456789", "+899123456789", 1),
        ("+899123456789", "+899123456789", 1),
        ("+899000", "", 0),
        ("+14", "", 0),
        ("1234567890", "", 0),
    ],
)
async def test_virtual_numbers_with_certain_digits(api: Api, contains: str, beginning: str, count: int) -> None:
    found = await offered(api.root, type="virtual", page_size=20, contains=contains)
    assert len(found) == count
    assert all(contains in number and number.startswith(beginning) and len(number) == 13 for number in found)


async def test_virtual_numbers_that_somebody_has_are_not_found(api: Api) -> None:
    await api.root.post("/v1.0/numbers", {"number": "+899123456789"})
    assert await offered(api.root, type="virtual", contains="123456789") == []


# ---- CSV


async def test_a_csv_file_is_taken_line_by_line(api: Api) -> None:
    provider = await api.root.post("/v1.0/providers", PROVIDER)
    await api.root.post("/v1.0/inventory", {"number": "+14155552680"})
    await api.root.post("/v1.0/numbers", {"number": "+14155552680"})
    lines = [
        "Number , provider,price,region,city",
        "+14155552671,primary,1000000,California,San Francisco",
        f"+1 415 555 2672,{provider['id'].upper()},,California,Los Angeles",
        '+442079460123,,250000,"London, Inner",',
        "+14155552671,primary,1,,",
        "+1415,primary,1,,",
        "+14155552673,nobody,1,,",
        "+14155552674,primary,free,,",
        "",
        "+899123456789,,,,",
        "+14155552680,,,,",
        "+14155552675,,,San Francisco, CA, US",
        "+14155552676",
    ]
    result = await upload(api, ("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    assert {name: result[name] for name in ("lines", "added", "changed", "unchanged", "refused")} == {
        "lines": 12,
        "added": 4,
        "changed": 0,
        "unchanged": 0,
        "refused": 7,
    }
    assert sorted((error["line"], error["number"], error["reason"]) for error in result["errors"]) == [
        (5, "+14155552671", "NUMBER_ALREADY_EXISTS"),
        (6, "+1415", "INVALID_NUMBER"),
        (7, "+14155552673", "PROVIDER_NOT_FOUND"),
        (8, "+14155552674", "INVALID_REQUEST_PARAMETER"),
        (10, "+899123456789", "INVALID_NUMBER"),
        (11, "+14155552680", "NUMBER_ALREADY_EXISTS"),
        (12, "+14155552675", "INVALID_REQUEST_PARAMETER"),
    ]
    assert all(error["message"] for error in result["errors"])
    found = {row["number"]: row for row in (await api.root.get("/v1.0/inventory"))["result"]}
    assert set(found) == {"+14155552671", "+14155552672", "+442079460123", "+14155552676"}
    assert found["+14155552671"]["price"] == 1_000_000 and found["+14155552671"]["provider_id"] == provider["id"]
    assert found["+14155552672"]["provider_id"] == provider["id"] and found["+14155552672"]["city"] == "Los Angeles"
    assert (found["+442079460123"]["country"], found["+442079460123"]["region"]) == ("GB", "London, Inner")
    assert found["+14155552676"]["provider_id"] == NIL


async def test_the_same_file_again_changes_nothing_and_another_one_what_it_says(api: Api) -> None:
    text = "number,price,city\n+14155552671,1,Belmont\n+14155552672,2,\n"
    assert (await upload(api, text))["added"] == 2
    first = (await api.root.get("/v1.0/inventory"))["result"]
    again = await upload(api, text)
    assert (again["added"], again["changed"], again["unchanged"], again["errors"]) == (0, 0, 2, [])
    assert (await api.root.get("/v1.0/inventory"))["result"] == first
    other = await upload(api, text.replace(",2,", ",5,"))
    assert (other["added"], other["changed"], other["unchanged"]) == (0, 1, 1)
    assert [row["price"] for row in (await api.root.get("/v1.0/inventory", number="+14155552672"))["result"]] == [5]


async def test_a_file_that_goes_wrong_midway_keeps_what_came_before(api: Api) -> None:
    result = await upload(api, 'number,city\n+14155552671,Belmont\n+14155552672,"Bel"mont\n+14155552673,\n')
    assert (result["added"], result["refused"]) == (1, 1) and result["errors"][0]["line"] == 3
    assert await offered(api.root, "inventory") == ["+14155552671"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must name the columns"),
        (b"city\nBelmont\n", "must name the columns"),
        (b"number,colour\n+14155552671,red\n", "colour: is not known"),
        (b"number,type,kind\n+14155552671,local,local\n", "twice"),
        (b"number\n+14155552671\n\xff\n", "line 3 is not UTF-8"),
        (b'number,"ci"ty\n', "is no CSV"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_whole(api: Api, content: bytes, words: str) -> None:
    error = await upload(api, content, 400)
    assert words in error["message"]
    assert await offered(api.root, "inventory") == []


async def test_files_have_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_upload, "MOST_LINES", 2)
    monkeypatch.setattr(csv_upload, "MOST_ERRORS", 1)
    assert (await upload(api, "number\n+14155552671\n+14155552672\n"))["errors"] == []
    result = await upload(api, "number\nx\ny\n+14155552673\n")
    assert (result["lines"], result["added"], result["refused"], len(result["errors"])) == (2, 0, 3, 1)


async def test_directories_learn_of_many_numbers_in_one_change(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_upload, "AT_ONCE", 3)
    monkeypatch.setattr(csv_upload, "MANY", 4)
    told: list[Any] = []
    api.store.hooks.changes.append(told.extend)
    await upload(api, "\n".join(["number", *(f"+1415555267{digit}" for digit in range(4))]))
    assert sorted(change.key for change in told) == [f"+1415555267{digit}" for digit in range(4)]
    told.clear()
    await upload(api, "\n".join(["number", *(f"+1415555268{digit}" for digit in range(8))]))
    assert [change.key for change in told if change.kind == "number"] and told[-1] == EVERYTHING
    assert sum(change == EVERYTHING for change in told) == 1


async def test_what_a_file_of_the_configuration_declares_is_not_overwritten(api: Api) -> None:
    async with api.store.write() as transaction:
        now = transaction.now
        row = {
            "id": uuid4(),
            "number": "+14155552671",
            "status": "available",
            "type": "normal",
            "customer_id": UUID(NIL),
        }
        times = {"tm_create": now, "tm_update": now, "declared_in": "trunkline.yaml"}
        await transaction.execute(sa.insert(tables.numbers), row | times)
    result = await upload(api, "number,price\n+14155552671,1\n")
    assert (result["refused"], result["errors"][0]["reason"]) == (1, "DECLARED_IN_FILE")


async def test_both_kinds_of_bodies_and_both_answers_are_documented(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    operation = document["paths"]["/v1.0/inventory"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "text/csv"}
    assert "number" in operation["requestBody"]["content"]["application/json"]["schema"]["required"]
    assert {"200", "201", "400", "409"} <= set(operation["responses"])
    for path in ("/v1.0/available_numbers", "/v1.0/number_availables"):
        assert "type" in {parameter["name"] for parameter in document["paths"][path]["get"]["parameters"]}
