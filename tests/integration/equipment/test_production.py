"""The equipment on real queues and buckets: every effect can be repeated, and every failure says why."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.equipment.conftest import Delivery, Stage

ID = "01JMESSAGE"


def envelope(document: Any = None, **fields: Any) -> str:
    said = {"greenroom": 1, "messageId": ID, "route": None, "contentType": "application/json", **fields}
    return json.dumps(said if "claim" in fields else {**said, "document": document})


class Echo:
    def translate(self, document: Any) -> Any:
        return document


class Echo2:
    """The same algorithm in its next version, which answers differently."""

    def translate(self, document: Any) -> Any:
        return [*document, "from the next version"]


class Picky:
    def translate(self, document: Any) -> Any:
        if "bad" in document:
            raise ValueError(f"no rule for \x1b[31m{document['bad']}")
        if "exit" in document:
            raise SystemExit(1)
        return document


def test_an_answer_is_written_under_a_key_that_follows_from_the_message(stage: Stage) -> None:
    stage.add("asa")
    assert stage.invoke("asa", Echo, envelope({"a": "\u00e9"}), version="7") == []
    assert stage.keys("asa") == [f"results/{ID}/asa.json"]
    assert stage.read("asa", f"results/{ID}/asa.json") == '{"a":"\u00e9"}'.encode()
    head = stage.s3.head_object(Bucket=stage.bucket("asa"), Key=f"results/{ID}/asa.json")
    assert head["ContentType"] == "application/json"
    assert head["Metadata"] == {
        "greenroom-release": "01JRELEASE7",
        "greenroom-version": "7",
        "greenroom-message": ID,
    }


def test_text_is_written_as_text_and_a_body_without_envelope_is_a_document(stage: Stage) -> None:
    stage.add("asa")
    assert stage.invoke("asa", Echo, "interface eth0\n") == []
    assert stage.keys("asa") == ["results/id0/asa.txt"]
    assert stage.read("asa", "results/id0/asa.txt") == b"interface eth0\n"


def test_of_two_deliveries_the_first_answer_stands_and_both_are_done(stage: Stage) -> None:
    stage.add("asa")
    assert stage.invoke("asa", Echo, envelope(["one"]), version="1") == []
    assert stage.invoke("asa", Echo2, envelope(["one"]), version="2") == []
    key = f"results/{ID}/asa.json"
    assert stage.read("asa", key) == b'["one"]'
    assert stage.s3.head_object(Bucket=stage.bucket("asa"), Key=key)["Metadata"]["greenroom-version"] == "1"
    assert stage.taken("asa", "dlq") == []


def test_deliveries_at_the_same_time_leave_one_answer(stage: Stage) -> None:
    stage.add("asa")
    assert stage.invoke("asa", Echo, *[envelope([0], messageId="warm")]) == []
    barrier, failed = threading.Barrier(8), []

    from aws_equipment import documents, production

    def deliver(number: int) -> None:
        answer = documents.encode([number])
        barrier.wait()
        try:
            production._write_result(documents.parse_message(envelope([0]), "x"), answer)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert json.loads(stage.read("asa", f"results/{ID}/asa.json"))[0] in range(8)


def test_an_answer_goes_to_each_next_algorithm_or_to_those_of_the_route(stage: Stage) -> None:
    stage.add("nsx", "asa", "nftables")
    both = ("asa", "nftables")
    assert stage.invoke("nsx", Echo, envelope({"n": 1}), next_=both) == []
    for name in both:
        (message,) = stage.taken(name)
        assert json.loads(message["Body"]) == {
            "greenroom": 1,
            "messageId": ID,
            "route": None,
            "contentType": "application/json",
            "document": {"n": 1},
        }
    assert stage.invoke("nsx", Echo, envelope({"n": 2}, route=["asa", "asa"]), next_=both) == []
    assert len(stage.taken("asa")) == 1
    assert stage.taken("nftables") == []
    assert stage.keys("nsx") == stage.keys("asa") == []


def test_an_in_algorithm_without_a_next_keeps_its_answer(stage: Stage) -> None:
    stage.add("nsx")
    assert stage.invoke("nsx", Echo, envelope([1]), next_=()) == []
    assert stage.keys("nsx") == [f"results/{ID}/nsx.json"]


def test_a_route_to_an_unknown_algorithm_is_a_failure_before_anything_is_sent(stage: Stage) -> None:
    stage.add("nsx", "asa")
    body = envelope([1], route=["asa", "nobody"])
    assert stage.invoke("nsx", Echo, body, next_=("asa",)) == ["id-0"]
    assert stage.taken("asa") == []
    failure = json.loads(stage.read("nsx", f"failures/{ID}/nsx.json"))
    assert failure["reason"] == (
        "EquipmentError: the message is routed to nobody, which metadata.json's next does not name"
    )


@pytest.mark.parametrize("document", [["x" * 250_000], ["\u6f22" * 60_000], "x" * 250_000])
def test_a_large_answer_travels_as_a_claim_check_and_arrives_unchanged(stage: Stage, document: Any) -> None:
    stage.add("nsx", "asa")
    text = isinstance(document, str)
    body = document if text else envelope(document)
    assert stage.invoke("nsx", Echo, body, next_=("asa",)) == []
    (message,) = stage.taken("asa")
    claim = json.loads(message["Body"])["claim"]
    content = stage.read("asa", claim["key"])
    assert claim["bucket"] == stage.bucket("asa") and claim["key"].startswith("inbox/")
    assert (claim["sizeBytes"], claim["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert stage.invoke("asa", Echo, message["Body"]) == []
    (result,) = (key for key in stage.keys("asa") if key.startswith("results/"))
    assert stage.read("asa", result) == (document.encode() if text else content)


def test_a_redelivery_to_another_version_leaves_the_document_of_an_earlier_claim_alone(stage: Stage) -> None:
    stage.add("nsx", "asa")
    body = envelope(["x" * 250_000])
    for version, algorithm in (("1", Echo), ("1", Echo), ("2", Echo2)):
        assert stage.invoke("nsx", algorithm, body, next_=("asa",), version=version) == []
    messages = [message["Body"] for message in stage.taken("asa")]
    assert len(messages) == 3
    assert len([key for key in stage.keys("asa") if key.startswith("inbox/")]) == 2
    assert stage.invoke("asa", Echo, *messages) == []
    assert json.loads(stage.read("asa", f"results/{ID}/asa.json")) == ["x" * 250_000]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "its SHA-256 differs"),
        ({"sizeBytes": 4}, "does not have the 4 bytes"),
        ({"sizeBytes": 6}, "does not have the 6 bytes"),
        ({"bucket": "somebody-elses"}, "which is not this algorithm's"),
        ({"key": "inbox/gone.json"}, "NoSuchKey"),
    ],
)
def test_a_claim_for_another_document_is_refused(stage: Stage, change: dict[str, Any], reason: str) -> None:
    stage.add("asa")
    stage.s3.put_object(Bucket=stage.bucket("asa"), Key="inbox/d.json", Body=b"[1,2]")
    claim = {"bucket": stage.bucket("asa"), "key": "inbox/d.json", "sizeBytes": 5, "sha256": None}
    assert stage.invoke("asa", Echo, envelope(claim=claim)) == []
    wrong = envelope(claim={**claim, **change}, messageId="wrong")
    assert stage.invoke("asa", Echo, wrong) == ["id-0"]
    assert reason in json.loads(stage.read("asa", "failures/wrong/asa.json"))["reason"]
    assert "results/wrong/asa.json" not in stage.keys("asa")


def test_of_a_batch_only_what_failed_comes_again(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.add("asa")
    bodies = [
        envelope({"n": 0}, messageId="m0"),
        envelope({"bad": "tcp"}, messageId="m1"),
        envelope({"exit": 1}, messageId="m2"),
        envelope({"n": 3}, messageId="m3", route=5),
        envelope({"n": 4}, messageId="m4"),
    ]
    assert stage.invoke("asa", Picky, *bodies, version="9") == ["id-1", "id-2", "id-3"]
    written = {key for key in stage.keys("asa") if key.startswith("results/")}
    assert written == {"results/m0/asa.json", "results/m4/asa.json"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["messageId"] for line in lines] == ["m1", "m2", "id3"]
    assert lines[0]["reason"] == "ValueError: no rule for \ufffd[31mtcp"
    assert "in translate" in lines[0]["traceback"]
    assert (lines[0]["level"], lines[0]["version"], lines[0]["attempt"], lines[0]["final"]) == ("ERROR", "9", 1, False)
    assert stage.taken("asa", "dlq") == []


def test_after_the_last_try_a_message_is_in_the_dead_letter_queue_with_its_reason(stage: Stage) -> None:
    stage.add("asa")
    body = envelope({"bad": "tcp"})
    assert stage.invoke("asa", Picky, body, delivery=Delivery(attempt=2)) == ["id-0"]
    assert stage.invoke("asa", Picky, body, delivery=Delivery(attempt=3)) == []
    (dead,) = stage.taken("asa", "dlq")
    assert dead["Body"] == body
    assert dead["MessageAttributes"]["reason"]["StringValue"].startswith("ValueError: no rule for")
    failure = json.loads(stage.read("asa", f"failures/{ID}/asa.json"))
    assert (failure["attempt"], failure["final"]) == (3, True)


def test_where_even_the_reason_cannot_be_kept_the_message_comes_again(stage: Stage) -> None:
    stage.add("asa")
    stage.s3.delete_bucket(Bucket=stage.bucket("asa"))
    assert stage.invoke("asa", Picky, envelope({"bad": "tcp"}), delivery=Delivery(attempt=3)) == ["id-0"]
    assert stage.taken("asa", "dlq") == []


def test_messages_for_which_no_time_is_left_are_given_back_untouched(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.add("asa")
    asked = []

    def remaining_ms() -> int:
        asked.append(1)
        return 60_000 if len(asked) < 2 else 0

    bodies = [envelope([number], messageId=f"m{number}") for number in range(4)]
    assert stage.invoke("asa", Echo, *bodies, delivery=Delivery(remaining_ms=remaining_ms)) == ["id-2", "id-3"]
    assert stage.keys("asa") == ["results/m0/asa.json", "results/m1/asa.json"]
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["givenBack"] == ["id-2", "id-3"]


def test_a_single_message_is_tried_however_little_time_is_left(stage: Stage) -> None:
    stage.add("asa")
    assert stage.invoke("asa", Echo, envelope([1]), delivery=Delivery(remaining_ms=lambda: 0)) == []
    assert stage.keys("asa") == [f"results/{ID}/asa.json"]


@pytest.mark.parametrize(
    "event", [{}, {"Records": {}}, {"Records": [{}]}, {"Records": [{"messageId": 1, "body": ""}]}, []]
)
def test_an_event_of_another_kind_is_an_error(stage: Stage, event: Any) -> None:
    from types import SimpleNamespace

    from aws_equipment import AlgorithmWorker, EquipmentError

    context = SimpleNamespace(invoked_function_arn="arn:aws:lambda:r:1:function:f:prod")
    with pytest.raises(EquipmentError, match="invoked by its queue"):
        AlgorithmWorker(Echo, event, context).runOut()


@pytest.fixture
def busy_s3() -> Iterator[tuple[str, list[int], list[str]]]:
    """An S3 in which another write is under way: answers with the statuses it is given. No real one can be made to."""
    statuses: list[int] = []
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # answers "Expect: 100-continue", for which boto3 would wait a second

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.headers["If-None-Match"])
            status = statuses.pop(0)
            code = {409: "ConditionalRequestConflict", 412: "PreconditionFailed", 403: "AccessDenied"}.get(status, "")
            body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", statuses, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "raises"),
    [([200], False), ([412], False), ([409, 412], False), ([409, 409, 200], False), ([409] * 3, True), ([403], True)],
)
def test_a_write_that_met_another_is_tried_again_and_a_later_one_counts_as_done(
    busy_s3: tuple[str, list[int], list[str]], environment: Callable[..., None], answers: list[int], raises: bool
) -> None:
    from aws_equipment import documents, production
    from botocore.exceptions import ClientError

    url, statuses, asked = busy_s3
    statuses += answers
    environment(AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_DEFAULT_REGION="us-east-1")
    answer = documents.encode([1])
    if raises:
        with pytest.raises(ClientError):
            production._write_once("bucket", "key", answer, {})
    else:
        production._write_once("bucket", "key", answer, {})
    assert asked == ["*"] * len(answers)
