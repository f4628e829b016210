"""What tells the operator of budgets, prices and objectives: in the log, and over one webhook where there is one."""

from tenfold.app.accounting import Accounting, alert_figures
from tenfold.app.alerts import Alerts, endpoint_of
from tenfold.app.host import Host
from tenfold.app.setting_tables import AlertSettings
from tenfold.app.settings import environment
from tenfold.app.slo.alerts import SloAlerts
from tenfold.app.slo.book import SloBook
from tenfold.app.telemetry.metrics import Metrics
from tenfold.app.webhook import Webhook
from tenfold.core.clock import Clock
from tenfold.providers.transport import HttpClient


def open_webhook(host: Host, settings: AlertSettings, clock: Clock) -> Webhook | None:
    """Raises SettingsError."""
    endpoint = endpoint_of(settings, environment())
    if endpoint is None:
        return None
    client = HttpClient(endpoint.origin)
    host.finish(client.aclose)
    return Webhook(client, endpoint, clock)


def keep_alerts(
    host: Host, metrics: Metrics, accounting: Accounting, book: SloBook, webhook: Webhook | None, clock: Clock
) -> None:
    alerts, of_slos = Alerts(accounting.budget_rows, webhook), SloAlerts(book, webhook, clock)
    host.keep("app.alerts", alerts.run())
    host.keep("app.drift_alerts", accounting.drift_alerts(webhook).run())
    host.keep("app.slo", of_slos.run())
    host.keep("app.slo_alerts", of_slos.deliver())
    metrics.add_source(lambda: alert_figures(alerts))
    metrics.add_source(book.figures)
