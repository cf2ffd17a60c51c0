"""Providers through the API: the fields of the seed's example, and what is refused."""

from tests.api.conftest import Api

EXAMPLE = {
    "type": "sip",
    "hostname": "sip.telnyx.com",
    "tech_prefix": "",
    "tech_postfix": "",
    "tech_headers": {"X-B": "2", "X-A": "1"},
    "name": "telnyx basic",
    "detail": "telnyx basic",
}


async def test_a_provider_is_created_read_changed_and_deleted(api: Api) -> None:
    made = await api.root.post("/v1.0/providers", EXAMPLE)
    assert {name: made[name] for name in EXAMPLE} == EXAMPLE
    assert list(made["tech_headers"]) == ["X-B", "X-A"]  # headers are sent in their order
    assert (made["health_status"], made["tm_delete"], made["no_reply_timeout"]) == ("unknown", None, 4.0)
    path = f"/v1.0/providers/{made['id']}"
    assert await api.root.get(path) == made
    changed = await api.root.put(path, {"tech_prefix": "9", "tech_headers": None})
    assert (changed["tech_prefix"], changed["tech_headers"], changed["hostname"]) == ("9", {}, "sip.telnyx.com")
    assert [row["id"] for row in (await api.root.get("/v1.0/providers", name="telnyx basic"))["result"]] == [made["id"]]
    assert (await api.root.delete(path))["tm_delete"]
    assert (await api.root.get(path, 404))["reason"] == "PROVIDER_NOT_FOUND"


async def test_a_password_is_kept_and_never_shown(api: Api) -> None:
    made = await api.root.post("/v1.0/providers", EXAMPLE | {"username": "u", "password": "secret"})
    path = f"/v1.0/providers/{made['id']}"
    await api.root.put(path, {"detail": "x"})
    async with api.store.read() as connection:
        from store import rows
        from store.database import tables
        from store.directory.mapping import provider_of

        row = (await rows.page(connection, tables.providers)).rows[0]
    assert provider_of(row).password == "secret"
    assert "secret" not in str(made) + str(await api.root.get(path))


async def test_what_is_wrong_is_named_with_its_reason(api: Api) -> None:
    async def reason(**change: object) -> tuple[str, str]:
        error = await api.root.post("/v1.0/providers", EXAMPLE | change, 400)
        return error["reason"], error["details"][0]["field"]

    assert await reason(tech_headers={"Via": "x"}) == ("INVALID_TECH_HEADER", "tech_headers")
    assert await reason(tech_headers={"X-A": "a\r\nVia: b"}) == ("INVALID_TECH_HEADER", "tech_headers")
    assert await reason(hostname="not a host") == ("INVALID_REQUEST_PARAMETER", "hostname")
    assert await reason(max_cps=-1) == ("INVALID_REQUEST_PARAMETER", "max_cps")
    assert await reason(id="4dbeabd6-f397-4375-95d2-a38411e07ed1") == ("INVALID_REQUEST_PARAMETER", "id")
    assert (await api.root.post("/v1.0/providers", {"name": "x"}, 400))["reason"] == "MISSING_REQUEST_PARAMETER"
    made = await api.root.post("/v1.0/providers", EXAMPLE)
    assert (await api.root.post("/v1.0/providers", EXAMPLE, 409))["reason"] == "NAME_ALREADY_EXISTS"
    path = f"/v1.0/providers/{made['id']}"
    assert (await api.root.put(path, {"hostname": None}, 400))["details"][0]["field"] == "hostname"
    assert (await api.root.put(path, {"tech_postfix": "@"}, 400))["details"][0]["field"] == "tech_postfix"


async def test_a_provider_in_use_is_not_deleted(api: Api) -> None:
    made = await api.root.post("/v1.0/providers", EXAMPLE)
    route = await api.root.post("/v1.0/routes", {"provider_id": made["id"], "target": "+44"})
    error = await api.root.delete(f"/v1.0/providers/{made['id']}", 409)
    assert (error["reason"], error["status"]) == ("PROVIDER_IN_USE", "FAILED_PRECONDITION")
    assert f"provider {EXAMPLE['name']} is still used by 1 route;" in error["message"]
    await api.root.delete(f"/v1.0/routes/{route['id']}")
    await api.root.delete(f"/v1.0/providers/{made['id']}")


async def test_providers_and_routes_are_the_super_admins(api: Api) -> None:
    admin = await api.client("customer_admin")
    for path in ("/v1.0/providers", "/v1.0/routes"):
        assert (await admin.get(path, 403))["reason"] == "PERMISSION_DENIED"


async def test_a_provider_may_want_its_calls_media_anchored(api: Api) -> None:
    made = await api.root.post("/v1.0/providers", EXAMPLE | {"media": "anchor"})
    path = f"/v1.0/providers/{made['id']}"
    assert (await api.root.get(path))["media"] == "anchor"
    assert (await api.root.put(path, {"media": None}))["media"] == ""
    await api.root.post("/v1.0/providers", EXAMPLE | {"name": "other", "media": "relay"}, 400)


async def test_tls_of_a_provider_is_taken_as_a_whole_and_its_files_are_whole_paths(api: Api) -> None:
    plain = {"verify": True, "ca": "", "certificate": "", "key": "", "names": [], "allow_wildcards": False}
    given = plain | {"ca": "/etc/ca.pem", "names": ["carrier.example"], "allow_wildcards": True}
    made = await api.root.post("/v1.0/providers", EXAMPLE | {"transport": "tls", "tls": given})
    path = f"/v1.0/providers/{made['id']}"
    assert made["tls"] == given == (await api.root.get(path))["tls"]
    assert (await api.root.put(path, {"tls": {"verify": False}}))["tls"] == plain | {"verify": False}
    assert (await api.root.put(path, {"tls": None}))["tls"] == plain

    async def refused(**tls: object) -> tuple[str, str]:
        error = await api.root.put(path, {"tls": tls}, 400)
        return error["details"][0]["field"], error["message"]

    assert await refused(ca="ca.pem") == (
        "tls.ca",
        "tls.ca: 'ca.pem' is no whole path; write one that begins with /, of a file on the engine's machine",
    )
    assert (await refused(certificate="/c.pem"))[0].startswith("tls")
    assert (await refused(names=["carrier.example:5061"]))[0].startswith("tls.names")
    assert (await refused(verify="yes"))[0] == "tls.verify"
    assert (await refused(unknown=1))[0] == "tls.unknown"
    assert (await api.root.get(path))["tls"] == plain
