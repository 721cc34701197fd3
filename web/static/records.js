// Reading a topic's records, a page at a time.
import {useState} from 'preact/hooks';
import {get, url} from './api.js';
import {before, follow} from './back.js';
import {kafkaAddress, useCluster} from './cluster.js';
import {CurlButton, curl, kcat} from './curl.js';
import {count} from './format.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {RecordTable} from './record.js';
import {go, href} from './route.js';
import {search} from './search.js';
import {Tail} from './tail.js';
import {Loaded} from './ui.js';

// pageLength is the records of a page, pageBytes about the most bytes of it.
const pageLength = 50;
const pageBytes = 1 << 20;

// mostPartitions is the limit of a read over all partitions.
const mostPartitions = 256;

// Records is a part of the topic's view. In the URL: partition ('all' of more
// than one, the default), then where the page begins: offset, time (Unix ms),
// from=earliest, or cursor (of a page over all partitions), else the newest
// records; q is what they must contain; tail=1 is the live tail;
// open are the records that are shown open, as offsets or "partition-offset": "7.9", "0-7.2-9".
export function Records({topic, query}) {
  const one = topic.partitions === 1 || topic.partitions > mostPartitions;
  const partition = query.partition ?? (one ? '0' : 'all');
  const to = (change) => href(['topics', topic.name], {partition: query.partition, q: query.q, ...change});
  const part = {topic, partition, query, to};
  if (query.tail) {
    return html`<${Bar} ...${part} />
      <${Tail} key=${partition} topic=${topic.name} partition=${partition} q=${query.q} leave=${to({})} />`;
  }
  return html`<${Page} ...${part} />`;
}

// Bar chooses the partition, what to look for, and the place; children are more
// buttons. A small screen has the place and those behind a button.
function Bar({topic, partition, query, to, children}) {
  const [place, setPlace] = useState('');
  const [unfolded, setUnfolded] = useState(false);
  const choose = (event) => go(to({partition: event.target.value, tail: query.tail}));
  const find = (event) => {
    event.preventDefault();
    const {offset, time, from, tail} = query;
    go(to({offset, time, from, tail, q: event.target.elements.q.value.trim()}));
  };
  const jump = (event) => {
    event.preventDefault();
    if (/^\d+$/.test(place.trim())) go(to({offset: place.trim()}));
  };
  const jumpToTime = (event) => {
    const ms = new Date(event.target.value).getTime();
    if (!Number.isNaN(ms)) go(to({time: ms}));
  };
  return html`
    <div class="bar">
      <label>Partition${' '}
        <select name="partition" value=${partition} onChange=${choose}>
          ${topic.partitions > 1 && topic.partitions <= mostPartitions && html`<option value="all">all</option>`}
          ${Array.from({length: topic.partitions}, (_, i) => html`<option value=${String(i)}>${i}</option>`)}
        </select>
      </label>
      <form class="inline find" role="search" onSubmit=${find}>
        <input type="search" name="q" data-search key=${query.q} aria-label="Search key, value and headers"
          placeholder="Key, value, header ( / )" autocomplete="off" spellcheck=${false}
          defaultValue=${query.q ?? ''} />
        <button>Search</button>
      </form>
      ${!query.tail && html`<a class="button main" href=${to({tail: 1})}>Live tail</a>`}
      <button type="button" class="fold" aria-expanded=${unfolded} aria-controls="place"
        onClick=${() => setUnfolded(!unfolded)}>${unfolded ? 'Less' : 'More'}</button>
      <span class="break"></span>
      <div id="place" class="folded" data-unfolded=${unfolded}>
        <form class="inline" onSubmit=${jump}>
          <label>Offset${' '}
            <input name="offset" inputmode="numeric" size="10" value=${place} disabled=${partition === 'all'}
              title=${partition === 'all' ? 'Offsets count within a partition: choose one' : ''}
              onInput=${(event) => setPlace(event.target.value)} /></label>
          <button disabled=${partition === 'all'}>Go</button>
        </form>
        <label>Time <input name="time" type="datetime-local" step="1" onChange=${jumpToTime} /></label>
        <a class="button" href=${to({from: 'earliest'})}>Oldest</a>
        <a class="button" href=${to({q: ''})}>Newest</a>
        ${children}
      </div>
    </div>`;
}

// reading is the request for a page.
function reading(topic, partition, {offset, time, from, cursor, q}) {
  const most = {limit: pageLength, max_bytes: pageBytes};
  const start = time ? {timestamp: time} : from === 'earliest' || q ? {from: 'earliest'} : undefined;
  if (partition === 'all') {
    const newest = {tail: Math.ceil(pageLength / topic.partitions)};
    const query = {...(cursor ? {cursor} : start ?? newest), ...most};
    return ['/v1/topics/{topic}/records', {vars: {topic: topic.name}, query}];
  }
  // A place outside of the log is moved to its nearest end, not an error: the
  // page says where it begins.
  const query = {...(offset ? {offset, clamp: true} : start ?? {tail: pageLength}), ...most};
  return ['/v1/topics/{topic}/partitions/{partition}/records', {vars: {topic: topic.name, partition}, query}];
}

// placeOf is where the page begins, in kcat's words.
function placeOf({offset, time, from, q}) {
  if (time) return `s@${time}`;
  return offset ?? (from || q ? 'beginning' : String(-pageLength));
}

function Page({topic, partition, query, to}) {
  const [path, options] = reading(topic, partition, query);
  const {q} = query;
  const read = (signal) => (q ? search(path, options, q, signal) : get(path, {...options, signal}));
  const {offset, time, from, cursor} = query;
  const here = to({offset, time, from, cursor});
  const load = useLoad((signal) => read(signal).then((page) => ({page, partition, q, here})),
    [path, JSON.stringify(options), q]);
  const address = kafkaAddress(useCluster());
  const kcatPage = query.cursor ? [] : kcat('The same', address, ['-C', '-t', topic.name, '-e',
    ...(partition === 'all' ? [] : ['-p', partition]), '-o', placeOf(query), '-c', String(pageLength)]);
  // An export begins where the page does and goes on to the end of the log.
  const whole = {...options.query, format: 'ndjson', limit: undefined, max_bytes: undefined};
  const opened = new Set(query.open?.split('.'));
  const nameOf = (r) => (partition === 'all' ? `${r.partition}-${r.offset}` : String(r.offset));
  const toggle = (record) => {
    const open = opened.symmetricDifference(new Set([nameOf(record)]));
    go(to({offset, time, from, cursor, open: [...open].join('.')}), true);
  };
  const shown = ({page, partition: of, q: searched, here: at}) => html`
    <div class=${load.loading ? 'stale' : ''}>
      ${page.records.length === 0
        ? html`<p class="empty">${searched ? 'No record here contains that.' : 'There are no records here.'}</p>`
        : html`<${RecordTable} topic=${topic.name} records=${page.records} many=${of === 'all'}
          opened=${(record) => opened.has(nameOf(record))} toggle=${toggle} />`}
      ${searched ? html`<${Scanned} page=${page} to=${to} />` : of === 'all'
        ? html`<${ByCursor} page=${page} here=${at} to=${to} />`
        : html`<${BothWays} page=${page} to=${to} />`}
    </div>`;
  return html`
    <${Bar} ...${{topic, partition, query, to}}>
      <button type="button" onClick=${load.reload}>Reload</button>
      <a class="button" data-export download=${`${topic.name}-${partition}.ndjson`}
        title="What is here and after, as NDJSON" href=${url(path, {...options, query: whole})}>Export</a>
      <${CurlButton} commands=${[['This page', curl('GET', path, options)], ...kcatPage]} />
    <//>
    <${Loaded} load=${load}>${shown}<//>`;
}

// BothWays leads to the pages before and after one of a partition.
function BothWays({page, to}) {
  const {records, next_offset: next, high_watermark: end, log_start_offset: start} = page;
  const first = records.length > 0 ? records[0].offset : next;
  const last = records.length > 0 ? records.at(-1).offset : undefined;
  return html`
    <nav class="pages" aria-label="Pages">
      <${To} name="Previous" mark="data-prev"
        href=${first > start && to({offset: Math.max(start, first - pageLength)})} />
      <span data-range>${last === undefined ? 'none' : `${count(first)} – ${count(last)}`}
        ${end > start && html`<span class="muted"> of ${count(start)} – ${count(end - 1)}</span>`}</span>
      <${To} name="Next" mark="data-next" href=${next < end && to({offset: next})} />
    </nav>`;
}

// Scanned tells how far a search has looked, and goes on.
function Scanned({page, to}) {
  return html`
    <nav class="pages" aria-label="Pages">
      <span data-scanned=${page.scanned}>${count(page.records.length)} of ${count(page.scanned)} records</span>
      <${To} name="Search on" mark="data-next" href=${page.next && to(page.next)} />
    </nav>`;
}

// ByCursor leads on from a page of all partitions by its cursor, and back to the
// page that led here. The newest records are another page each time, so that
// there is no way back to them, and none from a page that was opened by a link.
function ByCursor({page, here, to}) {
  const more = page.partitions.some((p) => p.next_offset < p.high_watermark);
  const next = more && to({cursor: page.cursor}), previous = before(here);
  return html`
    <nav class="pages" aria-label="Pages">
      ${previous
        ? html`<${To} name="Previous" mark="data-prev" href=${previous} />`
        : html`<span class="muted">Choose a partition to page back.</span>`}
      <${To} name="Next" mark="data-next" href=${next} pressed=${() => here !== to({}) && follow(here, next)} />
    </nav>`;
}

// To is a link, or the same without a place to go.
function To({name, mark, href: place, pressed}) {
  if (!place) return html`<span class="button off">${name}</span>`;
  return html`<a class="button" ...${{[mark]: true}} href=${place} onClick=${pressed}>${name}</a>`;
}
