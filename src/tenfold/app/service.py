"""One serving process: settings to objects, started and stopped in order. Only `app` knows concrete classes."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from msgspec import json

from tenfold import __version__
from tenfold.access.handlers import Tenants
from tenfold.access.keyring import Keyring
from tenfold.access.queries import KeyHint, PostgresAccessRows
from tenfold.app.accounting import Accounting, alert_figures, ceilings, correction_figures
from tenfold.app.alerts import Alerts, endpoint_of
from tenfold.app.background import Background
from tenfold.app.batch_tiers import hand_over
from tenfold.app.cache_pages import LiveLayers
from tenfold.app.caching import SemanticCache
from tenfold.app.corrections import Corrections
from tenfold.app.database import Database, watch
from tenfold.app.explaining import health_services
from tenfold.app.flagging import flag_services
from tenfold.app.indexing import Indexing
from tenfold.app.knowledge import Documentation, open_extractor
from tenfold.app.pages import build_console
from tenfold.app.precomputing import Precomputing
from tenfold.app.precomputing import policy_of as precompute_policy
from tenfold.app.resources import KINDS, Resources
from tenfold.app.routing import breaker_policy, features_of, heeds_keys, oldest_stale_s
from tenfold.app.scheduling import Scheduling
from tenfold.app.settings import Settings, environment
from tenfold.app.slo.alerts import SloAlerts
from tenfold.app.slo.book import SloBook, boot_of_machine
from tenfold.app.slo.meter import Meter
from tenfold.app.slo.shelf import FileShelf
from tenfold.app.slo.types import slos_of
from tenfold.app.support import SupportKnowledge, SupportParts
from tenfold.app.support import policy_of as support_policy
from tenfold.app.support_pages import StoreKnowledge, most_uploaded
from tenfold.app.telemetry import logs
from tenfold.app.telemetry.feed import CallFeed
from tenfold.app.telemetry.logs import CallLog
from tenfold.app.telemetry.metrics import CONTENT_TYPE, Figure, Metrics
from tenfold.app.telemetry.traces import SpanExporter
from tenfold.app.upstreams import build_providers, build_routes
from tenfold.app.webhook import Webhook
from tenfold.app.webhooking import webhook_services
from tenfold.assistant.assistant import FEATURE
from tenfold.cache.exact import ExactCache
from tenfold.cache.valkey import ValkeyAnswers
from tenfold.core.call import Call
from tenfold.core.clock import SystemClock
from tenfold.core.principal import Principal
from tenfold.core.write_batch import WriteBatch
from tenfold.edge.asgi import AsgiMount
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.edge.gateway import Dialects, Gateway
from tenfold.health import Healths
from tenfold.health.queries import TOPIC as BREAKERS_TOPIC
from tenfold.health.queries import PostgresBreakerRows
from tenfold.inference.background import BackgroundCaller
from tenfold.inference.degrade import Degrade
from tenfold.inference.lookup import Lookup
from tenfold.inference.offload import Offload
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.planner import Planner
from tenfold.inference.route import Route, Router
from tenfold.inference.structured import Structured
from tenfold.inference.tickets.handlers import Tickets
from tenfold.ledger.paces import Paces, PostgresPaceRows
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.reports.corrections import ReceiptCorrections
from tenfold.ledger.reports.handlers import Reports
from tenfold.providers.offline import smollm2
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.providers.offline.local_llm import LocalLlmProvider
from tenfold.providers.offline.provider import MODELS, OfflineProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Provider
from tenfold.providers.transport import HttpClient, Origin
from tenfold.retrieval.library import Library
from tenfold.rollout.book import Switches
from tenfold.store import Store
from tenfold.webhooks.outbox import WebhookOutbox
from tenfold.webhooks.ports import TOPIC as WEBHOOKS_TOPIC
from tenfold.webhooks.queries import PostgresWebhookRows

logger = logging.getLogger(__name__)

SAVE_METRICS_S = 1.0

Tap = Callable[[list[Call]], None]


class Service:
    """`start`, then `handle` for each request, then `stop`. One that does not serve has no `handle`."""

    def __init__(self, settings: Settings, *, does_jobs: bool, serves: bool = True) -> None:
        self._settings = settings
        self._does_jobs = does_jobs
        self._serves = serves
        self._resources = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._supervisor = os.getppid()
        self.batch = WriteBatch(asyncio.get_running_loop())
        self._clock = SystemClock()
        self._webhook: Webhook | None = None
        self._metrics = Metrics(settings.home / "run" / "metrics")
        slos = slos_of(settings.slo)
        self._meter = Meter(slos)
        shelf = FileShelf(settings.home / "slo-counts")
        self._slo_book = SloBook(slos, self._meter, shelf, self._clock, boot=boot_of_machine())

    async def start(self) -> None:
        """Raises SettingsError, StoreUnavailable."""
        settings = self._settings
        logs.configure(settings.telemetry.log_level)
        store = await self._open_store()
        accounting = await self._open_accounting(store)
        hint = KeyHint()
        await hint.listen(store)
        rows = PostgresAccessRows(store)
        keyring = await self._resources.enter_async_context(Keyring(rows, self._clock, hint))

        cache = ExactCache(
            max_bytes=settings.cache.max_bytes,
            max_entry_bytes=settings.cache.max_entry_bytes,
            ttl_s=settings.cache.ttl_s,
            stale_s=oldest_stale_s(settings),
        )
        shared = None
        if settings.cache.valkey_url is not None:
            shared = ValkeyAnswers.at(settings.cache.valkey_url, ttl_s=settings.cache.ttl_s)
            self._resources.push_async_callback(shared.aclose)
        layers = partial(_cache_figures, cache, shared)
        self._metrics.add_source(layers)

        embedder = OfflineEmbedder()
        offline = OfflineProvider(OpenAIWire(), embedder, self._clock)
        built_in: dict[str, Provider] = dict.fromkeys(MODELS, offline)
        if smollm2.is_installed():
            built_in[smollm2.MODEL] = LocalLlmProvider(OpenAIWire())
        healths = Healths(PostgresBreakerRows(store), accounting.members.id, policy=breaker_policy(settings))
        seats = build_providers(settings, environment(), offline, self.batch, healths)
        for provider in {*(seat.provider for seated in seats.values() for seat in seated), *built_in.values()}:
            self._resources.push_async_callback(provider.aclose)
        accounting.changes.follow(BREAKERS_TOPIC, healths.hear)
        self._keep(healths.run(), "app.breakers")
        self._metrics.add_source(healths.figures)
        book = PriceBook.load()
        routes = build_routes(settings, seats, built_in, book, healths)
        corrections = self._keep_accounts_right(accounting, routes)
        feed = self._start_feed(corrections)
        router = Router(routes)
        switches = Switches(accounting.flags)
        semantic = self._open_semantic_cache(store, cache, embedder, accounting, switches)
        lookup = Lookup(cache, settings.cache.exact, switches, shared, semantic.grounded)
        structured = Structured()
        self._metrics.add_source(structured.counters.figures)
        background = self._open_background(store, accounting)
        dialects = Dialects(openai=OpenAIDialect(), anthropic=AnthropicDialect())
        by_name = {dialect.name: dialect for dialect in (dialects.openai, dialects.anthropic)}
        outbox = WebhookOutbox(PostgresWebhookRows(store), self._clock)
        accounting.changes.follow(WEBHOOKS_TOPIC, outbox.forget)
        tickets = Tickets(background.jobs, outbox)
        features = features_of(settings)
        planner = Planner(switches=switches, ceilings=ceilings(settings))
        pipeline = Pipeline(
            admit=accounting.admit,
            router=router,
            lookup=lookup,
            planner=planner,
            degrade=Degrade(lookup=lookup, features=features, parking=tickets),
            structured=structured,
            offload=Offload(tickets, Paces(PostgresPaceRows(store)), features, dialects=frozenset(by_name)),
            semantic=semantic.stage,
            sink=feed,
            idempotency=accounting.idempotency,
            coalesce=settings.cache.coalesce,
        )
        self._resources.push_async_callback(pipeline.aclose)
        caller = BackgroundCaller(
            pipeline,
            ReceiptCorrections(accounting.report_rows),
            heeds_keys=heeds_keys(settings, router),
            repeat=settings.jobs.repeat_interrupted,
        )
        tenants = Tenants(rows, self._clock)
        indexing = Indexing(
            store,
            tenants,
            pipeline,
            dialects.openai,
            offline=embedder,
            embedder=settings.retrieval.embedder,
        )
        self._metrics.add_source(indexing.figures)
        library = Library(store, indexing.embedders, self._meter.recorder(FEATURE))
        extractor = open_extractor(settings)
        self._resources.push_async_callback(extractor.aclose)
        resources = Resources(
            settings,
            store,
            self._clock,
            background=background,
            outbox=outbox,
            pipeline=pipeline,
            router=router,
            caller=caller,
            dialects=dialects,
            library=library,
            extractor=extractor,
            elsewhere=lambda batch_rows: hand_over(
                settings,
                store=store,
                batch_rows=batch_rows,
                routes=routes,
                router=router,
                planner=planner,
                admit=accounting.admit,
                estimates=ReceiptCorrections(accounting.report_rows),
                structured=structured,
                book=book,
                clock=self._clock,
            ),
        )
        self._stop_following = resources.stop
        documentation = Documentation(library, tenants)
        self._keep(documentation.keep(), "app.documentation")
        stores = resources.vector_stores
        reports = Reports(accounting.report_rows, self._clock)
        precomputing = Precomputing(
            precompute_policy(settings.precompute), store, self._clock, jobs=background.jobs, tenants=tenants
        )
        support = SupportParts(
            support_policy(settings),
            store,
            self._clock,
            searcher=SupportKnowledge(stores.stores, stores.search, documentation),
            pipeline=pipeline,
            caller=caller,
            jobs=background.jobs,
            outbox=outbox,
            outcomes=reports,
            switches=switches,
            recorder=self._meter.recorder(FEATURE),
            listener=precomputing.listener,
        )
        scheduling = Scheduling(store, background.jobs)
        if self._does_jobs:
            answering = precomputing.handlers(support.unheard, caller)
            background.work([*resources.handlers, *support.handlers, *answering], self._webhook)
            self._keep_all(*indexing.tasks(), *precomputing.nightly(), *scheduling.tasks())
        self._keep_all(*background.tasks(), *resources.tasks(), *support.tasks(), *precomputing.tasks())
        if self._serves:
            console = build_console(
                settings,
                store,
                keyring,
                documentation.pages,
                reports,
                self._slo_book,
                assistant=support.assistant,
                precompute=precomputing.services,
                support=support.desk,
                knowledge=StoreKnowledge(
                    stores.stores, stores.files, resources.files, max_upload_bytes=most_uploaded(settings)
                ),
                flags=flag_services(store, accounting.flags, self._clock),
                health=health_services(settings, healths, router, routes, planner),
                tickets=tickets,
                jobs=scheduling.services,
                webhooks=webhook_services(store, resources.sender, background.jobs, self._clock),
                cache=replace(semantic.services, layers=LiveLayers([layers, semantic.figures])),
            )
            self.handle = Gateway(
                keys=keyring,
                pipeline=pipeline,
                router=router,
                dialects=dialects,
                probes=self,
                pages=AsgiMount(console, settings.server.max_body_bytes),
                max_body_bytes=settings.server.max_body_bytes,
                resources=resources.routes,
            ).handle
        self._keep(self._look_after(), "app.look_after")
        # What start-up made lives as long as the process: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    async def stop_jobs(self) -> None:
        """No job is begun from here on. Returns when those under way have ended, or were given back."""
        await self._background.stop()

    def stopping(self) -> None:
        """From here on calls are refused; those in flight go on, and those that follow jobs are sent away."""
        self._stop_following()
        self._gate.stopping = True

    async def stop(self) -> None:
        """After the last call: everything closes in the reverse order of its start."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._resources.aclose()

    # -- probes ------------------------------------------------------------------------------

    def ready(self) -> tuple[bool, bytes]:
        up = self._gate.store_up and not self._gate.stopping
        checks = {
            "database": "ok" if self._gate.store_up else "away",
            "process": "stopping" if self._gate.stopping else "ok",
        }
        return up, json.encode({"status": "ok" if up else "unavailable", "checks": checks, "version": __version__})

    def metrics(self) -> tuple[str, bytes]:
        return CONTENT_TYPE, self._metrics.expose()

    # -- inside ------------------------------------------------------------------------------

    def _keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run until the service stops; a task that ends with an error is a bug, and is logged as one."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    async def _open_store(self) -> Store:
        database = Database(self._settings)
        await database.start()
        self._resources.push_async_callback(database.stop)
        store = await database.open_store()
        self._resources.push_async_callback(store.aclose)
        if database.embedded is not None:
            self._keep(
                database.embedded.supervise(lambda dsn: self._keep(store.move_to(dsn), "app.store")), "app.postgres"
            )
        return store

    async def _open_accounting(self, store: Store) -> Accounting:
        accounting = Accounting(self._settings, store, self.batch, self._clock)
        self._gate = accounting.gate
        self._keep(watch(store, self._gate), "app.database")
        await accounting.start()
        self._resources.push_async_callback(accounting.stop)
        for name, work in accounting.tasks():
            self._keep(work, name)
        self._metrics.add_source(accounting.figures)
        self._metrics.add_source(self._database_figures)
        return accounting

    def _open_background(self, store: Store, accounting: Accounting) -> Background:
        of_plan = self._settings.jobs.plan_weights

        def weight(principal: Principal) -> int:
            return of_plan.get(principal.plan or "") or accounting.weight(principal.tenant_id)

        self._background = Background(self._settings, store, self._clock, kinds=KINDS, weight=weight)
        self._resources.push_async_callback(self._background.aclose)
        self._metrics.add_source(self._background.figures)
        self._metrics.add_histograms(self._background.counts.histograms)
        return self._background

    def _open_semantic_cache(
        self, store: Store, exact: ExactCache, embedder: OfflineEmbedder, accounting: Accounting, switches: Switches
    ) -> SemanticCache:
        cache = self._settings.cache
        semantic = SemanticCache(
            store,
            exact,
            embedder,
            accounting.changes,
            switches,
            self._clock,
            policy=cache.semantic,
            max_false_hits=cache.max_false_hits,
            check_share=cache.check_share,
            ttl_s=cache.semantic_ttl_s,
            max_entries=cache.semantic_max_entries,
            max_bytes=cache.semantic_max_bytes,
        )
        self._resources.push_async_callback(semantic.aclose)
        for name, work in semantic.tasks():
            self._keep(work, name)
        self._metrics.add_source(semantic.figures)
        return semantic

    def _keep_all(self, *tasks: tuple[str, Coroutine[Any, Any, None]]) -> None:
        for name, work in tasks:
            self._keep(work, name)

    def _keep_accounts_right(self, accounting: Accounting, routes: list[Route]) -> Corrections:
        """What is put right or told behind the calls: estimates, alerts, old receipts."""
        corrections = accounting.corrections(routes)
        self._keep(corrections.run(), "app.corrections")
        self._metrics.add_source(lambda: correction_figures(corrections))
        endpoint = endpoint_of(self._settings.alerts, environment())
        if endpoint is not None:
            client = HttpClient(endpoint.origin)
            self._resources.push_async_callback(client.aclose)
            self._webhook = Webhook(client, endpoint, self._clock)
        webhook = self._webhook
        alerts = Alerts(accounting.budget_rows, webhook)
        self._keep(accounting.drift_alerts(webhook).run(), "app.drift_alerts")
        self._keep(alerts.run(), "app.alerts")
        slo_alerts = SloAlerts(self._slo_book, webhook, self._clock)
        self._keep(slo_alerts.run(), "app.slo")
        self._keep(slo_alerts.deliver(), "app.slo_alerts")
        self._metrics.add_source(self._slo_book.figures)
        self._metrics.add_source(lambda: alert_figures(alerts))
        self._keep(accounting.retain(), "app.retention")
        return corrections

    def _start_feed(self, corrections: Corrections) -> CallFeed:
        telemetry = self._settings.telemetry
        taps: list[Tap] = [self._metrics.take, self._meter.take, lambda calls: _note_estimates(corrections, calls)]
        if telemetry.log_calls and telemetry.log_level in ("debug", "info"):
            call_log = CallLog(sys.stdout.fileno())
            taps.append(call_log.take)
            self._resources.callback(call_log.flush)
            self._keep(_repeat(call_log.flush, 1.0), "app.call_log")  # what a slow reader left
            self._metrics.add_source(lambda: [("tenfold_log_lines_dropped_total", (), call_log.dropped)])
        if telemetry.otlp_endpoint:
            exporter = SpanExporter(self._collector(telemetry.otlp_endpoint), telemetry.service_name, __version__)
            taps.append(exporter.take)
            self._resources.push_async_callback(exporter.flush)
            self._keep(_repeat(exporter.flush, 1.0), "app.traces")
        feed = CallFeed(taps)
        self._resources.callback(feed.flush)
        self._keep(feed.run(), "app.feed")
        return feed

    def _collector(self, endpoint: str) -> Any:
        client = HttpClient(Origin.parse(endpoint))
        self._resources.push_async_callback(client.aclose)
        own = self._settings.telemetry.otlp_headers.items()
        headers = [(b"content-type", b"application/json"), *((n.lower().encode(), v.encode()) for n, v in own)]
        prepared = client.prepared(headers)

        async def post(body: bytes) -> int:
            exchange = await client.post("/v1/traces", [], body, prepared=prepared)
            await exchange.read()
            return exchange.status

        return post

    async def _look_after(self) -> None:
        """Once a second: leave the other workers a metrics snapshot, and stop when the supervisor is gone."""
        while True:
            if self._settings.server.workers > 1:
                await asyncio.to_thread(self._metrics.save)
            if os.getppid() != self._supervisor:
                logger.error("the supervising process is gone: stopping")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            await asyncio.sleep(SAVE_METRICS_S)

    def _database_figures(self) -> Iterable[Figure]:
        yield "tenfold_database_up", (("process", str(os.getpid())),), self._gate.store_up


def _note_estimates(corrections: Corrections, calls: list[Call]) -> None:
    for call in calls:
        if call.estimated:
            corrections.note(call.principal.tenant_id)


def _cache_figures(cache: ExactCache, shared: ValkeyAnswers | None) -> Iterable[Figure]:
    layer = (("layer", "memory"),)
    yield "tenfold_cache_hits_total", layer, cache.hits
    yield "tenfold_cache_misses_total", layer, cache.misses
    yield "tenfold_cache_bytes", layer, cache.bytes
    if shared is not None:
        layer = (("layer", "valkey"),)
        yield "tenfold_cache_hits_total", layer, shared.hits
        yield "tenfold_cache_misses_total", layer, shared.misses
        yield "tenfold_cache_faults_total", layer, shared.faults


async def _repeat(work: Callable[[], Awaitable[None] | None], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        done = work()
        if done is not None:
            await done


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("the task %s ended", task.get_name(), exc_info=task.exception())
