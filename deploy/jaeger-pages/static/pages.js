// Pages for a Jaeger without its own: /trace/<id> is a trace as a tree of spans
// on a line of time, everything else the latest traces of a service. They read
// Jaeger's query API (/api/…) on the same origin; times there are microseconds.

const main = document.querySelector('main');
const form = document.querySelector('form');
const again = 1000; // milliseconds until a trace that is not there yet is asked for again
const patience = 30; // times

// el makes an element; children are nodes or text, attributes that are null are
// left out.
function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null));
  return node;
}

async function ask(path) {
  const answer = await fetch('api/' + path);
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body.data ?? [];
  const error = new Error(body.errors?.[0]?.msg ?? `${answer.status} ${answer.statusText}`);
  error.status = answer.status;
  throw error;
}

function duration(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${(us / 1000).toPrecision(3)} ms`;
  return `${(us / 1e6).toPrecision(3)} s`;
}

const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : noun.endsWith('s') ? 'es' : 's'}`;

const instant = (us) => new Date(us / 1000).toISOString().replace('T', ' ');

const tag = (tags, key) => tags?.find((t) => t.key === key)?.value;

// who a span's process is: its service, and which instance of it.
function who(trace, span) {
  const process = trace.processes[span.processID];
  const instance = tag(process.tags, 'service.instance.id');
  return instance == null ? process.serviceName : `${process.serviceName} ${instance}`;
}

// colour of a process: the same for the same name, apart for most others.
function colour(name) {
  let hash = 0;
  for (const c of name) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
  return `hsl(${(hash * 137) % 360} 55% 36%)`;
}

// tree puts every span below its parent, children by time. A span whose parent
// is not there (another tracer's, or not come yet) is a root.
function tree(spans) {
  const byID = new Map(spans.map((span) => [span.spanID, { span, children: [] }]));
  const roots = [];
  for (const node of byID.values()) {
    const up = node.span.references.find((r) => r.refType === 'CHILD_OF' && r.traceID === node.span.traceID);
    (byID.get(up?.spanID)?.children ?? roots).push(node);
  }
  const byTime = (a, b) => a.span.startTime - b.span.startTime;
  for (const node of byID.values()) node.children.sort(byTime);
  return roots.sort(byTime);
}

const begins = (spans) => Math.min(...spans.map((s) => s.startTime));
const ends = (spans) => Math.max(...spans.map((s) => s.startTime + s.duration));

function details(trace, span) {
  const process = trace.processes[span.processID];
  const pairs = [
    ['start', instant(span.startTime)], ['span', span.spanID],
    ...span.tags.map((t) => [t.key, String(t.value)]),
    ...(process.tags ?? []).map((t) => [t.key, String(t.value)]),
    ...(span.logs ?? []).map((log) => [
      `event +${duration(log.timestamp - span.startTime)}`,
      log.fields.map((f) => `${f.key}=${f.value}`).join(' '),
    ]),
    ...(span.warnings ?? []).map((warning) => ['warning', warning]),
  ];
  const links = span.references.filter((r) => r.refType !== 'CHILD_OF' || r.traceID !== span.traceID).map((r) => [
    'link', el('a', { href: `trace/${r.traceID}` }, `trace ${r.traceID}`), ` span ${r.spanID}`,
  ]);
  return el('dl', null, [...links, ...pairs].map(([key, ...value]) => [el('dt', null, key), el('dd', null, ...value)]));
}

const failed = (span) => tag(span.tags, 'error') === true || tag(span.tags, 'otel.status_code') === 'ERROR';

function row(trace, node, depth, window) {
  const { span } = node;
  const name = who(trace, span);
  const percent = (us) => (us / window.length) * 100;
  const left = percent(span.startTime - window.start);
  const width = percent(span.duration);
  const bar = el('span', { class: 'bar' });
  Object.assign(bar.style, { left: `${left}%`, width: `${width}%`, background: colour(name) });
  const took = el('span', { class: 'took time' }, duration(span.duration));
  if (left + width < 75) took.style.left = `${left + width}%`; // after the bar
  else if (left > 25) took.style.right = `${100 - left}%`; // before it
  else {
    took.classList.add('inside');
    took.style.right = `${100 - left - width}%`;
  }
  const service = el('span', { class: 'service' }, name);
  service.style.background = colour(name);
  const label = el('span', { class: failed(span) ? 'name bad' : 'name' }, service, span.operationName,
    failed(span) ? ' failed' : null);
  label.style.paddingInlineStart = `${depth * 16}px`;
  return [
    el('details', { class: 'span', 'data-span': span.operationName, 'data-id': span.spanID, 'data-depth': depth },
      el('summary', null, label, el('span', { class: 'track' }, bar, took)), details(trace, span)),
    ...node.children.flatMap((child) => row(trace, child, depth + 1, window)),
  ];
}

function showTrace(trace) {
  const start = begins(trace.spans);
  const length = Math.max(ends(trace.spans) - start, 1);
  const roots = tree(trace.spans);
  const processes = new Set(trace.spans.map((span) => who(trace, span)));
  document.title = `${roots[0].span.operationName} · Jaeger`;
  main.replaceChildren(
    el('h1', null, roots[0].span.operationName),
    el('p', null, el('code', null, trace.traceID), ' · ', instant(start), ' · ', duration(length), ' · ',
      `${count(trace.spans.length, 'span')} of ${count(processes.size, 'process')}`, ' · ',
      el('a', { href: `api/traces/${trace.traceID}?prettyPrint=true` }, 'JSON')),
    ...roots.flatMap((root) => row(trace, root, 0, { start, length })),
  );
}

// traceOf waits for a trace: spans come some seconds after what they tell of,
// and those of another process later still.
async function traceOf(id) {
  for (let tries = 1; ; tries++) {
    try {
      const [trace] = await ask(`traces/${encodeURIComponent(id)}`);
      if (trace?.spans.length) return trace;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    if (tries === patience) throw new Error(`There is no trace ${id}, or not any more: this Jaeger keeps them in memory.`);
    if (tries === 1) main.replaceChildren(el('p', { class: 'dim' }, `Trace ${id} is not here yet. Asking again …`));
    await new Promise((done) => setTimeout(done, again));
  }
}

// follow shows a trace, and again while spans come.
async function follow(id) {
  let shown = 0;
  for (let quiet = 0; quiet < 5; quiet++) {
    const trace = await traceOf(id);
    if (trace.spans.length > shown) {
      const open = [...document.querySelectorAll('details[open]')].map((d) => d.dataset.id);
      showTrace(trace);
      document.querySelectorAll('details').forEach((d) => { d.open = open.includes(d.dataset.id); });
      shown = trace.spans.length;
      quiet = 0;
    }
    await new Promise((done) => setTimeout(done, again));
  }
}

async function list(service) {
  if (!service) {
    main.replaceChildren(el('p', null, 'No service has sent spans yet.'));
    return;
  }
  const traces = await ask(`traces?${new URLSearchParams({ service, limit: 50, lookback: '6h' })}`);
  traces.sort((a, b) => begins(b.spans) - begins(a.spans));
  const rows = traces.map((trace) => {
    const start = begins(trace.spans);
    return el('tr', null, el('td', { class: 'time' }, instant(start)),
      el('td', null, el('a', { href: `trace/${trace.traceID}` }, tree(trace.spans)[0].span.operationName),
        trace.spans.some(failed) ? el('span', { class: 'bad' }, ' failed') : null),
      el('td', null, String(trace.spans.length)), el('td', { class: 'time' }, duration(ends(trace.spans) - start)));
  });
  const head = ['Start', 'Trace', 'Spans', 'Duration'].map((title) => el('th', { scope: 'col' }, title));
  main.replaceChildren(el('h1', null, `Latest traces of ${service}`), rows.length === 0
    ? el('p', null, 'None in the last six hours.')
    : el('table', null, el('thead', null, el('tr', null, head)), el('tbody', null, rows)));
}

async function show() {
  const base = new URL(document.baseURI).pathname;
  const path = location.pathname.slice(base.length);
  const wanted = /^trace\/([^/]*)\/?$/.exec(path)?.[1];
  const id = /^[0-9a-fA-F]{1,32}$/.exec(wanted)?.[0];
  const services = (await ask('services')).sort();
  const service = new URLSearchParams(location.search).get('service') ?? services.find((s) => s !== 'jaeger') ?? services[0];
  form.service.replaceChildren(...services.map((name) => el('option', { selected: name === service ? '' : null }, name)));
  form.id.value = id ?? '';
  if (wanted && !id) throw new Error(`${decodeURIComponent(wanted)} is no trace id: that has up to 32 hexadecimal digits.`);
  await (id ? follow(id) : list(service));
}

form.service.addEventListener('change', () => { location.assign(`?${new URLSearchParams({ service: form.service.value })}`); });
form.addEventListener('submit', (event) => {
  event.preventDefault();
  const id = form.id.value.trim();
  if (id) location.assign(`trace/${encodeURIComponent(id)}`);
});

show().catch((error) => main.replaceChildren(el('p', { class: 'bad', role: 'alert' }, error.message)));
