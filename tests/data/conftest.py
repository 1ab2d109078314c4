"""A server on this machine, for tests of downloads."""

import http.server
import threading

import pytest


class Host:
    """Serves `files`, honours Range, and breaks off after `break_after` bytes."""

    def __init__(self):
        self.files, self.ranges, self.break_after = {}, [], None
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                content = host.files.get(self.path.split("?")[0].lstrip("/"))
                if content is None:
                    return self.send_error(404)
                start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
                host.ranges.append(start)
                if start >= len(content):
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                stop = len(content) if host.break_after is None else start + host.break_after
                self.wfile.write(content[start:stop])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def host():
    host = Host()
    yield host
    host.server.shutdown()
    host.server.server_close()
