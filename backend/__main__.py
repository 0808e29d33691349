"""`python -m backend`: uvicorn with the address from the settings; `hash-password` and `make-client` make secrets."""

import sys

import uvicorn

from backend.clients import client_from_terminal
from backend.config import BackendSettings
from backend.passwords import hash_from_terminal
from common.config import ConfigurationError, load_settings


def main() -> None:
    """Serve until SIGTERM or SIGINT. A configuration error is printed in one line, with exit code 1."""
    if sys.argv[1:] == ["hash-password"]:
        sys.exit(hash_from_terminal())
    if sys.argv[1:2] == ["make-client"]:
        sys.exit(client_from_terminal(sys.argv[2:]))
    if sys.argv[1:]:
        sys.exit("usage: python -m backend [hash-password | make-client NAME --scope SCOPE]")
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
        # uvicorn's default trusts X-Forwarded-For of every local process
        proxy_headers=settings.forwarded_allow_ips is not None,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        limit_concurrency=settings.most_concurrent,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main()
