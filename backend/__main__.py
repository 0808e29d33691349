"""`python -m backend`: uvicorn with the address from the settings."""

import sys

import uvicorn

from backend.config import BackendSettings
from common.config import ConfigurationError, load_settings


def main() -> None:
    """Serve until a signal says to stop; a fault of the configuration is one line and exit code 1."""
    try:
        settings = load_settings(BackendSettings)
    except ConfigurationError as error:
        sys.exit(f"backend: {error}")
    uvicorn.run(
        "backend.main:app",
        host=settings.backend_host,
        port=settings.backend_port,
        reload=settings.backend_reload,
        log_config=None,  # the application configures logging, for uvicorn too
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main()
