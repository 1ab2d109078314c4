"""A server on this machine, for tests of downloads."""

import http.server
import threading


class Host:
    """Serves `files` with `headers`, honours Range and If-Range, and breaks off after `break_after` bytes."""

    def __init__(self):
        self.files, self.ranges, self.break_after, self.headers = {}, [], None, {}
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                content = host.files.get(self.path.split("?")[0].lstrip("/"))
                if content is None:
                    return self.send_error(404)
                start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
                version = host.headers.get("ETag") or host.headers.get("Last-Modified")
                if self.headers.get("If-Range", version) != version:
                    start = 0
                host.ranges.append(start)
                if start >= len(content) > 0:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    return self.end_headers()
                self.send_response_only(206 if start else 200)
                for name, value in host.headers.items():
                    self.send_header(name, value)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                stop = len(content) if host.break_after is None else start + host.break_after
                self.wfile.write(content[start:stop])

            def do_HEAD(self):
                content = host.files.get(self.path.split("?")[0].lstrip("/"))
                self.send_response_only(404 if content is None else 200)
                for name, value in host.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
