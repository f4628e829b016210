"""The one path that every call takes, put together: the models there are, the caches before them, and the pipeline."""

from tenfold.app.accounting import Accounting, ceilings
from tenfold.app.caching import Caches
from tenfold.app.host import Host
from tenfold.app.routing import breaker_policy, features_of, heeds_keys, oldest_stale_s
from tenfold.app.settings import Settings, environment
from tenfold.app.telemetry.metrics import Metrics
from tenfold.app.upstreams import build_providers, build_routes
from tenfold.core.clock import Clock
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.edge.gateway import Dialects
from tenfold.health import Healths
from tenfold.health.queries import TOPIC as BREAKERS_TOPIC
from tenfold.health.queries import PostgresBreakerRows
from tenfold.inference.background import BackgroundCaller
from tenfold.inference.degrade import Degrade
from tenfold.inference.offload import Offload
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.planner import Planner
from tenfold.inference.ports import OutcomeSink
from tenfold.inference.route import Router
from tenfold.inference.structured import Structured
from tenfold.inference.tickets.handlers import Tickets
from tenfold.ledger.paces import Paces, PostgresPaceRows
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.reports.corrections import ReceiptCorrections
from tenfold.providers.offline import smollm2
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.providers.offline.local_llm import LocalLlmProvider
from tenfold.providers.offline.provider import MODELS, OfflineProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Provider
from tenfold.rollout.book import Switches
from tenfold.store import Store


class Serving:
    """`caller` is for jobs; the other parts are for whoever looks at the path or stands beside it."""

    def __init__(
        self,
        settings: Settings,
        host: Host,
        metrics: Metrics,
        store: Store,
        clock: Clock,
        *,
        accounting: Accounting,
        tickets: Tickets,
        sink: OutcomeSink,
    ) -> None:
        """Raises SettingsError."""
        self.embedder = OfflineEmbedder()
        self.healths = Healths(PostgresBreakerRows(store), accounting.members.id, policy=breaker_policy(settings))
        accounting.changes.follow(BREAKERS_TOPIC, self.healths.hear)
        host.keep("app.breakers", self.healths.run())
        offline = OfflineProvider(OpenAIWire(), self.embedder, clock)
        built_in: dict[str, Provider] = dict.fromkeys(MODELS, offline)
        if smollm2.is_installed():
            built_in[smollm2.MODEL] = LocalLlmProvider(OpenAIWire())
        seats = build_providers(settings, environment(), offline, accounting.batch, self.healths)
        for provider in {*(seat.provider for seated in seats.values() for seat in seated), *built_in.values()}:
            host.finish(provider.aclose)
        self.book = PriceBook.load()
        self.routes = build_routes(settings, seats, built_in, self.book, self.healths)
        self.router = Router(self.routes)

        self.switches = Switches(accounting.flags)
        self.caches = Caches(
            settings.cache,
            host,
            store,
            self.embedder,
            accounting.changes,
            self.switches,
            clock,
            stale_s=oldest_stale_s(settings),
        )
        self.dialects = Dialects(openai=OpenAIDialect(), anthropic=AnthropicDialect())
        offloaded = frozenset((self.dialects.openai.name, self.dialects.anthropic.name))
        features = features_of(settings)
        self.planner = Planner(switches=self.switches, ceilings=ceilings(settings))
        self.structured = Structured()
        lookup = self.caches.lookup
        self.pipeline = Pipeline(
            admit=accounting.admit,
            router=self.router,
            lookup=lookup,
            planner=self.planner,
            degrade=Degrade(lookup=lookup, features=features, parking=tickets),
            structured=self.structured,
            offload=Offload(tickets, Paces(PostgresPaceRows(store)), features, dialects=offloaded),
            semantic=self.caches.semantic,
            sink=sink,
            idempotency=accounting.idempotency,
            coalesce=settings.cache.coalesce,
        )
        host.finish(self.pipeline.aclose)
        self.caller = BackgroundCaller(
            self.pipeline,
            ReceiptCorrections(accounting.report_rows),
            heeds_keys=heeds_keys(settings, self.router),
            repeat=settings.jobs.repeat_interrupted,
        )
        for figures in (self.healths.figures, self.caches.figures, self.structured.counters.figures):
            metrics.add_source(figures)
