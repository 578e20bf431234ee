"""Passwords, tokens and keys stand in no message, no log, no record and no tag."""

import json
import logging
from pathlib import Path

import pytest

from dmt_ray.errors import ConfigError, StoreError, UserError, without_password, without_passwords
from dmt_ray.execution import journal
from dmt_ray.experiments.commands import command_line
from dmt_ray.experiments.experiment_file import write
from dmt_ray.methods import METHODS
from dmt_ray.recipes import named
from dmt_ray.store import Store
from dmt_ray.tracking.connection import Mirror, check_uri, explain
from dmt_ray.tracking.tracker import Tracker, mirror_of
from tests.helpers.fake_stages import TWO_ROWS, ablation_file, fill

URIS = {
    "postgresql://me:s3cret@host/db": "postgresql://me:***@host/db",
    "postgresql://me:a@s3cret@host/db": "postgresql://me:***@host/db",
    "postgresql://me:a/s3cret@host/db": "postgresql://me:***@host/db",
    "postgresql://me:a s3cret@host/db": "postgresql://me:***@host/db",
    "mysql+pymysql://:s3cret@host/db": "mysql+pymysql://:***@host/db",
    "http://me:s3cret@host:5000": "http://me:***@host:5000",
    "https://s3cret@host/api": "https://***@host/api",
    "postgresql://host/db?password=s3cret&sslmode=require": "postgresql://host/db?password=***&sslmode=require",
    "https://host/?a=b&access_token=s3cret#top": "https://host/?a=b&access_token=***#top",
    "https://host/x?X-Amz-Signature=s3cret": "https://host/x?X-Amz-Signature=***",
    "s3://bucket/p?secret_key=s3cret&region=eu": "s3://bucket/p?secret_key=***&region=eu",
    "s3://bucket/p?API_KEY=s3cret": "s3://bucket/p?API_KEY=***",
}
PLAIN = (
    "http://host:5000/a?b=c",
    "postgresql://me@host/db",
    "sqlite:////a/b.db",
    "models:/a@b",
    "file:///a:b",
    "a:b@c",
)


@pytest.mark.attack("secret in a URI", "password, token or signature, however it is written", "replaced by ***")
@pytest.mark.parametrize(("uri", "shown"), URIS.items())
def test_a_secret_is_masked(uri, shown):
    assert without_password(uri) == shown


@pytest.mark.parametrize("uri", PLAIN)
def test_an_address_without_a_secret_stays_as_it_is(uri):
    assert without_password(uri) == without_passwords(uri) == uri


@pytest.mark.attack("secret in a URI", "every message to a user", "replaced by ***")
@pytest.mark.parametrize("uri", [uri for uri in URIS if " " not in uri])
def test_no_message_holds_a_secret(uri):
    assert "s3cret" not in str(UserError(f"cannot use '{uri}': no route to {uri}. Try again"))


@pytest.mark.attack("secret in a URI", "what a library says of a failed connection", "replaced by ***")
@pytest.mark.parametrize("uri", [uri for uri in URIS if " " not in uri])
def test_what_a_library_says_holds_no_secret(uri):
    assert "s3cret" not in explain(RuntimeError(f"API request to {uri} failed"))
    assert "s3cret" not in explain(RuntimeError("x" * 190 + uri))


@pytest.mark.attack("secret in a URI", "tracking URI that MLflow cannot use", "refused without its password")
@pytest.mark.parametrize(
    "uri", ["ftp://me:s3cret@host", "http://me:s3cret@[host", "x://me:s3cret@h:port", "://a:s3cret@"]
)
def test_a_bad_tracking_uri_is_refused_without_its_password(uri):
    with pytest.raises(UserError) as caught:
        check_uri(uri)
    assert "s3cret" not in str(caught.value)


@pytest.mark.attack("secret in a URI", "log of a server that does not answer", "replaced by ***")
def test_the_log_holds_no_secret(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@host:5000?token=s3cret")
    with caplog.at_level(logging.DEBUG):
        mirror = mirror_of(None, tmp_path)
        tracker = Tracker(mirror)
        tracker.failed(RuntimeError(f"cannot reach {mirror.uri}"))
        tracker.close(0)
    assert len(caplog.records) == 2
    assert "s3cret" not in caplog.text
    assert "s3cret" not in Mirror("http://me:s3cret@host", tmp_path).public_uri


@pytest.mark.attack("secret in a URI", "command that records, pages and MLflow's tags hold", "replaced by ***")
@pytest.mark.parametrize("uri", URIS)
def test_a_recorded_command_holds_no_secret(uri):
    assert "s3cret" not in command_line("dmt", "run", "--tracking-uri", uri, f"--shared-store={uri}")


@pytest.mark.attack("secret in a URI", "error and traceback of a lost worker in the journal", "replaced by ***")
def test_the_journal_holds_no_secret(tmp_path):
    text = "OperationalError: postgresql://me:s3cret@host/db refused"
    journal.write_fault(tmp_path, 3, "failed", text, None)
    journal.keep_traceback(tmp_path, 3, f"Traceback ...\n{text}\n")
    content = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())
    assert content.count("postgresql://me:***@host/db") == 2
    assert "s3cret" not in content


@pytest.mark.attack("secret in a URI", "address of a shared store", "refused; its options are not shown")
@pytest.mark.parametrize("uri", ["s3://key:s3cret@bucket/p", "s3://key:a/s3cret@bucket/p", "gs://s3cret:s3cret@b/p"])
def test_a_shared_store_takes_no_password(tmp_path, uri):
    with pytest.raises(StoreError, match="must not hold a password") as caught:
        Store(tmp_path, shared=uri)
    assert "s3cret" not in str(caught.value)


@pytest.mark.attack("secret in the environment", "records, experiments and everything else in the storage", "not there")
def test_nothing_of_the_environment_is_recorded(tmp_path, monkeypatch):
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "HF_TOKEN",
        "RAY_AUTH_TOKEN",
    ):
        monkeypatch.setenv(name, "s3cret")
    fill(Store(tmp_path), METHODS["baseline"](named("shapes"), 0), rungs=1)
    file = ablation_file("parts", TWO_ROWS)
    write(tmp_path / "ablations" / "parts", file)
    journal.write_fault(tmp_path / "ablations" / "parts", 0, "lost", "killed", None)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert [path for path in written if b"s3cret" in path.read_bytes()] == []


@pytest.mark.attack("terminal codes", "every message to a user", "shown by their numbers")
@pytest.mark.parametrize("code", ["\x1b[2J", "\x1b]0;title\x07", "\r", "\x9b1A", "\u202e", "\u2066", "\ud800", "\0"])
def test_a_message_cannot_steer_the_terminal(code):
    shown = str(ConfigError(f"there is no class {code}x"))
    assert code not in shown
    assert ascii(code)[1:-1] in shown
    shown.encode()


def test_line_breaks_and_letters_of_all_scripts_stay():
    assert str(ConfigError("zwei\n- Straßen\t日本")) == "zwei\n- Straßen\t日本"


@pytest.mark.attack("half a character", "text of a JSON file", "refused as no JSON")
def test_half_a_character_is_refused(tmp_path: Path):
    from dmt_ray.files import parse_json

    assert parse_json(r'"\ud83d\ude00"') == "\U0001f600"
    for text in (r'["a\ud800"]', r'{"\udfff": 1}', b'"\xed\xa0\x80"'):
        with pytest.raises(ValueError, match=r"surrogates|decode"):
            parse_json(text)
    assert json.loads(r'"\ud800"') == "\ud800"  # which Python alone would read
