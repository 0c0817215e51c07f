"""A relay between Prometheus and a server, that knows which format was answered and may ask for another."""

import contextlib
import http.server
import threading
import urllib.request


class Relay:
    """Relays scrapes of `server`, with the scraper's own `Accept` or this one, from `with` on."""

    def __init__(self, server, accept):
        relay, self.kinds = self, set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked = {"Accept": accept or self.headers["Accept"]}
                request = urllib.request.Request(server + self.path, headers=asked)
                with urllib.request.urlopen(request, timeout=5) as answer:
                    kind, body = answer.headers["Content-Type"], answer.read()
                relay.kinds.add(kind)
                # A scraper that ends does not wait for its answer.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(200)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
