// Uses the client that openapi-typescript generates from openapi.yaml against
// a live node: node check.js http://HOST:PORT
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[]; exit(code: number): never };

const url = process.argv[2];
if (url === undefined) {
  throw new Error("usage: check.js URL");
}
const api = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: url });
const raw = createClient<paths, "application/octet-stream" | "application/problem+json">({ baseUrl: url });
const topic = "from-typescript";

function expect(condition: boolean, what: string, seen: unknown): asserts condition {
  if (!condition) {
    throw new Error(`${what}: ${JSON.stringify(seen)}`);
  }
}

async function produce(value: string, query: { key?: string; partition?: number; expect_offset?: number }) {
  return api.POST("/v1/topics/{topic}/records", {
    params: { path: { topic }, query },
    body: value,
    bodySerializer: (body) => String(body),
    headers: { "Content-Type": "text/plain" },
  });
}

async function topics(): Promise<void> {
  const created = await api.POST("/v1/topics", {
    body: { name: topic, partitions: 2, configs: { "retention.ms": "3600000" } },
  });
  expect(created.response.status === 201 && created.data?.partitions === 2, "create", created);
  const again = await api.POST("/v1/topics", { body: { name: topic } });
  const problem: components["schemas"]["Problem"] | undefined = again.error;
  expect(problem?.code === "topic_exists" && problem.retryable === false, "create twice", again);
  const altered = await api.PATCH("/v1/topics/{topic}", {
    params: { path: { topic } },
    body: { configs: { "retention.ms": null } },
    headers: { "Content-Type": "application/merge-patch+json" },
  });
  expect(altered.data !== undefined && !("retention.ms" in altered.data.configs), "alter", altered);
  const listed = await api.GET("/v1/topics", { params: { query: { prefix: "from-t" } } });
  expect(listed.data?.topics.length === 1, "list", listed);
  const cluster = await api.GET("/v1/cluster");
  expect(cluster.data?.nodes.length === 1 && cluster.data.limits.batch_records > 0, "cluster", cluster);
}

async function records(): Promise<void> {
  const first = await produce("grüße", { partition: 0, key: "k" });
  expect(first.response.status === 201 && first.data !== undefined && "offset" in first.data, "produce", first);
  expect(first.data.offset === 0 && first.data.duplicate === false, "produce", first);
  const conflict = await produce("x", { partition: 0, expect_offset: 7 });
  const problem: components["schemas"]["Problem"] | undefined = conflict.error;
  expect(problem?.code === "offset_conflict" && problem.current_offset === 1, "expect_offset", conflict);
  const batch = await api.POST("/v1/topics/{topic}/batches", {
    params: { path: { topic }, query: { partition: 0 } },
    body: { records: [{ value: "b1" }, { value: "/wAB", encoding: "base64", headers: [{ name: "h", value: "v" }] }] },
  });
  expect(batch.data?.results.length === 2 && batch.data.failed === 0, "batch", batch);
  const page = await api.GET("/v1/topics/{topic}/partitions/{partition}/records", {
    params: { path: { topic, partition: 0 }, query: { offset: 0, limit: 10 } },
  });
  const seen = page.data?.records.map((r) => [r.key, r.value, r.encoding]);
  expect(
    JSON.stringify(seen) === JSON.stringify([["k", "grüße", "utf8"], [null, "b1", "utf8"], [null, "/wAB", "base64"]]),
    "read", page);
  expect(page.data?.next_offset === 3 && page.data.high_watermark === 3, "read", page);
  const whole = await api.GET("/v1/topics/{topic}/records", {
    params: { path: { topic }, query: { from: "earliest" } },
  });
  expect(whole.data?.records.length === 3 && whole.data.cursor !== "", "read the topic", whole);
  const bytes = await raw.GET("/v1/topics/{topic}/partitions/{partition}/records/{offset}", {
    params: { path: { topic, partition: 0, offset: 2 } },
    parseAs: "arrayBuffer",
  });
  const binary = bytes.data instanceof ArrayBuffer ? [...new Uint8Array(bytes.data)] : undefined;
  expect(JSON.stringify(binary) === "[255,0,1]", "read one", binary);
}

async function endOfTopic(): Promise<void> {
  const gone = await api.DELETE("/v1/topics/{topic}", { params: { path: { topic } } });
  expect(gone.response.status === 204, "delete", gone);
  const missing = await api.GET("/v1/topics/{topic}", { params: { path: { topic } } });
  const problem: components["schemas"]["Problem"] | undefined = missing.error;
  expect(problem?.code === "unknown_topic" && problem.trace_id.length === 32, "describe", missing);
}

await topics();
await records();
await endOfTopic();
