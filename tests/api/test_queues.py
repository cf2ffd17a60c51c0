"""A resource with nothing special about it: what lists, creations, changes and deletions do everywhere."""

from uuid import uuid4

from tests.api.conftest import Api


async def test_a_queue_is_created_read_changed_and_deleted(api: Api) -> None:
    admin = await api.client()
    made = await admin.post("/v1.0/queues", {"name": "sales", "wait_timeout": 1000})
    assert made["customer_id"] == str(admin.customer_id)
    assert made["tm_create"].endswith("Z") and len(made["tm_create"]) == 27
    path = f"/v1.0/queues/{made['id']}"
    assert await admin.get(path) == made
    changed = await admin.put(path, {"detail": "the sales team", "wait_timeout": None})
    assert (changed["name"], changed["detail"], changed["wait_timeout"]) == ("sales", "the sales team", 0)
    assert (await admin.delete(path))["tm_delete"]
    assert (await admin.get(path, 404))["reason"] == "QUEUE_NOT_FOUND"
    assert await admin.get("/v1.0/queues") == {"result": [], "next_page_token": ""}


async def test_what_cannot_be_empty_is_not_cleared(api: Api) -> None:
    admin = await api.client()
    made = await admin.post("/v1.0/queues", {})
    error = await admin.put(f"/v1.0/queues/{made['id']}", {"routing_method": None}, 400)
    assert error["details"][0]["field"] == "routing_method"


async def test_unknown_fields_and_parameters_are_refused(api: Api) -> None:
    admin = await api.client()
    error = await admin.post("/v1.0/queues", {"nmae": "x"}, 400)
    assert error["details"] == [
        {"field": "nmae", "reason": "INVALID_REQUEST_PARAMETER", "message": "is not known here; did you mean name?"}
    ]
    assert (await admin.get("/v1.0/queues", 400, nmae="x"))["reason"] == "INVALID_REQUEST_PARAMETER"


async def test_pages_lose_and_repeat_no_row_when_rows_share_a_timestamp(api: Api) -> None:
    admin = await api.client()
    moment = api.store.clock()
    api.store.clock = lambda: moment
    made = {(await admin.post("/v1.0/queues", {}))["id"] for _ in range(7)}
    seen: list[str] = []
    token = ""
    while True:
        page = await admin.get("/v1.0/queues", page_size=2, page_token=token)
        seen += [row["id"] for row in page["result"]]
        token = page["next_page_token"]
        if not token:
            break
    assert len(seen) == 7 and set(seen) == made
    assert (await admin.get("/v1.0/queues", 400, page_token="x"))["reason"] == "INVALID_REQUEST_PARAMETER"


async def test_pages_lose_and_repeat_no_row_while_rows_come_and_go(api: Api) -> None:
    admin = await api.client()
    made = [(await admin.post("/v1.0/queues", {}))["id"] for _ in range(6)][::-1]
    page = await admin.get("/v1.0/queues", page_size=2)
    seen = [row["id"] for row in page["result"]]
    await admin.post("/v1.0/queues", {})  # newer than the page that was read
    await admin.delete(f"/v1.0/queues/{seen[-1]}")  # the row at which the next page begins
    await admin.put(f"/v1.0/queues/{made[-1]}", {"name": "changed"})
    while page["next_page_token"]:
        page = await admin.get("/v1.0/queues", page_size=2, page_token=page["next_page_token"])
        seen += [row["id"] for row in page["result"]]
    assert seen == made


async def test_another_customers_queue_does_not_exist(api: Api) -> None:
    mine, other = await api.client(), await api.client()
    made = await mine.post("/v1.0/queues", {})
    path = f"/v1.0/queues/{made['id']}"
    for error in (await other.get(path, 404), await other.put(path, {}, 404), await other.delete(path, 404)):
        assert error["reason"] == "QUEUE_NOT_FOUND"
    assert (await other.post("/v1.0/queues", {"customer_id": str(mine.customer_id)}, 403))[
        "status"
    ] == "PERMISSION_DENIED"
    assert (await api.root.get(path))["id"] == made["id"]


async def test_errors_of_every_kind_come_in_the_envelope(api: Api) -> None:
    admin = await api.client()
    assert (await api.nobody.get("/v1.0/queues", 401))["reason"] == "AUTHENTICATION_REQUIRED"
    assert (await api.nobody.get("/v1.0/queues", 401, token="tk_wrong"))["reason"] == "INVALID_CREDENTIALS"
    assert (await admin.get("/v1.0/nothing", 404))["reason"] == "PATH_NOT_FOUND"
    assert (await admin.ask("PATCH", "/v1.0/queues", 405))["reason"] == "METHOD_NOT_ALLOWED"
    assert (await admin.get("/v1.0/queues/7", 400))["reason"] == "INVALID_ID"
    broken = await admin.ask("POST", "/v1.0/queues", 400, content=b"{", headers={"Content-Type": "application/json"})
    assert broken["reason"] == "INVALID_JSON_BODY"
    assert (await admin.get(f"/v1.0/queues/{uuid4()}", 404))["reason"] == "QUEUE_NOT_FOUND"
    agent = await api.client("customer_agent", admin.customer_id)
    assert (await agent.post("/v1.0/queues", {}, 403))["reason"] == "PERMISSION_DENIED"
