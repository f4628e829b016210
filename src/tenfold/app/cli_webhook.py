"""`tenfold webhook`: a tenant's endpoints as the operator sees and sets them, and what was delivered to them."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tenfold.app.cli_parts import configured, json_option, paged, run, show, table, tenant_option

if TYPE_CHECKING:
    from tenfold.app.settings import Settings
    from tenfold.app.webhooking import Webhooking
    from tenfold.core.principal import Principal
    from tenfold.webhooks.types import Attempt, Delivery, Endpoint

_events = click.option(
    "--event", "events", multiple=True, metavar="TYPE", help='Such as batch.completed, "batch.*" or "*". Repeatable.'
)
_description = click.option("--description", default=None, help="What it is for.")


@click.group()
def webhook() -> None:
    """Webhooks: a tenant's endpoints, and what was delivered to them. Running processes follow within a second."""


@webhook.command("create")
@click.argument("url")
@_events
@_description
@tenant_option
@json_option
@configured
def webhook_create(
    settings: "Settings", url: str, events: tuple[str, ...], description: str | None, slug: str, as_json: bool
) -> None:
    """Create an endpoint at URL. Its secret is printed once."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        made = await webhooks.admin.create(who.tenant_id, url, events=events or ("*",), description=description or "")
        told = _endpoint(made) | {"secret": made.secret}
        show(told, as_json, f"created {_endpoint_words(made)}\nsecret (shown once): {made.secret}")

    _with_webhooks(settings, slug, work)


@webhook.command("list")
@tenant_option
@paged
@json_option
@configured
def webhook_list(settings: "Settings", slug: str, limit: int, after: str | None, as_json: bool) -> None:
    """List the endpoints, the newest first."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        page = await webhooks.admin.list(who.tenant_id, cursor=after, limit=limit)
        told = {"items": [_endpoint(each) for each in page.items], "cursor": page.cursor}
        show(told, as_json, table([_endpoint_words(each) for each in page.items], page.cursor))

    _with_webhooks(settings, slug, work)


@webhook.command("show")
@click.argument("endpoint")
@tenant_option
@json_option
@configured
def webhook_show(settings: "Settings", endpoint: str, slug: str, as_json: bool) -> None:
    """Show the endpoint ENDPOINT (we_...)."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        found = await webhooks.admin.show(who.tenant_id, endpoint)
        show(_endpoint(found), as_json, _endpoint_words(found))

    _with_webhooks(settings, slug, work)


@webhook.command("set")
@click.argument("endpoint")
@click.option("--url", default=None, help="Where to.")
@_events
@click.option("--enabled/--disabled", "enabled", default=None, help="Whether anything is sent to it.")
@_description
@tenant_option
@json_option
@configured
def webhook_set(
    settings: "Settings",
    endpoint: str,
    url: str | None,
    events: tuple[str, ...],
    enabled: bool | None,
    description: str | None,
    slug: str,
    as_json: bool,
) -> None:
    """Change the endpoint ENDPOINT; what is not named stays. New events take the place of all old ones."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        changed = await webhooks.admin.change(
            who.tenant_id, endpoint, url=url, events=events or None, description=description, enabled=enabled
        )
        show(_endpoint(changed), as_json, f"set {_endpoint_words(changed)}")

    _with_webhooks(settings, slug, work)


@webhook.command("rotate")
@click.argument("endpoint")
@click.option("--grace-s", type=float, default=86_400.0, show_default=True, help="Seconds the old one signs, too.")
@tenant_option
@json_option
@configured
def webhook_rotate(settings: "Settings", endpoint: str, grace_s: float, slug: str, as_json: bool) -> None:
    """Give the endpoint ENDPOINT a new secret, which is printed once."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        rotated = await webhooks.admin.rotate(who.tenant_id, endpoint, grace_s=grace_s)
        told = _endpoint(rotated) | {"secret": rotated.secret}
        show(told, as_json, f"secret (shown once): {rotated.secret}")

    _with_webhooks(settings, slug, work)


@webhook.command("end")
@click.argument("endpoint")
@tenant_option
@json_option
@configured
def webhook_end(settings: "Settings", endpoint: str, slug: str, as_json: bool) -> None:
    """End the endpoint ENDPOINT: what waits to be delivered to it is dropped."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        await webhooks.admin.end(who.tenant_id, endpoint)
        show({"ended": endpoint}, as_json, f"ended {endpoint}")

    _with_webhooks(settings, slug, work)


@webhook.command("test")
@click.argument("endpoint")
@tenant_option
@json_option
@configured
def webhook_test(settings: "Settings", endpoint: str, slug: str, as_json: bool) -> None:
    """Send the endpoint ENDPOINT an event of the type webhook.test. A running worker does it."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        from tenfold.webhooks.names import DELIVERY, name_of

        job = await webhooks.log.test(who, endpoint)
        delivery = name_of(DELIVERY, job.id)
        show({"delivery": delivery}, as_json, f"on its way: {delivery}")

    _with_webhooks(settings, slug, work)


# -- the log ---------------------------------------------------------------------------------


@webhook.command("deliveries")
@click.argument("endpoint")
@click.option("--state", type=click.Choice(["waiting", "delivered", "failed"]), default=None, help="Only these.")
@tenant_option
@paged
@json_option
@configured
def webhook_deliveries(
    settings: "Settings", endpoint: str, state: str | None, slug: str, limit: int, after: str | None, as_json: bool
) -> None:
    """List what was delivered to the endpoint ENDPOINT and what was not, the newest first."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        page = await webhooks.log.list(who.tenant_id, endpoint, state=state, cursor=after, limit=limit)
        told = {"items": [_delivery(each) for each in page.items], "cursor": page.cursor}
        show(told, as_json, table([_delivery_words(each) for each in page.items], page.cursor))

    _with_webhooks(settings, slug, work)


@webhook.command("delivery")
@click.argument("delivery")
@tenant_option
@paged
@json_option
@configured
def webhook_delivery(
    settings: "Settings", delivery: str, slug: str, limit: int, after: str | None, as_json: bool
) -> None:
    """Show the delivery DELIVERY (dlv_...), what is posted, and its attempts, the newest first."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        found = await webhooks.log.show(who.tenant_id, delivery)
        page = await webhooks.log.attempts(who.tenant_id, delivery, cursor=after, limit=limit)
        told = _delivery(found) | {"body": found.body.decode(), "items": page.items, "cursor": page.cursor}
        lines = table([_attempt_words(each) for each in page.items], page.cursor)
        show(told, as_json, f"{_delivery_words(found)}\n{found.body.decode()}\n{lines}")

    _with_webhooks(settings, slug, work)


@webhook.command("redeliver")
@click.argument("name")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]),
    default=None,
    help="NAME is an endpoint: all that failed of events since then (UTC).",
)
@tenant_option
@json_option
@configured
def webhook_redeliver(settings: "Settings", name: str, since: datetime | None, slug: str, as_json: bool) -> None:
    """Deliver once more: the delivery NAME (dlv_...), or with --since what failed at the endpoint NAME (we_...)."""

    async def work(webhooks: "Webhooking", who: "Principal") -> None:
        from datetime import UTC

        if since is None:
            await webhooks.log.redeliver(who, name)
            show({"delivery": name}, as_json, f"on its way: {name}")
            return
        found = await webhooks.log.redeliver_failed(who, name, since.replace(tzinfo=UTC))
        more = "; there are more, ask again" if found.more else ""
        show(found, as_json, f"on their way: {found.count}{more}")

    _with_webhooks(settings, slug, work)


# -- shared ----------------------------------------------------------------------------------


def _with_webhooks(settings: "Settings", slug: str, work: Callable[["Webhooking", "Principal"], Any]) -> None:
    from tenfold.app.webhooking import open_webhooks

    async def opened() -> None:
        async with open_webhooks(settings) as webhooks:
            await work(webhooks, await webhooks.principal(slug))

    run(opened())


def _endpoint(endpoint: "Endpoint") -> dict[str, Any]:
    """Without what is secret."""
    from tenfold.webhooks.names import ENDPOINT, name_of

    return {
        "id": name_of(ENDPOINT, endpoint.id),
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "disabled_by": endpoint.disabled_by,
        "failing_since": endpoint.failing_since,
        "failures": endpoint.failures,
        "old_secret_until": endpoint.old_secret_until,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }


def _endpoint_words(endpoint: "Endpoint") -> str:
    from tenfold.webhooks.names import ENDPOINT, name_of

    state = "enabled" if endpoint.disabled_by is None else f"disabled ({endpoint.disabled_by})"
    failing = f", failing since {endpoint.failing_since:%Y-%m-%d %H:%M:%S}Z" if endpoint.failing_since else ""
    return f"{name_of(ENDPOINT, endpoint.id)}  {endpoint.url}: {', '.join(endpoint.events)}, {state}{failing}"


def _delivery(delivery: "Delivery") -> dict[str, Any]:
    from tenfold.webhooks.names import DELIVERY, ENDPOINT, EVENT, name_of

    return {
        "id": name_of(DELIVERY, delivery.id),
        "endpoint": name_of(ENDPOINT, delivery.endpoint_id),
        "event": name_of(EVENT, delivery.event_id),
        "type": delivery.type,
        "resource": delivery.resource,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": delivery.created_at,
        "last": delivery.last,
    }


def _delivery_words(delivery: "Delivery") -> str:
    from tenfold.webhooks.names import DELIVERY, name_of

    what = f"{delivery.type} {delivery.resource}"
    times = f"{delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    return f"{name_of(DELIVERY, delivery.id)}  {what}: {delivery.state}, {times}, last {_attempt_words(delivery.last)}"


def _attempt_words(attempt: "Attempt") -> str:
    said = attempt.error or f"{attempt.status} in {attempt.latency_ms} ms"
    return f"{attempt.at:%Y-%m-%d %H:%M:%S}Z  {said}"
