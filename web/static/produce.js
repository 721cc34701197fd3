// Writing a record by hand.
import {useState} from 'preact/hooks';
import {post} from './api.js';
import {kafkaAddress, useCluster} from './cluster.js';
import {CurlButton, curl, kcatWrite} from './curl.js';
import {count} from './format.js';
import {html} from './html.js';
import {useAct} from './load.js';
import {href} from './route.js';
import {Field, Modal, Notice} from './ui.js';

// freshKey is a random Idempotency-Key. crypto.randomUUID exists on secure
// origins only, which a node in a network is not.
export const freshKey = () => 'console-' + Array.from(crypto.getRandomValues(new Uint8Array(12)),
  (b) => b.toString(16).padStart(2, '0')).join('');

// headersOf reads "Name: value" lines.
function headersOf(text) {
  return text.split('\n').filter((line) => line.trim()).map((line) => {
    const at = line.indexOf(':');
    if (at < 0) return {name: line.trim(), value: null};
    return {name: line.slice(0, at).trim(), value: line.slice(at + 1).trim()};
  });
}

// faultOf tells what keeps a value that begins like JSON from being it. It is
// written all the same: a value can be any text.
function faultOf(value) {
  if (!/^\s*[[{]/.test(value)) return '';
  try {
    JSON.parse(value);
    return '';
  } catch (error) {
    return `This is no JSON: ${error.message}`;
  }
}

// Produce writes records of one topic until it is closed. A record that was
// changed, or written, gets a new Idempotency-Key; a repeat after a failure has
// the same one, so that it can't be written twice.
export function Produce({topic, close}) {
  const [form, setForm] = useState({partition: '', key: '', value: '', headers: '', none: false, token: freshKey()});
  const [written, setWritten] = useState();
  const {act, busy, error} = useAct();
  const set = (change) => setForm({...form, ...change, token: freshKey()});
  const record = {value: form.none ? null : form.value};
  if (form.key !== '') record.key = form.key;
  if (form.partition !== '') record.partition = Number(form.partition);
  if (form.headers.trim()) record.headers = headersOf(form.headers);
  const vars = {topic: topic.name}, body = {records: [record]};
  const submit = async (event) => {
    event.preventDefault();
    setWritten(undefined);
    const answer = await act(() =>
      post('/v1/topics/{topic}/batches', {vars, body, headers: {'Idempotency-Key': form.token}}));
    if (!answer) return;
    setWritten(answer.results[0]);
    setForm({...form, token: freshKey()});
  };
  const commands = [
    ['Write this record', curl('POST', '/v1/topics/{topic}/batches', {vars, body})],
    ...kcatWrite(kafkaAddress(useCluster()), topic.name, record),
  ];
  return html`
    <${Modal} title=${'Write to ' + topic.name} close=${close}>
      <form onSubmit=${submit}>
        <div class="fields">
          <${Field} label="Partition">
            <select name="partition" value=${form.partition} onChange=${(e) => set({partition: e.target.value})}>
              <option value="">by key, else the node’s choice</option>
              ${Array.from({length: topic.partitions}, (_, i) => html`<option value=${String(i)}>${i}</option>`)}
            </select>
          <//>
          <${Field} label="Key" hint="Empty: none">
            <input name="key" autocomplete="off" value=${form.key} onInput=${(e) => set({key: e.target.value})} />
          <//>
        </div>
        <${Field} label="Value">
          <textarea name="value" autofocus rows="6" spellcheck=${false} value=${form.value} disabled=${form.none}
            onInput=${(e) => set({value: e.target.value})}></textarea>
        <//>
        <p class="warn small" role="status" data-json>${!form.none && faultOf(form.value)}</p>
        <label class="check"><input type="checkbox" name="none" checked=${form.none}
          onChange=${(e) => set({none: e.target.checked})} /> No value: a tombstone, which deletes the key</label>
        <${Field} label="Headers" hint="One a line, as Name: value">
          <textarea name="headers" rows="2" spellcheck=${false} value=${form.headers}
            onInput=${(e) => set({headers: e.target.value})}></textarea>
        <//>
        <${Notice} problem=${error} />
        ${written && html`<${Written} topic=${topic.name} at=${written} close=${close} />`}
        <footer>
          <${CurlButton} commands=${commands} />
          <button type="button" onClick=${close}>Close</button>
          <button class="main" disabled=${busy}>Write</button>
        </footer>
      </form>
    <//>`;
}

// Written tells where a record went.
export function Written({topic, at, close}) {
  const {partition, offset} = at;
  return html`
    <p class="notice good" role="status">Written to partition ${partition} at offset${' '}
      <a href=${href(['topics', topic], {partition, offset, open: offset})} onClick=${close}>${count(offset)}</a>.
      ${at.duplicate && ' It had been written before.'}</p>`;
}
