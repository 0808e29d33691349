"""The backend on a socket that the launcher has opened: `python -m standalone.serve DESCRIPTOR`.

So the announced port is surely ours: no other program can take it between the choice and the start.
"""

import socket
import sys

import uvicorn


def main() -> None:
    """Serve until a signal."""
    # As `python -m backend` does: the application configures logging, and ends well within the launcher's patience.
    config = uvicorn.Config(
        "backend.main:app",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # there is no proxy: trust no X-Forwarded-For
        timeout_graceful_shutdown=20,
    )
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
