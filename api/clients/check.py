"""Uses the client that openapi-python-client generates from openapi.yaml
against a live node: check.py http://HOST:PORT"""

import sys
from http import HTTPStatus
from io import BytesIO

from chronik_client import Client
from chronik_client.api.cluster import describe_cluster
from chronik_client.api.consume import get_record, read_partition, read_topic
from chronik_client.api.produce import produce_batch, produce_record
from chronik_client.api.topics import alter_topic, create_topic, delete_topic, describe_topic, list_topics
from chronik_client.models import (
    Batch,
    BatchRecord,
    BatchResult,
    Cluster,
    Configs,
    Encoding,
    ErrorCode,
    Header,
    Problem,
    Produced,
    ReadTopicFrom,
    RecordPage,
    Topic,
    TopicList,
    TopicPage,
    TopicPatch,
    TopicSpec,
)
from chronik_client.types import File

TOPIC = "from-python"


def topics(client: Client) -> None:
    configs = Configs.from_dict({"retention.ms": "3600000"})
    spec = TopicSpec(name=TOPIC, partitions=2, configs=configs)
    created = create_topic.sync_detailed(client=client, body=spec)
    assert created.status_code == HTTPStatus.CREATED, created
    assert isinstance(created.parsed, Topic) and created.parsed.partitions == 2, created
    again = create_topic.sync(client=client, body=spec)
    assert isinstance(again, Problem) and again.code == ErrorCode.TOPIC_EXISTS, again
    assert again.retryable is False, again
    patch = TopicPatch.from_dict({"configs": {"retention.ms": None}})
    altered = alter_topic.sync(TOPIC, client=client, body=patch)
    assert isinstance(altered, Topic) and "retention.ms" not in altered.configs, altered
    listed = list_topics.sync(client=client, prefix="from-p")
    assert isinstance(listed, TopicList) and [t.name for t in listed.topics] == [TOPIC], listed
    cluster = describe_cluster.sync(client=client)
    assert isinstance(cluster, Cluster) and len(cluster.nodes) == 1, cluster


def produce(client: Client, value: bytes, **query: object) -> object:
    return produce_record.sync(TOPIC, client=client, body=File(payload=BytesIO(value)), **query)


def records(client: Client) -> None:
    first = produce(client, "grüße".encode(), partition=0, key="k")
    assert isinstance(first, Produced) and first.offset == 0, first
    conflict = produce(client, b"x", partition=0, expect_offset=7)
    assert isinstance(conflict, Problem) and conflict.code == ErrorCode.OFFSET_CONFLICT, conflict
    assert conflict.current_offset == 1, conflict
    header = Header(name="h", value="v")
    binary = BatchRecord(value="/wAB", encoding=Encoding.BASE64, headers=[header])
    batch = produce_batch.sync(
        TOPIC, client=client, partition=0, body=Batch(records=[BatchRecord(value="b1"), binary])
    )
    assert isinstance(batch, BatchResult) and len(batch.results) == 2 and batch.failed == 0, batch
    page = read_partition.sync(TOPIC, 0, client=client, offset=0, limit=10)
    assert isinstance(page, RecordPage), page
    seen = [(r.key, r.value, r.encoding) for r in page.records]
    assert seen == [
        ("k", "grüße", Encoding.UTF8),
        (None, "b1", Encoding.UTF8),
        (None, "/wAB", Encoding.BASE64),
    ], page
    assert page.next_offset == 3 and page.high_watermark == 3, page
    whole = read_topic.sync(TOPIC, client=client, from_=ReadTopicFrom.EARLIEST)
    assert isinstance(whole, TopicPage) and len(whole.records) == 3 and whole.cursor, whole
    one = get_record.sync_detailed(TOPIC, 0, 2, client=client)
    assert one.status_code == HTTPStatus.OK and one.content == b"\xff\x00\x01", one


def end_of_topic(client: Client) -> None:
    gone = delete_topic.sync_detailed(TOPIC, client=client)
    assert gone.status_code == HTTPStatus.NO_CONTENT, gone
    missing = describe_topic.sync(TOPIC, client=client)
    assert isinstance(missing, Problem) and missing.code == ErrorCode.UNKNOWN_TOPIC, missing
    assert len(missing.trace_id) == 32, missing


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: check.py URL")
    with Client(base_url=sys.argv[1]) as client:
        topics(client)
        records(client)
        end_of_topic(client)


if __name__ == "__main__":
    main()
