"""Notices as people see them: Apprise's own rendering in Slack, Teams and e-mail, against local servers."""

import email
import email.policy
import http.server
import json
import re
import socket
import threading
from html import unescape

import pytest
from apprise import Apprise
from apprise.plugins.slack import NotifySlack

from homeostat.adapters.notifier_apprise import hand_over
from homeostat.config.notices import NoticeKind, Severity
from homeostat.notices.message import as_message
from homeostat.ports import Notice

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # imported by Apprise
controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is in requirements-dev.txt")
RUN = "http://airflow:8080/dags/retrain__bike/runs/manual__2026-01-05T07%3A00"
NOTICE = Notice(
    NoticeKind.REFUSED,
    "bike",
    "bike: version 3 refused in shadow",
    "labels failed: accuracy 0.46 <script>alert(1)</script> & *0.76* for `season`",
    "Nothing now: the champion stays. Why: homeostat explain bike 3",
    figures=(("accuracy", "0.460, baseline 0.760"), ("drifted features", "30% (temp, hum_id)")),
    links=(("MLflow", "http://mlflow:5000/#/models/bike/versions/3?a=1&b=2"),),
)
MESSAGE = as_message(
    NOTICE, Severity.WARNING, began="2026-01-05 07:00 UTC: Decay 0.3.", links=(("Airflow", RUN),)
)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append(json.loads(body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        """Write nothing."""


@pytest.fixture(scope="module")
def web():
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def mails():
    found = []

    class Handler:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802
            found.append(envelope.content)
            return "250 OK"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = controller.Controller(Handler(), hostname="127.0.0.1", port=port)
    server.start()
    yield port, found
    server.stop()


def send(url, message=MESSAGE):
    services = Apprise()
    assert services.add(url)
    assert hand_over(services, message)


def test_slack_shows_title_figures_and_links_in_its_own_markup(web, monkeypatch):
    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{web.server_port}/services")
    send("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops")
    (shown,) = web.received[-1]["attachments"]
    assert shown["title"] == "bike: version 3 refused in shadow"
    assert "- *accuracy*: 0.460, baseline 0.760" in shown["text"]
    assert f"<{RUN}|{RUN}>" in shown["text"]
    assert "*What to do*: Nothing now" in shown["text"]
    assert "<script>" not in shown["text"]


def test_teams_shows_a_card_with_the_same(web, monkeypatch):
    import requests

    post = requests.post
    monkeypatch.setattr(requests, "post", lambda url, **more: post(url.replace("https:", "http:"), **more))
    send(f"workflows://127.0.0.1:{web.server_port}/workflow/signature")
    blocks = web.received[-1]["attachments"][0]["content"]["body"]
    title, body = (block["text"] for block in blocks if block["type"] == "TextBlock")
    assert title == "bike: version 3 refused in shadow"
    assert "- **drifted features**: 30% (temp, hum_id)" in body
    assert f"[{RUN}]({RUN})" in body
    assert len(body) <= 1000, "a longer one is cut"


def test_an_email_has_html_and_a_text_that_keeps_the_links(mails):
    port, found = mails
    send(f"mailto://127.0.0.1:{port}?from=homeostat@example.com&to=ops@example.com&mode=insecure")
    mail = email.message_from_bytes(found[-1], policy=email.policy.default)
    assert mail["Subject"] == "bike: version 3 refused in shadow"
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    assert f"Airflow: {RUN}" in text
    assert "- Began: 2026-01-05 07:00 UTC: Decay 0.3." in text
    assert "<li><strong>accuracy</strong>: 0.460, baseline 0.760</li>" in html
    assert f' href="{RUN}">{RUN}</a>' in html
    assert "<script>" not in html


def test_a_long_link_wraps_in_html_and_keeps_its_address(mails):
    port, found = mails
    url = f"https://gateway.example/approve?token={'a1B2' * 90}&sig={'f' * 64}"
    notice = Notice(NoticeKind.WAITING, "m", "m: waits", "b", links=(("Approve or decline", url),))
    long = as_message(notice, Severity.WARNING)
    send(f"mailto://127.0.0.1:{port}?from=a@example.com&to=b@example.com&mode=insecure", long)
    mail = email.message_from_bytes(found[-1], policy=email.policy.default)
    html = mail.get_body(("html",)).get_content()
    (style, href) = re.search(r'<a style="([^"]*)" href="([^"]*)">', html).groups()
    assert "word-break:break-all" in style
    assert unescape(href) == url
    assert f"Approve or decline: {url}" in mail.get_body(("plain",)).get_content()


def test_a_title_from_data_cannot_add_a_header(mails):
    port, found = mails
    hostile = as_message(Notice(NoticeKind.STATUS, "m", "ends\r\nBcc: all@example.com", "b"), Severity.INFO)
    send(f"mailto://127.0.0.1:{port}?from=a@example.com&to=b@example.com&mode=insecure", hostile)
    mail = email.message_from_bytes(found[-1], policy=email.policy.default)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "ends Bcc: all@example.com"
