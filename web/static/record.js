// One record: a row, and, opened, all that is known of it.
import {useState} from 'preact/hooks';
import {url} from './api.js';
import {traceHref, traceOf, useCluster} from './cluster.js';
import {CurlButton, curl} from './curl.js';
import {bytes, count, fromBase64, hex, hexLimit, iso, jsonTokens, prettyJSON, time} from './format.js';
import {html} from './html.js';
import {Replay} from './replay.js';
import {href} from './route.js';

const recordPath = '/v1/topics/{topic}/partitions/{partition}/records/{offset}';

// previewLength is the characters of a value that its row shows.
const previewLength = 300;

// RecordTable is a table of records; many says that they are of more than one
// partition. opened(record) tells which are open and toggle(record) opens or
// closes one; without them the rows keep that to themselves.
export function RecordTable({topic, records, opened, toggle, many, label = 'Records'}) {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table class="records">
        <thead><tr>
          <th scope="col" class="number">${many ? 'Part. / offset' : 'Offset'}</th>
          <th scope="col" class="when">Time</th><th scope="col">Key</th><th scope="col">Value</th>
        </tr></thead>
        ${records.map((record) => html`
          <${Row} key=${record.partition + '/' + record.offset} topic=${topic} record=${record} many=${many}
            opened=${opened?.(record)} toggle=${toggle} />`)}
      </table>
    </div>`;
}

// Row is a body of its own, so that the details belong to it.
function Row({topic, record, many, opened, toggle}) {
  const [own, setOwn] = useState(false);
  const open = toggle ? opened : own;
  const place = many ? `${record.partition} / ${record.offset}` : String(record.offset);
  return html`
    <tbody data-record=${record.partition + '/' + record.offset}>
      <tr class=${open ? 'open' : ''}>
        <th scope="row" class="number">
          <button type="button" data-row class="plain" aria-expanded=${open}
            onClick=${() => (toggle ? toggle(record) : setOwn(!own))}>${place}</button>
        </th>
        <td class="when"><time title=${iso(record.timestamp)}>${time(record.timestamp)}</time></td>
        <td class="key"><${Short} text=${record.key} encoding=${record.key_encoding} none="–" /></td>
        <td class="value"><${Short} text=${record.value} encoding=${record.encoding} none="tombstone" /></td>
      </tr>
      ${open && html`<tr class="details"><td colspan="4"><${Details} topic=${topic} record=${record} /></td></tr>`}
    </tbody>`;
}

// Short is a key or value on one line. Bytes that are no text are so marked.
function Short({text, encoding, none}) {
  if (text === null || text === undefined) return html`<span class="muted">${none}</span>`;
  if (encoding === 'base64') {
    const data = fromBase64(text);
    const digits = [...data.subarray(0, 32)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
    return html`<span class="badge">${bytes(data.length)}</span> <code>${digits}${data.length > 32 && ' …'}</code>`;
  }
  if (text === '') return html`<span class="muted">empty</span>`;
  return html`<code>${text.length > previewLength ? text.slice(0, previewLength) + '…' : text}</code>`;
}

function Details({topic, record}) {
  const {partition, offset} = record;
  const vars = {topic, partition, offset};
  const [replaying, setReplaying] = useState(false);
  const trace = traceOf(record), traces = traceHref(useCluster(), trace);
  return html`
    <dl class="facts">
      <div><dt>Partition</dt><dd>${partition}</dd></div>
      <div><dt>Offset</dt><dd>${count(offset)}</dd></div>
      <div><dt>Time</dt><dd>${time(record.timestamp)} <span class="muted">(${iso(record.timestamp)})</span></dd></div>
      <div><dt>Size</dt><dd data-size=${sizeOf(record)}>${bytes(sizeOf(record))}</dd></div>
      ${trace && html`<div><dt>Trace</dt><dd>${traces
        ? html`<a href=${traces} data-trace target="_blank" rel="noreferrer"><code>${trace}</code></a>`
        : html`<code>${trace}</code>`}</dd></div>`}
    </dl>
    <p class="bar">
      <a href=${href(['topics', topic], {partition, offset, open: offset})}>Link to this record</a>
      <a href=${url(recordPath, {vars})} target="_blank" rel="noreferrer">Its bytes</a>
      ${record.value !== null && html`
        <a href=${url(recordPath, {vars})} data-download download=${`${topic}-${partition}-${offset}`}>Download</a>`}
      <button type="button" onClick=${() => setReplaying(true)}>Write again</button>
      <${CurlButton} commands=${[
        ['The value as it was written', curl('GET', recordPath, {vars})],
        ['The record as JSON', curl('GET', '/v1/topics/{topic}/partitions/{partition}/records',
          {vars, query: {offset, limit: 1}})],
      ]} />
    </p>
    ${replaying && html`<${Replay} record=${record} close=${() => setReplaying(false)} />`}
    ${record.headers.length > 0 && html`<h2>Headers</h2><${Headers} headers=${record.headers} />`}
    ${record.key !== null && html`<h2>Key</h2>
      <${Content} text=${record.key} encoding=${record.key_encoding} what="Key" />`}
    <h2>Value</h2>
    ${record.value === null
      ? html`<p class="muted">None: the record is a tombstone, which deletes its key.</p>`
      : html`<${Content} text=${record.value} encoding=${record.encoding} what="Value" />`}`;
}

// lengthOf is the bytes of a key, value or header.
const lengthOf = (text, encoding) =>
  (encoding === 'base64' ? fromBase64(text).length : new TextEncoder().encode(text ?? '').length);

// sizeOf is the bytes of key, value and headers together.
const sizeOf = ({key, key_encoding, value, encoding, headers}) =>
  headers.reduce((sum, h) => sum + lengthOf(h.name) + lengthOf(h.value, h.encoding),
    lengthOf(key, key_encoding) + lengthOf(value, encoding));

function Headers({headers}) {
  return html`<div class="tall" tabindex="0" role="region" aria-label="Headers">
    <table class="headers"><tbody>${headers.map((header) => html`
      <tr><th scope="row"><code>${header.name}</code></th>
        <td><${Short} text=${header.value} encoding=${header.encoding} none="null" /></td></tr>`)}
    </tbody></table></div>`;
}

// Content shows bytes in the forms that they have: JSON and text if they are
// that, a dump always.
function Content({text, encoding, what}) {
  const binary = encoding === 'base64';
  const pretty = binary ? undefined : prettyJSON(text);
  const forms = [...(pretty === undefined ? [] : ['JSON']), ...(binary ? [] : ['Text']), 'Hex'];
  const [form, setForm] = useState(forms[0]);
  const data = binary ? fromBase64(text) : undefined;
  const size = data?.length ?? new TextEncoder().encode(text).length;
  return html`
    <div class="forms" role="group" aria-label=${what + ' as'}>
      ${forms.map((name) => html`<button type="button" aria-pressed=${name === form}
        onClick=${() => setForm(name)}>${name}</button>`)}
      <span class="muted small">${bytes(size)}</span>
    </div>
    <pre tabindex="0" data-form=${form}>${
      form === 'JSON' ? html`<${Colours} json=${pretty} />`
        : form === 'Text' ? text : hex(data ?? new TextEncoder().encode(text))}</pre>
    ${form === 'Hex' && size > hexLimit && html`<p class="muted small">The first ${bytes(hexLimit)}.</p>`}`;
}

// colourful is the longest document, in characters, whose parts have colours:
// each costs an element.
const colourful = 64 << 10;

function Colours({json}) {
  if (json.length > colourful) return json;
  return jsonTokens(json).map(([kind, text]) => (kind ? html`<span class=${'json ' + kind}>${text}</span>` : text));
}
