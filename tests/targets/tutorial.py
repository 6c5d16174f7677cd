"""The first server of many tutorials: a dictionary of sessions, and a cookie with the
identifier. Anyone who sends an identifier gets its session, and a name is enough to log in."""

import sys
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

sessions = {}


class Handler(BaseHTTPRequestHandler):
    def session_id(self):
        cookie = self.headers.get("Cookie", "")
        if "sessionid=" in cookie:
            return cookie.split("sessionid=")[1].split(";")[0]
        return str(uuid.uuid4())

    def do_GET(self):
        key = self.session_id()
        user = sessions.setdefault(key, {"username": None})["username"]
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if key not in self.headers.get("Cookie", ""):
            self.send_header("Set-Cookie", f"sessionid={key}")
        self.end_headers()
        if user:
            self.wfile.write(f"<h1>Welcome, {user}!</h1>".encode())
        else:
            self.wfile.write(b'<form method="post" action="/login"><input name="username"></form>')

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sessions[self.session_id()]["username"] = parse_qs(body)["username"][0]
        self.send_response(302)
        self.send_header("Location", "/")
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
