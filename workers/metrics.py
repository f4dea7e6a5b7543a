"""The small HTTP server at which a worker's metrics are scraped."""

from collections.abc import Callable

from prometheus_client import start_http_server

from app.errors import ConfigurationError
from app.metrics import RunMetrics
from app.settings import Settings


def serve_metrics(settings: Settings, metrics: RunMetrics) -> Callable[[], None]:
    """Serve `metrics`, if a port is set, from a thread of its own; returns what ends it.

    Raises ConfigurationError when the port cannot be had.
    """
    port = settings.worker_metrics_port
    if port is None:
        return lambda: None
    try:
        server, thread = start_http_server(port, settings.worker_metrics_host, metrics.registry)
    except OSError as error:
        raise ConfigurationError(
            f"CERTSYNC_WORKER_METRICS_PORT {port} on {settings.worker_metrics_host} cannot be used "
            f"({error.strerror}); each worker of a machine needs one of its own"
        ) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
