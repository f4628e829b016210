"""One serving process: settings to objects, started and stopped in order. Only `app` knows concrete classes."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Iterable

from msgspec import json

from tenfold import __version__
from tenfold.access.handlers import Tenants
from tenfold.access.keyring import Keyring
from tenfold.access.queries import KeyHint, PostgresAccessRows
from tenfold.app.accounting import Accounting, correction_figures
from tenfold.app.alerting import keep_alerts, open_webhook
from tenfold.app.background import Background
from tenfold.app.batch_tiers import hand_over
from tenfold.app.database import Database, watch
from tenfold.app.explaining import health_services
from tenfold.app.flagging import flag_services
from tenfold.app.host import Host
from tenfold.app.indexing import Indexing
from tenfold.app.knowledge import Documentation, open_extractor
from tenfold.app.pages import build_console
from tenfold.app.precomputing import Precomputing
from tenfold.app.precomputing import policy_of as precompute_policy
from tenfold.app.resources import KINDS, Resources
from tenfold.app.scheduling import Scheduling
from tenfold.app.serving import Serving
from tenfold.app.settings import Settings
from tenfold.app.slo.book import SloBook, boot_of_machine
from tenfold.app.slo.meter import Meter
from tenfold.app.slo.shelf import FileShelf
from tenfold.app.slo.types import slos_of
from tenfold.app.support import SupportKnowledge, SupportParts
from tenfold.app.support import policy_of as support_policy
from tenfold.app.support_pages import StoreKnowledge, most_uploaded
from tenfold.app.telemetry import logs
from tenfold.app.telemetry.feeding import open_feed
from tenfold.app.telemetry.metrics import CONTENT_TYPE, Figure, Metrics
from tenfold.app.webhooking import webhook_services
from tenfold.assistant.assistant import FEATURE
from tenfold.core.clock import SystemClock
from tenfold.core.principal import Principal
from tenfold.core.write_batch import WriteBatch
from tenfold.edge.asgi import AsgiMount
from tenfold.edge.gateway import Gateway
from tenfold.inference.tickets.handlers import Tickets
from tenfold.ledger.reports.corrections import ReceiptCorrections
from tenfold.ledger.reports.handlers import Reports
from tenfold.retrieval.library import Library
from tenfold.store import Store
from tenfold.webhooks.outbox import WebhookOutbox
from tenfold.webhooks.ports import TOPIC as WEBHOOKS_TOPIC
from tenfold.webhooks.queries import PostgresWebhookRows

logger = logging.getLogger(__name__)

SAVE_METRICS_S = 1.0


class Service:
    """`start`, then `handle` for each request, then `stop`. One that does not serve has no `handle`."""

    def __init__(self, settings: Settings, *, does_jobs: bool, serves: bool = True) -> None:
        self._settings = settings
        self._does_jobs = does_jobs
        self._serves = serves
        self._host = Host()
        self._supervisor = os.getppid()
        self.batch = WriteBatch(asyncio.get_running_loop())
        self._clock = SystemClock()
        self._metrics = Metrics(settings.home / "run" / "metrics")
        slos = slos_of(settings.slo)
        self._meter = Meter(slos)
        shelf = FileShelf(settings.home / "slo-counts")
        self._slo_book = SloBook(slos, self._meter, shelf, self._clock, boot=boot_of_machine())

    async def start(self) -> None:
        """Raises SettingsError, StoreUnavailable."""
        settings, host, clock = self._settings, self._host, self._clock
        logs.configure(settings.telemetry.log_level)
        store = await self._open_store()
        accounting = await self._open_accounting(store)
        hint = KeyHint()
        await hint.listen(store)
        rows = PostgresAccessRows(store)
        keyring = await host.enter(Keyring(rows, clock, hint))
        tenants = Tenants(rows, clock)
        background = self._open_background(store, accounting)
        outbox = WebhookOutbox(PostgresWebhookRows(store), clock)
        accounting.changes.follow(WEBHOOKS_TOPIC, outbox.forget)
        tickets = Tickets(background.jobs, outbox)
        feed = open_feed(host, settings.telemetry, self._metrics, self._meter.take)
        serving = Serving(
            settings, host, self._metrics, store, clock, accounting=accounting, tickets=tickets, sink=feed
        )
        corrections = accounting.corrections(serving.routes)
        feed.add(corrections.note_all)
        webhook = open_webhook(host, settings.alerts, clock)
        keep_alerts(host, self._metrics, accounting, self._slo_book, webhook, clock)
        host.keep("app.corrections", corrections.run())
        host.keep("app.retention", accounting.retain())
        self._metrics.add_source(lambda: correction_figures(corrections))

        indexing = Indexing(
            store,
            tenants,
            serving.pipeline,
            serving.dialects.openai,
            offline=serving.embedder,
            embedder=settings.retrieval.embedder,
        )
        self._metrics.add_source(indexing.figures)
        library = Library(store, indexing.embedders, self._meter.recorder(FEATURE))
        extractor = open_extractor(settings)
        host.finish(extractor.aclose)
        resources = Resources(
            settings,
            store,
            clock,
            background=background,
            outbox=outbox,
            serving=serving,
            library=library,
            extractor=extractor,
            elsewhere=lambda batch_rows: hand_over(
                settings,
                store=store,
                batch_rows=batch_rows,
                serving=serving,
                admit=accounting.admit,
                estimates=ReceiptCorrections(accounting.report_rows),
                clock=clock,
            ),
        )
        self._stop_following = resources.stop
        documentation = Documentation(library, tenants)
        host.keep("app.documentation", documentation.keep())
        stores = resources.vector_stores
        reports = Reports(accounting.report_rows, clock)
        precomputing = Precomputing(
            precompute_policy(settings.precompute), store, clock, jobs=background.jobs, tenants=tenants
        )
        support = SupportParts(
            support_policy(settings),
            store,
            clock,
            searcher=SupportKnowledge(stores.stores, stores.search, documentation),
            pipeline=serving.pipeline,
            caller=serving.caller,
            jobs=background.jobs,
            outbox=outbox,
            outcomes=reports,
            switches=serving.switches,
            recorder=self._meter.recorder(FEATURE),
            listener=precomputing.listener,
        )
        scheduling = Scheduling(store, background.jobs)
        if self._does_jobs:
            answering = precomputing.handlers(support.unheard, serving.caller)
            background.work([*resources.handlers, *support.handlers, *answering], webhook)
            host.keep_all(*indexing.tasks(), *precomputing.nightly(), *scheduling.tasks())
        host.keep_all(*background.tasks(), *resources.tasks(), *support.tasks(), *precomputing.tasks())
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
                flags=flag_services(store, accounting.flags, clock),
                health=health_services(settings, serving.healths, serving.router, serving.routes, serving.planner),
                tickets=tickets,
                jobs=scheduling.services,
                webhooks=webhook_services(store, resources.sender, background.jobs, clock),
                cache=serving.caches.services,
            )
            self.handle = Gateway(
                keys=keyring,
                pipeline=serving.pipeline,
                router=serving.router,
                dialects=serving.dialects,
                probes=self,
                pages=AsgiMount(console, settings.server.max_body_bytes),
                max_body_bytes=settings.server.max_body_bytes,
                resources=resources.routes,
            ).handle
        host.keep("app.look_after", self._look_after())
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
        """After the last call."""
        await self._host.end()

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

    async def _open_store(self) -> Store:
        host, database = self._host, Database(self._settings)
        await database.start()
        host.finish(database.stop)
        store = await database.open_store()
        host.finish(store.aclose)
        if database.embedded is not None:
            moved = database.embedded.supervise(lambda dsn: host.keep("app.store", store.move_to(dsn)))
            host.keep("app.postgres", moved)
        return store

    async def _open_accounting(self, store: Store) -> Accounting:
        accounting = Accounting(self._settings, store, self.batch, self._clock)
        self._gate = accounting.gate
        self._host.keep("app.database", watch(store, self._gate))
        await accounting.start()
        self._host.finish(accounting.stop)
        self._host.keep_all(*accounting.tasks())
        self._metrics.add_source(accounting.figures)
        self._metrics.add_source(self._database_figures)
        return accounting

    def _open_background(self, store: Store, accounting: Accounting) -> Background:
        of_plan = self._settings.jobs.plan_weights

        def weight(principal: Principal) -> int:
            return of_plan.get(principal.plan or "") or accounting.weight(principal.tenant_id)

        self._background = Background(self._settings, store, self._clock, kinds=KINDS, weight=weight)
        self._host.finish(self._background.aclose)
        self._metrics.add_source(self._background.figures)
        self._metrics.add_histograms(self._background.counts.histograms)
        return self._background

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
