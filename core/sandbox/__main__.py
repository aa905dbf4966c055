"""`python -m core.sandbox --port P [--data-dir DIR] [--public-url URL]`."""

import argparse
import contextlib
import sys
from pathlib import Path

from core.errors import SettingsError
from core.sandbox.safety import OutsideServices, check_local, key_of
from core.sandbox.server import Server, Site
from core.settings import current


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m core.sandbox",
        description="The outside services on this machine, with faults to choose from.",
    )
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument(
        "--data-dir", type=Path, help="where tasks and pictures are kept (the product's data folder)"
    )
    parser.add_argument("--public-url", help="base of the URLs handed out (http://127.0.0.1:PORT)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped; 1 and one sentence on standard error when it cannot start."""
    arguments = _arguments(argv)
    try:
        settings = current()
        check_local(settings, OutsideServices())
        hmac_key, database_url = settings.kie_webhook_hmac_key, settings.database_url
        server = Server(
            Site(
                data_dir=arguments.data_dir or settings.data_path / "sandbox",
                key=key_of(settings),
                hmac_key=hmac_key.get_secret_value() if hmac_key else None,
                database_url=database_url.get_secret_value() if database_url else None,
                port=arguments.port,
                public_url=arguments.public_url,
            )
        )
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"KIE sandbox on {server.url}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
